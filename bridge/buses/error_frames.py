"""What an error frame of Linux says (linux/can/error.h): the controller's state, and why in words.

Pure: no sockets and no clock. It must not know what becomes of either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.buses.bus import BusState

# Error classes, the id of the frame.
TX_TIMEOUT = 0x001
ARBITRATION_LOST = 0x002
CONTROLLER = 0x004
PROTOCOL = 0x008
TRANSCEIVER = 0x010
NO_ACKNOWLEDGEMENT = 0x020
BUS_OFF = 0x040
BUS_ERROR = 0x080
RESTARTED = 0x100
COUNTERS = 0x200

# What data[1] says of the controller.
_RX_OVERFLOW, _TX_OVERFLOW = 0x01, 0x02
_RX_WARNING, _TX_WARNING = 0x04, 0x08
_RX_PASSIVE, _TX_PASSIVE = 0x10, 0x20
_ACTIVE = 0x40

_CONTROLLER = {
    _RX_OVERFLOW: "the controller's receive buffer overflowed",
    _TX_OVERFLOW: "the controller's transmit buffer overflowed",
    _RX_WARNING: "many receive errors (error warning)",
    _TX_WARNING: "many transmit errors (error warning)",
    _RX_PASSIVE: "too many receive errors (error passive)",
    _TX_PASSIVE: "too many transmit errors (error passive)",
    _ACTIVE: "the controller is error active again",
}
_PROTOCOL = {  # data[2]
    0x01: "bit error",
    0x02: "form error",
    0x04: "stuff error",
    0x08: "bit error: dominant bit not sent",
    0x10: "bit error: recessive bit not sent",
    0x20: "overload",
    0x40: "active error flag",
}
_TRANSMITTING = 0x80
_LOCATIONS = {  # data[3]
    0x02: "in id bits 28 to 21",
    0x03: "in the start of frame",
    0x04: "in the substitute RTR bit",
    0x05: "in the identifier extension bit",
    0x06: "in id bits 20 to 18",
    0x07: "in id bits 17 to 13",
    0x08: "in the CRC sequence",
    0x09: "in reserved bit 0",
    0x0A: "in the data field",
    0x0B: "in the data length code",
    0x0C: "in the RTR bit",
    0x0D: "in reserved bit 1",
    0x0E: "in id bits 4 to 0",
    0x0F: "in id bits 12 to 5",
    0x12: "in the intermission",
    0x18: "in the CRC delimiter",
    0x19: "in the ACK slot",
    0x1A: "in the end of frame",
    0x1B: "in the ACK delimiter",
}
_WIRES = {  # data[4], one digit for each wire
    0x04: "CAN_H has no wire",
    0x05: "CAN_H is shorted to battery",
    0x06: "CAN_H is shorted to supply",
    0x07: "CAN_H is shorted to ground",
    0x40: "CAN_L has no wire",
    0x50: "CAN_L is shorted to battery",
    0x60: "CAN_L is shorted to supply",
    0x70: "CAN_L is shorted to ground",
    0x80: "CAN_L is shorted to CAN_H",
}


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """One error frame, understood."""

    state: BusState | None  #: what the controller's state is now; None where the frame says nothing of it
    reason: str  #: one line


def decode(error_class: int, data: bytes) -> ErrorReport:
    """Read one error frame.

    Args:
        error_class: the frame's id; classes that are not known are named by their number.
        data: its data bytes; those that are missing count as 0.
    """
    data = data.ljust(8, b"\0")
    reasons = [*_reasons(error_class, data)] or [f"an error of class 0x{error_class:x}"]
    return ErrorReport(_state(error_class, data[1]), ", ".join(reasons))


def _state(error_class: int, controller: int) -> BusState | None:
    if error_class & BUS_OFF:
        return BusState.BUS_OFF
    if error_class & CONTROLLER and controller & (_RX_PASSIVE | _TX_PASSIVE):
        return BusState.ERROR_PASSIVE
    if error_class & RESTARTED:
        return BusState.UP
    if error_class & CONTROLLER and controller & (_RX_WARNING | _TX_WARNING | _ACTIVE):
        return BusState.UP
    return None


def _reasons(error_class: int, data: bytes) -> Iterator[str]:
    if error_class & BUS_OFF:
        yield "the controller left the bus after too many errors (bus off)"
    if error_class & RESTARTED:
        yield "the controller was restarted"
    if error_class & CONTROLLER:
        yield from _bits(data[1], _CONTROLLER, "a problem of the controller")
    if error_class & NO_ACKNOWLEDGEMENT:
        yield "no acknowledgement: nobody else on the bus, another bitrate, or a broken wire"
    if error_class & PROTOCOL:
        yield _protocol(data[2], data[3])
    elif error_class & BUS_ERROR:
        yield "bus error"
    if error_class & ARBITRATION_LOST:
        yield f"arbitration lost in bit {data[0]}" if data[0] else "arbitration lost"
    if error_class & TX_TIMEOUT:
        yield "a frame could not be sent in time (driver's time-out)"
    if error_class & TRANSCEIVER:
        wires = [_WIRES[part] for part in (data[4] & 0x0F, data[4] & 0xF0) if part in _WIRES]
        yield from wires or ["a problem of the transceiver"]
    if error_class & COUNTERS or data[6] or data[7]:
        yield f"error counters: transmit {data[6]}, receive {data[7]}"


def _bits(value: int, names: dict[int, str], otherwise: str) -> list[str]:
    return [name for bit, name in names.items() if value & bit] or [otherwise]


def _protocol(kind: int, location: int) -> str:
    parts = [" and ".join(_bits(kind, _PROTOCOL, "protocol error"))]
    if location in _LOCATIONS:
        parts.append(_LOCATIONS[location])
    if kind & _TRANSMITTING:
        parts.append("while sending")
    return " ".join(parts)
