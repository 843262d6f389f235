"""Which twin of the codec is in use: the C one where the extension was built, else the Python one.

The one place that decides; everybody else takes what is here.
"""

from __future__ import annotations

try:
    from bridge.codec._codec import can_writes, candump_lines, parse_candump, parse_slcan, slcan_lines
except ImportError:
    from bridge.codec.candump import candump_lines, parse_candump
    from bridge.codec.raw_writes import can_writes
    from bridge.codec.slcan import parse_slcan, slcan_lines

__all__ = ["can_writes", "candump_lines", "parse_candump", "parse_slcan", "slcan_lines"]
