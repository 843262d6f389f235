"""The vehicle identification number: overheard, or asked for with mode 9 PID 2.

A machine on top of the manager, which it calls itself; it must not know how clients are
answered, only that they differ. Sources: OpenXC's get_vin command (the broadcast frames, the
messages), SAE J1979 (mode 9), ISO 3779 (17 characters).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from bridge.diagnostics.errors import RequestRefused
from bridge.diagnostics.events import Event, Finished, InternalOwner, Outcome, Publish
from bridge.diagnostics.manager import DiagnosticManager
from bridge.openxc.messages import DecodedType, DiagnosticRequest, DiagnosticResponse

BROADCAST_ID = 0x40A  #: of the frames in which some vehicles tell their VIN unasked
VIN_LENGTH = 17
_BROADCAST_MARK = 0xC1
_BROADCAST_PARTS = 3
_PART_LENGTH = 6
ENGINE_ID = 0x7E0
VEHICLE_INFORMATION = 0x09
_VIN_PID = 0x02
_ITEM_COUNT = b"\x01"  # what mode 9 puts before the VIN on CAN
_FAILURE = "Unable to get VIN - "


@dataclass(frozen=True, slots=True)
class VinAnswer:
    """The answer to one client's get_vin: status true and the VIN, or false and a reason."""

    client: Hashable
    status: bool
    message: str


class VinReader:
    """Answers get_vin, with one request for all clients that wait at the same time.

    The request is owned by InternalOwner.VIN. Hand every Publish and Finished event of that owner
    to handle(), and to nobody else: the VIN is an answer to a command and no data.
    """

    def __init__(self, manager: DiagnosticManager, bus: int = 1) -> None:
        self._manager = manager
        self._request = DiagnosticRequest(
            bus=bus, id=ENGINE_ID, mode=VEHICLE_INFORMATION, pid=_VIN_PID, decoded_type=DecodedType.NONE
        )
        self._parts: dict[int, bytes] = {}
        self._waiting: dict[Hashable, int] = {}  # client -> how many answers it is owed
        self._response: DiagnosticResponse | None = None

    @property
    def overheard(self) -> str | None:
        """The VIN from broadcast frames; None until all parts were seen and make sense."""
        if len(self._parts) < _BROADCAST_PARTS:
            return None
        vin = _text(b"".join(self._parts[part] for part in range(_BROADCAST_PARTS)))
        return vin if vin is not None and len(vin) == VIN_LENGTH else None

    def frame(self, frame_id: int, data: bytes) -> None:
        """Take a received frame; only `c1 <part 0 to 2> <six characters>` with BROADCAST_ID says something."""
        if frame_id != BROADCAST_ID or len(data) <= 2 or data[0] != _BROADCAST_MARK or data[1] >= _BROADCAST_PARTS:
            return
        self._parts[data[1]] = data[2 : 2 + _PART_LENGTH]

    def get(self, client: Hashable, now: float) -> list[Event | VinAnswer]:
        """Answer at once where the VIN was overheard, else when the engine's ECU has answered or timed out."""
        vin = self.overheard
        if vin is not None:
            return [VinAnswer(client, True, vin)]
        events: list[Event | VinAnswer] = []
        if not self._waiting:
            self._response = None
            try:
                events += self._manager.add(self._request, InternalOwner.VIN, now)
            except RequestRefused as error:
                return [VinAnswer(client, False, f"{_FAILURE}{error}")]
        self._waiting[client] = self._waiting.get(client, 0) + 1
        return events

    def handle(self, event: Event) -> list[VinAnswer]:
        """Learn from an event of the manager. Events of other owners are ignored."""
        if isinstance(event, Publish) and event.owner is InternalOwner.VIN:
            self._response = event.message if isinstance(event.message, DiagnosticResponse) else None
        if not isinstance(event, Finished) or event.owner is not InternalOwner.VIN:
            return []
        status, message = self._result(event)
        answers = [VinAnswer(client, status, message) for client, count in self._waiting.items() for _ in range(count)]
        self._waiting.clear()
        return answers

    def forget(self, client: Hashable, now: float) -> list[Event]:
        """Owe a client nothing any more, and take the request back if nobody else waits."""
        if self._waiting.pop(client, None) is None or self._waiting:
            return []
        events = self._manager.cancel_owner(InternalOwner.VIN, now)
        # Its end is no news, and must not be taken for that of a later request.
        return [event for event in events if not (isinstance(event, Finished) and event.owner is InternalOwner.VIN)]

    def _result(self, event: Finished) -> tuple[bool, str]:
        response = self._response
        if response is None:
            return False, _FAILURE + ("timeout" if event.outcome is Outcome.TIMED_OUT else event.reason or "cancelled")
        if not response.success:
            return False, f"{_FAILURE}negative response {response.negative_response_code:#04x}"
        vin = parse_vin(response.payload or b"")
        return (True, vin) if vin is not None else (False, _FAILURE + "no VIN in the response")


def parse_vin(payload: bytes) -> str | None:
    """The VIN in the payload of a mode 9 PID 2 response: `[01, the count of items][VIN, padded with NULs]`.

    A VIN has 17 characters; a shorter chassis number is taken as it is. None where there are no
    1 to 17 printable ASCII characters.
    """
    vin = _text(payload.removeprefix(_ITEM_COUNT))
    return vin if vin is not None and 1 <= len(vin) <= VIN_LENGTH else None


def _text(data: bytes) -> str | None:
    text = data.strip(b"\0 ").decode("latin-1")
    return text if text.isascii() and text.isprintable() else None
