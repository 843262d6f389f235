"""How many bytes the PID of a diagnostic request has, which its JSON and protobuf forms do not say.

Both who lays out a request and who takes a response apart have to know. Must not know anything else.
"""

from __future__ import annotations

_LAST_J1979_MODE = 0x0A
_TESTER_PRESENT = 0x3E
_DATA_IDENTIFIER_MODES = frozenset({0x22, 0x24, 0x2E, 0x2F})


def pid_length(mode: int, pid: int) -> int:
    """1 or 2 bytes, when nobody says otherwise.

    - Two bytes where ISO 14229-1 says that it is a data identifier: modes 0x22, 0x24, 0x2E and 0x2F,
      even for a value below 0x100. OpenXC's firmware sent one byte there; an ECU refuses that with
      incorrectMessageLength, so no app can live on it.
    - One byte for the modes of SAE J1979 (0x01 to 0x0A) and for 0x3E, whose sub-function it is.
    - Otherwise as many as its value needs. In 0x31 it is the sub-function, and the routine's
      identifier is the beginning of the payload.
    """
    if mode in _DATA_IDENTIFIER_MODES:
        return 2
    if mode <= _LAST_J1979_MODE or mode == _TESTER_PRESENT:
        return 1
    return 2 if pid > 0xFF else 1
