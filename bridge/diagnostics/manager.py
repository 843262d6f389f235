"""The diagnostic manager: many requests of many owners, one in flight per bus and arbitration id.

Sans-I/O: calls and `now` (monotonic seconds) go in, a list of events comes out, to be carried out
in order. It must not know channels (only their addresses), clients (only that owners differ),
permissions or the wire format.

    add ──▶ one-off: queued ─────────────▶ in flight ──▶ done          (answered, timed out, failed)
        └─▶ recurring: waiting ─▶ queued ─▶ in flight ──▶ waiting ...  (until it is cancelled)

A lane is a bus and an arbitration id. It has one request in flight and two queues, each first in,
first out. (OpenXC's firmware serves the newest one-off first; nothing relies on that, and the oldest
would starve.) Where both have something, they take turns: a one-off goes first after a recurring
request, as in OpenXC's firmware, and a recurring one after a one-off, since an app that always has
a one-off waiting would stop everybody's recurring ones. A recurring request joins its queue when it
is due, hence those that share a lane take turns. It stays on the times of its own grid: a late send
does not shift the next, and times missed in a stall are skipped, not made up for. A functional lane
rests for a time-out after each send, even where the request is cancelled before: every ECU has to
hear it, and whoever asks, leaves and comes back must not fill the bus.

Sources: OpenXC's diagnostic requests; ISO 14229-1 and -2 (responses, pending, P2); ISO 15765-2 and -4.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bridge import limits
from bridge.diagnostics.addressing import (
    FUNCTIONAL_EXTENDED_ID,
    FUNCTIONAL_ID,
    ChannelAddress,
    channels,
    is_functional,
)
from bridge.diagnostics.agenda import Agenda
from bridge.diagnostics.errors import RequestRefused
from bridge.diagnostics.events import (
    CloseChannel,
    DecoderFailed,
    Event,
    Finished,
    OpenChannel,
    Outcome,
    Owner,
    Publish,
    SendPayload,
)
from bridge.diagnostics.layout import (
    RESPONSE_PENDING,
    Answer,
    Layout,
    Negative,
    Positive,
    lay_out,
)
from bridge.diagnostics.response import DecoderError, decoded_message, response_message
from bridge.openxc.messages import DiagnosticRequest
from bridge.profile.plan import DiagnosticDecoder

MIN_FREQUENCY = 1e-5  #: Hz, about once a day; slower is a mistake
# A long request's time-out must begin when its last frame is out (P2, ISO 14229-2), which only the
# channel knows. It waits for each flow control for N_Bs (ISO 15765-2), and before each further frame
# for STmin, up to 127 ms. Each of these steps is reported by progress(), which gives the time for the
# next one: the channel, and not this clock, ends a transfer that has stopped. The allowance below is
# for what progress() does not tell: how long the frames take on a slow bus, and a bus far away.
_SEPARATION_TIME = 0.01  #: s
_CONSECUTIVE_FRAME_BYTES = 7

LaneKey = tuple[int, int]  #: bus, arbitration id
RequestKey = tuple[int, int, int, int | None]  #: bus, arbitration id, mode, PID


@dataclass(eq=False, slots=True)
class _Lane:
    key: LaneKey
    in_flight: _Entry | None = None
    one_offs: deque[_Entry] = field(default_factory=deque)
    recurring: deque[_Entry] = field(default_factory=deque)  #: those that are due
    one_off_was_last: bool = False  #: to leave, hence a recurring request is next
    members: int = 0  #: requests of this lane, whatever they are doing


@dataclass(eq=False, slots=True)
class _Entry:
    """A request and how far it is. On the agenda: its time-out when in flight, else `due` while that lies ahead."""

    request: DiagnosticRequest
    owner: Owner
    bus: int
    lane: _Lane
    channels: tuple[ChannelAddress, ...]
    layout: Layout
    decoder: DiagnosticDecoder | None
    multiple: bool  #: the time-out ends it, not the first response
    period: float  #: s; 0 is one-off
    due: float = 0.0
    deadline: float = 0.0
    answered: bool = False  #: ever
    pending: dict[int, float] = field(default_factory=dict)  #: response id that is to answer later -> until when

    @property
    def key(self) -> RequestKey:
        return (self.bus, self.request.id, self.request.mode, self.request.pid)

    def time_out(self) -> float:
        """When it is given up, as things stand."""
        return max(self.deadline, *self.pending.values()) if self.pending else self.deadline


class DiagnosticManager:
    """All diagnostic requests of all buses.

    Every method that returns events has already changed its state: carry the events out in
    order, and report a channel that cannot with channel_failed(). Whenever next_wakeup() comes,
    call poll(). Late calls are fine: nothing is lost or sent twice, time-outs run from the send,
    and a response that is handed in before poll() has expired its request still counts.
    """

    def __init__(
        self,
        buses: Iterable[int],
        random: Callable[[], float],
        *,
        max_frequency: float = limits.DIAGNOSTIC_MAX_FREQUENCY,
        timeout: float = limits.DIAGNOSTIC_TIMEOUT,
        pending_timeout: float = limits.DIAGNOSTIC_PENDING_TIMEOUT,
        delay: Callable[[int], float] = lambda bus: 0.0,
        requests_limit: int = limits.DIAGNOSTIC_REQUESTS_LIMIT,
        owner_limit: int = limits.DIAGNOSTIC_OWNER_LIMIT,
    ) -> None:
        """`buses` are the bus numbers, the default one first; `random` gives numbers in [0, 1) to stagger starts.

        `delay` gives the seconds that a request and its answer take on the way to a bus's vehicle. Where
        there are any, progress() is not called.
        """
        self._buses = tuple(buses)
        self._random = random
        self._max_frequency = max_frequency
        self._timeout = timeout
        self._pending_timeout = pending_timeout
        self._delay = delay
        self._requests_limit = requests_limit
        self._owner_limit = owner_limit
        self._entries: dict[_Entry, None] = {}  # in the order of their making
        self._owned: Counter[Owner] = Counter()  # how many of them each owner has
        self._recurring: dict[RequestKey, _Entry] = {}
        self._lanes: dict[LaneKey, _Lane] = {}
        self._channel_users: Counter[ChannelAddress] = Counter()
        self._agenda: Agenda[_Entry] = Agenda()
        self._rests: dict[LaneKey, float] = {}  # until when a functional lane sends nothing, even if it is gone
        self._resting: Agenda[_Lane] = Agenda()  # those that have something to send then

    def __len__(self) -> int:
        """How many requests there are."""
        return len(self._entries)

    @property
    def max_frequency(self) -> float:
        """Hz; a recurring request that asks for more is refused."""
        return self._max_frequency

    def requests(self) -> list[tuple[Owner, DiagnosticRequest]]:
        """All requests, oldest first."""
        return [(entry.owner, entry.request) for entry in self._entries]

    def add(
        self,
        request: DiagnosticRequest,
        owner: Owner,
        now: float,
        *,
        decoder: DiagnosticDecoder | None = None,
        pid_length: int | None = None,
    ) -> list[Event]:
        """Take a request: a one-off is sent at once or queued, a recurring one starts within its first period.

        `decoder` (a profile's) decodes positive responses instead of the request's decoded type;
        `pid_length` (a profile's; 1 or 2 bytes) overrides what the mode says.
        Raises RequestRefused for an unknown bus, an impossible id, mode, PID, payload or
        frequency, a recurring request whose bus, id, mode and PID another one has (that one
        stays), and where there are too many requests, of all or of this owner (None, the profile
        itself, has no bound of its own); nothing has changed then.
        """
        entry = self._make_entry(request, owner, decoder, pid_length)
        if entry.period and entry.key in self._recurring:
            raise RequestRefused("a recurring request with this bus, id, mode and PID exists; cancel it first")
        if len(self._entries) >= self._requests_limit:
            raise RequestRefused(f"too many diagnostic requests; at most {self._requests_limit} at once")
        if owner is not None and self._owned[owner] >= self._owner_limit:
            raise RequestRefused(f"too many diagnostic requests of one client; at most {self._owner_limit} at once")
        events: list[Event] = []
        self._entries[entry] = None
        self._owned[owner] += 1
        self._lanes[entry.lane.key] = entry.lane
        entry.lane.members += 1
        for address in entry.channels:
            self._channel_users[address] += 1
            if self._channel_users[address] == 1:
                events.append(OpenChannel(address))
        if entry.period:
            self._recurring[entry.key] = entry
            entry.due = now + self._random() * entry.period
            self._agenda.set(entry, entry.due)
        else:
            entry.lane.one_offs.append(entry)
            self._advance(entry.lane, now, events)
        return events

    def cancel(self, request: DiagnosticRequest, now: float) -> list[Event]:
        """Remove the recurring request with this one's bus, id, mode and PID, whoever owns it, even in flight.

        Raises RequestRefused where there is none; a one-off cannot be cancelled.
        """
        key = (self._bus(request.bus), request.id, request.mode, request.pid)
        entry = self._recurring.get(key)
        if entry is None:
            raise RequestRefused("no recurring request with this bus, id, mode and PID")
        return self._cancel([entry], now)

    def cancel_owner(self, owner: Owner, now: float) -> list[Event]:
        """Remove all requests of an owner, recurring and one-off, even in flight. None is fine."""
        return self._cancel([entry for entry in self._entries if entry.owner == owner], now)

    def received(self, channel: ChannelAddress, payload: bytes, now: float) -> list[Event]:
        """Take a whole ISO-TP payload from a channel. Whatever answers no request is dropped.

        A payload does not say whether a physical or a functional request caused it, so a positive
        one answers both where both match. A negative one, and so one that says pending, does not even
        name its PID: it is taken for the physical request's, since ECUs keep most of them back in
        functional addressing.
        """
        events: list[Event] = []
        if channel.response_id is None:
            return events
        refused = False
        for entry in self._listening(channel):
            answer = entry.layout.classify(payload)
            if answer is None:
                continue
            if isinstance(answer, Negative):
                if refused:
                    continue
                refused = True
                if answer.code == RESPONSE_PENDING:
                    entry.pending[channel.response_id] = now + self._pending_timeout
                    self._agenda.set(entry, entry.time_out())
                    continue
            self._answered(entry, channel.response_id, answer, now, events)
        return events

    def progress(self, channel: ChannelAddress, now: float) -> None:
        """A frame of a longer payload went over the channel, in or out: its request waits a full time-out from now.

        A request that is itself longer than a frame may still wait for flow control, and gets the time for that.
        A frame does not say whose payload it is part of: the physical request's where there is one, or
        else a recurring one with long responses would keep a functional one in flight for ever.
        """
        for entry in self._listening(channel)[:1]:
            deadline = now + self._timeout + _next_step_allowance(len(entry.layout.payload))
            if deadline > entry.deadline:
                entry.deadline = deadline
                self._agenda.set(entry, entry.time_out())

    def channel_failed(self, channel: ChannelAddress, reason: str, now: float) -> list[Event]:
        """A channel could not be opened, or a transfer on it was lost.

        What was sent on it and is in flight ends without a response; a recurring request is sent
        again when it is due. A functional request goes on, for its other responders.
        """
        events: list[Event] = []
        for entry in self._listening(channel):
            if entry.channels[0] == channel:
                self._rests.pop(entry.lane.key, None)  # a functional request fails only where nothing was sent
                self._land(entry, Outcome.FAILED, now, events, reason)
            else:
                self._no_longer_pending(entry, channel.response_id, now, events)
        return events

    def poll(self, now: float) -> list[Event]:
        """Give up what has timed out, and send what is due."""
        events: list[Event] = []
        for entry in self._agenda.due(now):
            if entry.lane.in_flight is entry:
                self._land(entry, Outcome.ANSWERED if entry.answered else Outcome.TIMED_OUT, now, events)
            else:
                entry.lane.recurring.append(entry)
                self._advance(entry.lane, now, events)
        for lane in self._resting.due(now):
            self._advance(lane, now, events)
        return events

    def next_wakeup(self) -> float | None:
        """When poll() has something to do next; None: not before another call."""
        times = (self._agenda.next_time(), self._resting.next_time())
        return min((time for time in times if time is not None), default=None)

    def _bus(self, bus: int | None) -> int:
        if not self._buses:
            raise RequestRefused("there is no bus")
        if not bus:
            return self._buses[0]
        if bus not in self._buses:
            raise RequestRefused(f"no bus {bus}")
        return bus

    def _period(self, frequency: float) -> float:
        if frequency == 0:
            return 0.0
        if not math.isfinite(frequency) or frequency < MIN_FREQUENCY:
            raise RequestRefused(f"frequency must be 0 or {MIN_FREQUENCY:g} Hz at least")
        if frequency > self._max_frequency:
            raise RequestRefused(f"frequency must be {self._max_frequency:g} Hz at most")
        return 1.0 / frequency

    def _make_entry(
        self, request: DiagnosticRequest, owner: Owner, decoder: DiagnosticDecoder | None, pid_length: int | None
    ) -> _Entry:
        bus = self._bus(request.bus)
        key = (bus, request.id)
        return _Entry(
            request=request,
            owner=owner,
            bus=bus,
            lane=self._lanes.get(key) or _Lane(key),
            channels=channels(bus, request.id),
            layout=lay_out(request, pid_length),
            decoder=decoder,
            multiple=request.multiple_responses or is_functional(request.id),
            period=self._period(request.frequency),
        )

    def _listening(self, channel: ChannelAddress) -> list[_Entry]:
        """The requests in flight that use a channel: a physical one first, then a functional one."""
        functional_id = FUNCTIONAL_EXTENDED_ID if channel.extended else FUNCTIONAL_ID
        found = []
        for request_id in dict.fromkeys((channel.request_id, functional_id)):
            lane = self._lanes.get((channel.bus, request_id))
            if lane is not None and lane.in_flight is not None and channel in lane.in_flight.channels:
                found.append(lane.in_flight)
        return found

    def _advance(self, lane: _Lane, now: float, events: list[Event]) -> None:
        """Send the lane's next request if nothing is in flight and it does not rest."""
        self._resting.discard(lane)
        if lane.in_flight is not None:
            return
        queues = (lane.recurring, lane.one_offs) if lane.one_off_was_last else (lane.one_offs, lane.recurring)
        queue = queues[0] or queues[1]
        if not queue:
            return
        if now < self._rests.get(lane.key, now):
            self._resting.set(lane, self._rests[lane.key])
            return
        entry = lane.in_flight = queue.popleft()
        lane.one_off_was_last = not entry.period
        entry.pending.clear()
        if entry.period:
            # The next time of its grid that still lies ahead; rounding must not make that now.
            missed = math.floor((now - entry.due) / entry.period)
            entry.due += (missed + 1) * entry.period
            if entry.due <= now:
                entry.due += entry.period
        entry.deadline = now + self._patience(entry)
        self._agenda.set(entry, entry.deadline)
        if is_functional(entry.request.id):
            self._rests[lane.key] = now + self._timeout
        events.append(SendPayload(entry.channels[0], entry.layout.payload))

    def _patience(self, entry: _Entry) -> float:
        """Seconds from the sending of a request to giving it up."""
        delay = self._delay(entry.bus)
        # Where no part of a long answer is seen, one answer is waited for until it may have come as a whole.
        # All answers are not, or else one silent ECU would hold up every functional request.
        unseen = limits.DIAGNOSTIC_FAR_TIMEOUT if delay and not entry.multiple else 0.0
        return self._timeout + delay + unseen + _transfer_allowance(len(entry.layout.payload))

    def _answered(self, entry: _Entry, response_id: int, answer: Answer, now: float, events: list[Event]) -> None:
        """Publish a response, and land the request if that was all."""
        message = None
        try:
            if entry.decoder is not None and isinstance(answer, Positive):
                message = decoded_message(entry.request, entry.bus, response_id, answer.payload, entry.decoder)
            else:
                message = response_message(entry.request, entry.bus, response_id, answer)
        except DecoderError as error:
            events.append(DecoderFailed(entry.request, str(error)))
            message = response_message(entry.request, entry.bus, response_id, answer)
        if message is not None:
            events.append(Publish(message, entry.owner, entry.request))
        entry.answered = True
        if entry.multiple:
            self._no_longer_pending(entry, response_id, now, events)
        else:
            self._land(entry, Outcome.ANSWERED, now, events)

    def _no_longer_pending(self, entry: _Entry, response_id: int | None, now: float, events: list[Event]) -> None:
        """Nobody has to wait for this responder any more."""
        if response_id is None or entry.pending.pop(response_id, None) is None:
            return
        if entry.time_out() <= now:
            self._land(entry, Outcome.ANSWERED if entry.answered else Outcome.TIMED_OUT, now, events)
        else:
            self._agenda.set(entry, entry.time_out())

    def _land(self, entry: _Entry, outcome: Outcome, now: float, events: list[Event], reason: str = "") -> None:
        """Take a request out of flight; a recurring one goes round again, a one-off is done. The next one takes off."""
        entry.lane.in_flight = None
        if not entry.period:
            self._remove(entry, outcome, events, reason)
        elif entry.due <= now:
            self._agenda.discard(entry)
            entry.lane.recurring.append(entry)
        else:
            self._agenda.set(entry, entry.due)
        self._advance(entry.lane, now, events)

    def _cancel(self, entries: list[_Entry], now: float) -> list[Event]:
        """Remove requests, all of them before anything else takes off."""
        events: list[Event] = []
        for entry in entries:
            self._remove(entry, Outcome.CANCELLED, events)
        for lane in {entry.lane: None for entry in entries}:
            self._advance(lane, now, events)
        return events

    def _remove(self, entry: _Entry, outcome: Outcome, events: list[Event], reason: str = "") -> None:
        """Forget a request and close the channels that only it needed."""
        del self._entries[entry]
        self._owned[entry.owner] -= 1
        if not self._owned[entry.owner]:
            del self._owned[entry.owner]
        self._agenda.discard(entry)
        if entry.period:
            del self._recurring[entry.key]
        lane = entry.lane
        if lane.in_flight is entry:
            lane.in_flight = None
        for queue in (lane.one_offs, lane.recurring):
            if entry in queue:
                queue.remove(entry)
        lane.members -= 1
        if not lane.members:
            del self._lanes[lane.key]
            self._resting.discard(lane)
        for address in entry.channels:
            self._channel_users[address] -= 1
            if not self._channel_users[address]:
                del self._channel_users[address]
                events.append(CloseChannel(address))
        events.append(Finished(entry.owner, entry.request, outcome, reason))


def _transfer_allowance(size: int) -> float:
    """How long the sending of a payload of `size` bytes may take before its time-out begins, in seconds."""
    if size <= limits.SINGLE_FRAME_LIMIT:
        return 0.0
    return _next_step_allowance(size) + math.ceil(size / _CONSECUTIVE_FRAME_BYTES) * _SEPARATION_TIME


def _next_step_allowance(size: int) -> float:
    """How long the sending of a payload of `size` bytes may stand still without being lost, in seconds."""
    return limits.FLOW_CONTROL_TIMEOUT if size > limits.SINGLE_FRAME_LIMIT else 0.0
