"""Who may write what. Every write to a vehicle passes here, and nowhere else.

A write passes when the listener that it came through grants its kind and the bus that it is
for allows it. What is in doubt is denied. This module decides; it sends nothing, logs nothing
and knows no client.

Sources: ISO 14229-1 and SAE J1979 (services), ISO 15765-2 (protocol control information),
ISO 15765-4 (diagnostic arbitration ids), and the meaning of `raw_writable` and `writable` in
OpenXC's firmware profiles.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.errors import ClientError, ConfigurationError
from bridge.limits import SINGLE_FRAME_LIMIT


class Write(enum.Flag):
    """Kinds of writes, and sets of them: what a listener grants."""

    NONE = 0
    SIGNAL = enum.auto()  #: a simple write of a `writable` signal
    READ_DIAGNOSTIC = enum.auto()  #: a diagnostic request that only reads
    CHANGE_DIAGNOSTIC = enum.auto()  #: any other diagnostic request
    RAW = enum.auto()  #: a raw frame
    ALL = SIGNAL | READ_DIAGNOSTIC | CHANGE_DIAGNOSTIC | RAW


#: The words of --allow-write. `diagnostics` includes those that read; the others are apart.
GRANTS = {
    "none": Write.NONE,
    "signals": Write.SIGNAL,
    "read-diagnostics": Write.READ_DIAGNOSTIC,
    "diagnostics": Write.READ_DIAGNOSTIC | Write.CHANGE_DIAGNOSTIC,
    "raw": Write.RAW,
    "all": Write.ALL,
}

_TESTER_PRESENT = 0x3E
#: Services that read: SAE J1979 01 to 0A, ReadDTCInformation, ReadDataByIdentifier, TesterPresent.
READING_SERVICES = frozenset({*range(0x01, 0x0B), 0x19, 0x22, _TESTER_PRESENT})

_SINGLE_FRAME_LENGTHS = range(0x01, SINGLE_FRAME_LIMIT + 1)  # how a single frame begins
_NO_CONTROL_INFORMATION = 0x40  # ISO 15765-2 has four types of frames, in the upper four bits


class WriteRefusedError(ClientError):
    """The write is not allowed; the text says by whom and what would allow it."""


@dataclass(frozen=True, slots=True)
class BusRules:
    """What a bus allows, as its profile says, and as whoever holds it says."""

    number: int
    raw_writable: bool | None  #: None: no profile describes the bus, the listener decides alone
    diagnostic_ids: frozenset[int] = frozenset()  #: ids that the profile itself sends requests to
    muted: bool = False  #: an openOBD session has the bus to itself; for its own writes this is False


def parse_grants(text: str) -> Write:
    """The value of --allow-write: one or more words of GRANTS, separated by commas.

    Raises:
        ConfigurationError: another word.
    """
    granted = Write.NONE
    for word in text.split(","):
        if word.strip() not in GRANTS:
            raise ConfigurationError(f'"{word.strip()}" cannot be allowed; use one or more of {", ".join(GRANTS)}')
        granted |= GRANTS[word.strip()]
    return granted


def describe_grants(grants: Write) -> str:
    """Grants in the words of --allow-write."""
    for word, kinds in GRANTS.items():
        if kinds == grants:
            return word
    words = [word for word in ("signals", "diagnostics", "raw") if GRANTS[word] in grants]
    if Write.READ_DIAGNOSTIC in grants and Write.CHANGE_DIAGNOSTIC not in grants:
        words.append("read-diagnostics")
    return ",".join(words)


def default_grants(harmless_buses: Iterable[bool]) -> Write:
    """What a listener grants unless told: everything where no bus is real, else reading diagnostics."""
    return Write.ALL if all(harmless_buses) else Write.READ_DIAGNOSTIC


def muted_reason(number: int) -> str:
    """Why nothing may be written on a muted bus."""
    return f"bus {number} is in use by an openOBD session, which has muted other testers"


def check_signal(grants: Write, bus: BusRules, name: str, *, writable: bool, forced: bool = False) -> None:
    """A simple write of a signal. A bus that is not raw_writable still takes its writable signals.

    `forced` is for the writes that a profile's own command stands for.

    Raises:
        WriteRefusedError
    """
    if not writable and not forced:
        raise WriteRefusedError(f"{name} is not writable in the profile")
    _check_muted(bus)
    _check_listener(grants, Write.SIGNAL, "signals")


def check_diagnostic(grants: Write, bus: BusRules, identifier: int, extended: bool, service: int) -> None:
    """A diagnostic request, by its service (mode) and its arbitration id.

    A request to an id that no diagnostics are known to use is as good as a raw frame to it, six
    bytes of it free, so reading is not enough there.

    Raises:
        WriteRefusedError
    """
    _check_bus(bus, "diagnostic requests")
    if service not in READING_SERVICES:
        _check_change(grants, f"service 0x{service:02x} changes the vehicle")
    elif not (is_diagnostic_id(identifier, extended) or identifier in bus.diagnostic_ids):
        _check_change(grants, f"0x{identifier:x} is no diagnostic id")
    else:
        _check_listener(grants, Write.READ_DIAGNOSTIC, "read-diagnostics")


def check_channel(grants: Write, bus: BusRules, identifier: int, extended: bool, *, address: int | None = None) -> None:
    """An ISO-TP channel that sends on an id and hears another one: it sends flow control of its own accord.

    That needs what a request that only reads needs. `address` is the byte that precedes the protocol
    control information, with extended addressing. An ECU with normal addressing takes that byte for
    the protocol control information, and the bytes after it for a request that nobody has judged. So
    where normal addressing is certain, or the byte means something to it, reading is not enough.

    Raises:
        WriteRefusedError
    """
    check_diagnostic(grants, bus, identifier, extended, _TESTER_PRESENT)
    if address is None:
        return
    if _is_legislated_request_id(identifier, extended):
        _check_change(grants, f"0x{identifier:x} has normal addressing")
    if address < _NO_CONTROL_INFORMATION:
        _check_change(grants, f"with normal addressing the address 0x{address:02x} is control information")


def check_payload(
    grants: Write, bus: BusRules, identifier: int, extended: bool, payload: bytes, *, address: int | None = None
) -> None:
    """A whole payload for such a channel, by its service.

    An ECU with extended addressing takes the first byte of a frame with normal addressing for an
    address, and the next one, a service's number, for the protocol control information. So where
    normal addressing is not certain, reading is not enough for a service that begins a single frame
    then, nor for what takes more than one frame, since those are cut at any place.

    Raises:
        WriteRefusedError
    """
    if not payload:
        raise WriteRefusedError("an empty payload is no diagnostic request")
    check_diagnostic(grants, bus, identifier, extended, payload[0])
    check_channel(grants, bus, identifier, extended, address=address)
    if address is not None or _is_legislated_request_id(identifier, extended):
        return
    if payload[0] in _SINGLE_FRAME_LENGTHS:
        _check_change(grants, f"service 0x{payload[0]:02x} is ambiguous where 0x{identifier:x} has extended addressing")
    if len(payload) > SINGLE_FRAME_LIMIT:
        _check_change(grants, f"{len(payload)} bytes are ambiguous where 0x{identifier:x} has extended addressing")


def check_raw(grants: Write, bus: BusRules, identifier: int, extended: bool, data: bytes) -> None:
    """A raw frame. One that may carry a diagnostic request must be allowed as that, too.

    Raises:
        WriteRefusedError
    """
    _check_bus(bus, "raw frames")
    _check_listener(grants, Write.RAW, "raw")
    if not (is_diagnostic_id(identifier, extended) or identifier in bus.diagnostic_ids):
        return
    if _is_legislated_request_id(identifier, extended) and _isotp_service(data) in READING_SERVICES:
        _check_listener(grants, Write.READ_DIAGNOSTIC, "read-diagnostics", " besides raw, for this id")
    else:
        _check_listener(grants, Write.CHANGE_DIAGNOSTIC, "diagnostics", " besides raw, for this id")


def is_diagnostic_id(identifier: int, extended: bool) -> bool:
    """Whether ECUs may take frames with this id for diagnostic requests.

    11 bits: 0x700 to 0x7FF, where ISO 15765-4 and the makers put theirs. 29 bits: normal fixed
    addressing, physical (PF 0xDA) and functional (0xDB), and mixed addressing (0xCD, 0xCE), of
    any priority.
    """
    if extended:
        return identifier >> 16 & 0xFF in (0xDA, 0xDB, 0xCD, 0xCE)
    return identifier >= 0x700


def _is_legislated_request_id(identifier: int, extended: bool) -> bool:
    """The request ids of ISO 15765-4, where normal addressing is certain.

    Elsewhere the same bytes may be extended addressing: 04 03 2E F1 90 is a reading service 03,
    or a write (2E) to the ECU with the address 04.
    """
    if extended:
        return identifier == 0x18DB33F1 or identifier & 0x1FFF00FF == 0x18DA00F1
    return identifier == 0x7DF or 0x7E0 <= identifier <= 0x7E7


def _isotp_service(data: bytes) -> int | None:
    """The service of the request that a frame starts (ISO 15765-2, normal addressing).

    None where it cannot be told: consecutive frames, flow control, nonsense.
    """
    if not data:
        return None
    kind, low = data[0] >> 4, data[0] & 0xF
    if kind == 0 and low:  # single frame
        return data[1] if low < len(data) else None
    if kind == 0 and len(data) > 8:  # single frame, CAN FD
        return data[2] if 0 < data[1] <= len(data) - 2 else None
    if kind == 1 and len(data) >= 3 and (low or data[1]):  # first frame
        return data[2]
    return None


def _check_muted(bus: BusRules) -> None:
    if bus.muted:
        raise WriteRefusedError(muted_reason(bus.number))


def _check_bus(bus: BusRules, what: str) -> None:
    _check_muted(bus)
    if bus.raw_writable is False:
        raise WriteRefusedError(f"bus {bus.number} takes no {what}: its profile does not say raw_writable")


def _check_change(grants: Write, why: str) -> None:
    _check_listener(grants, Write.CHANGE_DIAGNOSTIC, "diagnostics", f" ({why})")


def _check_listener(grants: Write, kind: Write, word: str, remark: str = "") -> None:
    if kind not in grants:
        raise WriteRefusedError(f"this listener does not allow it; the bridge needs --allow-write {word}{remark}")
