"""Predefined OBD-II requests: once the engine runs, ask for every named PID that the vehicle supports.

    off ──enable──▶ watching: vehicle and engine speed, every 2 s ──one is not 0──▶ running
     ▲                 ▲                                                              │
     └──disable────────┴──────────────── nothing answered for 6 s ────────────────────┘

Running begins with the supported-PIDs bitmaps, each as far as the one before announces it, and
goes on with a recurring request for each supported PID of the OBD-II table (no more often than the
manager lets anybody ask), until the vehicle has gone quiet (the ignition is off) or the whole is
disabled; either cancels all that was made.

A machine on top of the manager, which it calls itself; it must not know clients. Source: OpenXC's
predefined_obd2 command, SAE J1979.
"""

from __future__ import annotations

import enum

from bridge import limits
from bridge.diagnostics import obd2
from bridge.diagnostics.addressing import FUNCTIONAL_ID
from bridge.diagnostics.errors import RequestRefused
from bridge.diagnostics.events import Event, Finished, InternalOwner, Publish
from bridge.diagnostics.manager import DiagnosticManager
from bridge.openxc.messages import DecodedType, DiagnosticRequest, DiagnosticResponse, SimpleMessage

SILENT_ROUNDS = 3  #: periods without any answer that mean that the vehicle sleeps
_LAST_BITMAP = 0x80  #: as far as OpenXC asks
_BITMAP_TRIES = 3  #: for a bitmap that another one has announced
_WATCHED = ((0x0D, "vehicle_speed"), (0x0C, "engine_speed"))  # vehicle speed first, as OpenXC asks


class _Phase(enum.Enum):
    OFF = "off"
    WATCHING = "watching"
    RUNNING = "running"


class PredefinedObd2:
    """The predefined requests of one bus, owned by InternalOwner.PREDEFINED_OBD2.

    Hand it every Publish and Finished event of that owner (the Publish ones go to the clients as
    well), and call poll() whenever its own next_wakeup() comes. What it returns is to be carried
    out like the manager's own events.
    """

    def __init__(
        self, manager: DiagnosticManager, bus: int = 1, *, period: float = limits.OBD2_IGNITION_PERIOD
    ) -> None:
        """`period`: seconds between two looks for a running engine."""
        self._manager = manager
        self._bus = bus
        self._period = period
        self._phase = _Phase.OFF
        self._next_look = 0.0
        self._last_answer = 0.0
        self._bitmap: int | None = None  # the bitmap that is being asked for
        self._bitmap_tries = 0
        self._bitmap_pids: set[int] = set()  # what all responders together said

    @property
    def enabled(self) -> bool:
        """Whether it is on, whatever the vehicle does."""
        return self._phase is not _Phase.OFF

    def enable(self, now: float) -> list[Event]:
        """Start over: look for a running engine at once. Nothing happens when it is on already."""
        if self.enabled:
            return []
        self._watch(now)
        return self.poll(now)

    def disable(self, now: float) -> list[Event]:
        """Stop, and cancel all that was made."""
        events = self._cancel_all(now)
        self._phase = _Phase.OFF
        return events

    def poll(self, now: float) -> list[Event]:
        """Look for a running engine if it is time to, or notice that the vehicle has gone quiet."""
        events: list[Event] = []
        if self._phase is _Phase.RUNNING and now >= self._silent_at():
            events += self._cancel_all(now)
            self._watch(now)
        if self._phase is _Phase.WATCHING and now >= self._next_look:
            self._next_look = now + self._period
            if not self._has_requests():  # a crowded lane must not fill with looks
                for pid, name in _WATCHED:
                    events += self._add(self._request(pid, name=name), now)
        return events

    def next_wakeup(self) -> float | None:
        """When poll() has something to do next; None when off."""
        match self._phase:
            case _Phase.WATCHING:
                return self._next_look
            case _Phase.RUNNING:
                return self._silent_at()
        return None

    def handle(self, event: Event, now: float) -> list[Event]:
        """Learn from an event of the manager. Events of other owners are ignored."""
        if not isinstance(event, Publish | Finished) or event.owner is not InternalOwner.PREDEFINED_OBD2:
            return []
        if self._phase is _Phase.OFF:
            return []
        if isinstance(event, Publish):
            return self._published(event, now)
        return self._bitmap_done(now) if self._is_bitmap(event.request) else []

    def _published(self, event: Publish, now: float) -> list[Event]:
        self._last_answer = now
        message = event.message
        if self._phase is _Phase.WATCHING:
            # A name is all that tells a value from a refusal; an idling engine or a rolling car is enough.
            if isinstance(message, SimpleMessage) and message.value:
                self._phase = _Phase.RUNNING
                return self._ask_bitmap(0, now)
        elif self._is_bitmap(event.request) and isinstance(message, DiagnosticResponse) and message.success:
            self._bitmap_pids |= obd2.supported_pids(event.request.pid or 0, message.payload or b"")
        return []

    def _is_bitmap(self, request: DiagnosticRequest) -> bool:
        return self._bitmap is not None and not request.name and request.pid == self._bitmap

    def _bitmap_done(self, now: float) -> list[Event]:
        """Go on from a bitmap: its named PIDs, and the next bitmap if there is one."""
        first = self._bitmap or 0
        self._bitmap = None
        if not self._bitmap_pids:
            self._bitmap_tries += 1
            return self._ask_bitmap(first, now) if self._bitmap_tries < _BITMAP_TRIES else []
        events: list[Event] = []
        for pid in obd2.PREDEFINED:
            if pid.pid in self._bitmap_pids:
                frequency = min(pid.frequency, self._manager.max_frequency)
                events += self._add(self._request(pid.pid, name=pid.name, frequency=frequency), now)
        following = first + obd2.BITMAP_SPAN
        if following in self._bitmap_pids and following <= _LAST_BITMAP:
            self._bitmap_tries = 0
            events += self._ask_bitmap(following, now)
        return events

    def _ask_bitmap(self, first: int, now: float) -> list[Event]:
        self._bitmap = first
        self._bitmap_pids = set()
        return self._add(self._request(first, decoded_type=DecodedType.NONE), now)

    def _has_requests(self) -> bool:
        return any(owner is InternalOwner.PREDEFINED_OBD2 for owner, _ in self._manager.requests())

    def _watch(self, now: float) -> None:
        self._phase = _Phase.WATCHING
        self._next_look = now
        self._bitmap = None
        self._bitmap_tries = 0

    def _silent_at(self) -> float:
        return self._last_answer + SILENT_ROUNDS * self._period

    def _request(
        self, pid: int, *, name: str | None = None, frequency: float = 0.0, decoded_type: DecodedType = DecodedType.OBD2
    ) -> DiagnosticRequest:
        return DiagnosticRequest(
            bus=self._bus,
            id=FUNCTIONAL_ID,
            mode=obd2.CURRENT_DATA,
            pid=pid,
            name=name,
            frequency=frequency,
            decoded_type=decoded_type,
        )

    def _add(self, request: DiagnosticRequest, now: float) -> list[Event]:
        """Add a request; where it is refused, do without.

        An app may have the same recurring request, or too many others; the next look, or the
        next start of the engine, tries again.
        """
        try:
            return self._manager.add(request, InternalOwner.PREDEFINED_OBD2, now)
        except RequestRefused:
            return []

    def _cancel_all(self, now: float) -> list[Event]:
        """Cancel all requests. Their ends are no news, and must not be taken for those of later ones."""
        events = self._manager.cancel_owner(InternalOwner.PREDEFINED_OBD2, now)
        return [
            event
            for event in events
            if not (isinstance(event, Finished) and event.owner is InternalOwner.PREDEFINED_OBD2)
        ]
