"""The hot path: frames in, records out. reference.py is its meaning. PURE."""

from bridge.codec.encoding import UnwritableValueError, signal_frame
from bridge.codec.records import Records
from bridge.codec.reference import Translator

IMPLEMENTATION = "Python"  #: which twin of the codec is in use

__all__ = ["IMPLEMENTATION", "Records", "Translator", "UnwritableValueError", "signal_frame"]
