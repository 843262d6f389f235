"""A bench for the manager: carries out its events, checks that they make sense, and remembers them."""

from dataclasses import dataclass, field

from bridge.diagnostics.addressing import FUNCTIONAL_ID, ChannelAddress, channels
from bridge.diagnostics.events import CloseChannel, DecoderFailed, Finished, OpenChannel, Outcome, Publish, SendPayload
from bridge.diagnostics.manager import DiagnosticManager
from bridge.openxc.messages import DiagnosticRequest

ENGINE = ChannelAddress(1, 0x7E0, 0x7E8, False)
EVERYBODY = ChannelAddress(1, FUNCTIONAL_ID, None, False)


def request(id=0x7E0, mode=1, pid=0x0C, **fields):
    return DiagnosticRequest(id=id, mode=mode, pid=pid, **fields)


def recurring(frequency=1.0, **fields):
    return request(frequency=frequency, **fields)


def answer(a_request, payload=b"", length=1):
    """The positive response to a request."""
    pid = b"" if a_request.pid is None else a_request.pid.to_bytes(length, "big")
    return bytes((a_request.mode + 0x40,)) + pid + payload


def ecu(index, bus=1):
    """The channel on which the n-th OBD-II ECU answers."""
    return channels(bus, FUNCTIONAL_ID)[1 + index]


@dataclass
class Bench:
    manager: DiagnosticManager
    first_bus: int = 1
    now: float = 100.0
    open: set = field(default_factory=set)
    sent: list = field(default_factory=list)  # (time, address, payload)
    published: list = field(default_factory=list)  # Publish
    finished: list = field(default_factory=list)  # Finished
    failed_decoders: list = field(default_factory=list)
    flights: dict = field(default_factory=dict)  # (bus, id) -> when sent, while nothing has ended it
    functional: dict = field(default_factory=dict)  # (bus, functional id) -> when sent

    def do(self, events):
        for event in events:
            match event:
                case OpenChannel(address):
                    assert address not in self.open
                    self.open.add(address)
                case CloseChannel(address):
                    self.open.remove(address)
                    self.flights.pop((address.bus, address.request_id), None)
                case SendPayload(address, payload):
                    assert address in self.open
                    self.sent.append((self.now, address, payload))
                    lane = (address.bus, address.request_id)
                    assert self.now - self.flights.get(lane, -1) > 0.0999, "two in flight"
                    self.flights[lane] = self.now
                    if address.response_id is None:
                        assert self.now - self.functional.get(lane, -1) > 0.0999, "every ECU asked too soon again"
                        self.functional[lane] = self.now
                case Publish():
                    self.published.append(event)
                    self._landed(event.request)
                case Finished():
                    self.finished.append(event)
                    self._landed(event.request)
                case DecoderFailed():
                    self.failed_decoders.append(event)
                case _:
                    raise AssertionError(event)
        return events

    def _landed(self, a_request):
        self.flights.pop((a_request.bus or self.first_bus, a_request.id), None)

    def add(self, a_request, owner="app", **options):
        return self.do(self.manager.add(a_request, owner, self.now, **options))

    def cancel(self, a_request):
        return self.do(self.manager.cancel(a_request, self.now))

    def receive(self, payload, channel=ENGINE):
        return self.do(self.manager.received(channel, payload, self.now))

    def fail(self, channel=ENGINE, reason="gone"):
        self.flights.pop((channel.bus, channel.request_id), None)
        self.functional.pop((channel.bus, channel.request_id), None)
        return self.do(self.manager.channel_failed(channel, reason, self.now))

    def poll_at(self, now):
        self.now = now
        return self.do(self.manager.poll(now))

    def pass_time(self, seconds, respond=None):
        """Poll at every wake-up until then; `respond(address, payload)` gives (channel, payload) pairs."""
        end = self.now + seconds
        if respond is not None:
            self._respond(respond, 0)
        while (wakeup := self.manager.next_wakeup()) is not None and wakeup <= end:
            already = len(self.sent)
            self.poll_at(max(self.now, wakeup))
            after = self.manager.next_wakeup()
            assert after is None or after > wakeup, "no progress"
            if respond is not None:
                self._respond(respond, already)
        self.now = end

    def _respond(self, respond, position):
        while position < len(self.sent):
            _, address, payload = self.sent[position]
            position += 1
            for channel, response in respond(address, payload):
                self.receive(response, channel)

    def payloads(self):
        return [payload for _, _, payload in self.sent]

    def messages(self):
        return [event.message for event in self.published]

    def outcomes(self):
        return [event.outcome for event in self.finished]


def bench(buses=(1, 2), random=0.5, **options):
    return Bench(DiagnosticManager(buses, lambda: random, **options), next(iter(buses), 1))


ANSWERED, TIMED_OUT, FAILED, CANCELLED = Outcome.ANSWERED, Outcome.TIMED_OUT, Outcome.FAILED, Outcome.CANCELLED
