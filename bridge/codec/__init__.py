"""The hot path: frames in, records out. reference.py is its meaning, _codec.c its speed. PURE."""

from bridge.codec import reference, translator
from bridge.codec.encoding import UnwritableValueError, signal_frame
from bridge.codec.records import Records
from bridge.codec.translator import published_value
from bridge.codec.twins import can_writes, candump_lines, parse_candump, parse_slcan, slcan_lines

IMPLEMENTATION = "C"  #: which twin of the codec is in use
Translator: type[translator.Translator]
try:
    from bridge.codec import compiled
except ImportError:  # there was no compiler at the installation
    IMPLEMENTATION = "Python"
    Translator = reference.Translator
else:
    Translator = compiled.Translator

__all__ = [
    "IMPLEMENTATION",
    "Records",
    "Translator",
    "UnwritableValueError",
    "can_writes",
    "candump_lines",
    "parse_candump",
    "parse_slcan",
    "published_value",
    "signal_frame",
    "slcan_lines",
]
