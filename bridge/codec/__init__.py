"""The hot path: frames in, records out. reference.py is its meaning. PURE."""

from bridge.codec.encoding import UnwritableValueError, signal_frame
from bridge.codec.records import Records
from bridge.codec.reference import Translator
from bridge.codec.twins import can_writes, candump_lines, parse_candump, parse_slcan, slcan_lines

IMPLEMENTATION = "Python"  #: which twin of the codec is in use

__all__ = [
    "IMPLEMENTATION",
    "Records",
    "Translator",
    "UnwritableValueError",
    "can_writes",
    "candump_lines",
    "parse_candump",
    "parse_slcan",
    "signal_frame",
    "slcan_lines",
]
