"""Who answers a diagnostic request, and over which ISO-TP channels.

A physical id speaks to one ECU, a functional one to every ECU that feels concerned. It must not
know what is asked, nor how a channel is made.

Sources: ISO 15765-4 (0x7DF, 0x7E0 to 0x7EF, 0x18DB33F1 and 0x18DAxxF1), ISO 15765-2 (normal fixed
addressing: an id's low bytes are target and source), SAE J2178-1 (ECU addresses), the OpenXC
vehicle interface (a response id is the request id + 8).
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.diagnostics.errors import RequestRefused

FUNCTIONAL_ID = 0x7DF  #: 11 bits: every OBD-II ECU
FUNCTIONAL_EXTENDED_ID = 0x18DB33F1  #: 29 bits: every OBD-II ECU
_STANDARD_LIMIT = 0x7FF
_EXTENDED_LIMIT = 0x1FFFFFFF
_RESPONSE_OFFSET = 8
# Normal fixed addressing, physical: PF 0xDA on data page 0, whatever the priority.
_NORMAL_FIXED_MASK = 0x03FF0000
_NORMAL_FIXED = 0x00DA0000
_FUNCTIONAL_RESPONSES = range(0x7E8, 0x7F0)
# With 29 bits any of 256 addresses could answer, and each would need a channel that gives it flow
# control. Emission-related ECUs, at most eight of which answer a functional request, are
# powertrain controllers, and those have the addresses 0x00 to 0x1F (engine 0x10 to 0x17,
# transmission 0x18 to 0x1F, the others for what a manufacturer adds, as a hybrid's control).
_FUNCTIONAL_ADDRESSES = range(0x20)


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """An ISO-TP channel between the bridge and one ECU; without a response id it only sends single frames."""

    bus: int
    request_id: int
    response_id: int | None
    extended: bool  #: 29-bit identifiers


def is_extended(request_id: int) -> bool:
    """Whether the id needs 29 bits."""
    return request_id > _STANDARD_LIMIT


def is_functional(request_id: int) -> bool:
    """Whether the id is one of the two functional addresses of ISO 15765-4."""
    return request_id in (FUNCTIONAL_ID, FUNCTIONAL_EXTENDED_ID)


def response_ids(request_id: int) -> tuple[int, ...]:
    """The ids that answers to a request may have: one, or for a functional id one for each ECU.

    0x7DF: 0x7E8 to 0x7EF. 0x18DB33F1: 0x18DAF1xx, xx 0x00 to 0x1F. 0x18DAxxyy, of any priority:
    0x18DAyyxx of the same. Any other id: id + 8. Raises RequestRefused for an id that no response id belongs to.
    """
    if not 0 <= request_id <= _EXTENDED_LIMIT:
        raise RequestRefused(f"id {request_id:#x} is not an arbitration id of 11 or 29 bits")
    if request_id == FUNCTIONAL_ID:
        return tuple(_FUNCTIONAL_RESPONSES)
    if request_id == FUNCTIONAL_EXTENDED_ID:
        return tuple(0x18DAF100 | address for address in _FUNCTIONAL_ADDRESSES)
    if request_id & _NORMAL_FIXED_MASK == _NORMAL_FIXED:
        target, source = request_id >> 8 & 0xFF, request_id & 0xFF
        if target == source:
            raise RequestRefused(f"id {request_id:#x} is the tester's own address")
        return (request_id & ~0xFFFF | source << 8 | target,)
    response_id = request_id + _RESPONSE_OFFSET
    if response_id > (_EXTENDED_LIMIT if is_extended(request_id) else _STANDARD_LIMIT):
        raise RequestRefused(f"id {request_id:#x} has no response id: {response_id:#x} is out of range")
    return (response_id,)


def physical_id(response_id: int) -> int:
    """The id that reaches the ECU behind an answer to a functional request; flow control goes there."""
    if is_extended(response_id):
        return 0x18DA00F1 | (response_id & 0xFF) << 8
    return response_id - _RESPONSE_OFFSET


def reported_id(request_id: int, response_id: int) -> int:
    """The id that a response is published with: the request's; the responder's own for a functional request."""
    return response_id if is_functional(request_id) else request_id


def channels(bus: int, request_id: int) -> tuple[ChannelAddress, ...]:
    """The channels that a request needs, the one that it is sent on first.

    A functional request is sent on a channel that only sends, and is answered on those that
    physical requests to the same ECUs use too. Raises RequestRefused as response_ids() does.
    """
    extended = is_extended(request_id)
    responses = response_ids(request_id)
    if not is_functional(request_id):
        return (ChannelAddress(bus, request_id, responses[0], extended),)
    receivers = (ChannelAddress(bus, physical_id(response), response, extended) for response in responses)
    return (ChannelAddress(bus, request_id, None, extended), *receivers)
