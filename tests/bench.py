"""A bench for the vehicle interface: one client of it, the vehicle's side, and a clock that the test moves."""

import json

from bridge.diagnostics.addressing import ChannelAddress
from bridge.diagnostics.events import CloseChannel, OpenChannel, SendPayload
from bridge.frames import Frame
from bridge.interface import Peer, VehicleInterface
from bridge.openxc import json_format
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.stream import StreamDecoder
from bridge.policy import Write
from bridge.profile.plan import (
    BuiltinDecoder,
    Message,
    Plan,
    PlanBus,
)

from .codec.plans import signal

ENGINE = ChannelAddress(1, 0x7E0, 0x7E8, False)


def make_plan(**changes) -> Plan:
    signals = (
        signal("closed", start=24),
        signal("lights", start=0, size=1, writable=True, decoder=BuiltinDecoder.BOOLEAN),
        signal(
            "wipers", start=8, size=4, writable=True, decoder=BuiltinDecoder.STATE, states={"off": [0], "fast": [2]}
        ),
    )
    values = {
        "name": "tests",
        "buses": (PlanBus(1, "hs", raw_writable=True), PlanBus(2, "ms", raw_writable=False)),
        "messages": (
            Message(bus=1, id=0x42, name="body", signals=signals),
            Message(bus=2, id=0x43, name="far", signals=(signal("far", writable=True),)),
        ),
    }
    return Plan(**(values | changes))


class Vehicle:
    """A vehicle interface, one client of it, and a clock that the test moves."""

    def __init__(self, plan: Plan | None = None, grants: Write = Write.ALL, muted: bool = False, **options) -> None:
        self.interface = VehicleInterface(plan or make_plan(), uniform=lambda: 0.0, **options)
        self.interface.translator.want(frozenset({PayloadFormat.JSON}))
        self.peer = Peer("client 1", grants)
        self.now = 100.0
        self.sent: list[tuple[int, str]] = []
        self.open: set[ChannelAddress] = set()
        self.records: list[dict] = []
        self.responses: list[dict] = []
        self.frames: list[Frame] = []
        self.refusals: list[str] = []
        self.muted: set[int] = set()
        self.polls = 0
        if muted:
            self.mute()
        self.take(self.interface.start(self.now))

    def take(self, output) -> None:
        for peer, response in output.responses:
            assert peer is self.peer
            self.responses.append(json.loads(json_format.encode(response)[:-1]))
        self.records += [json.loads(record) for record in output.records.json.split(b"\0")[:-1]]
        for event in output.channels:
            match event:
                case OpenChannel(address=address):
                    assert address not in self.open
                    self.open.add(address)
                case CloseChannel(address=address):
                    self.open.remove(address)
                case SendPayload(address=address, payload=payload):
                    assert address in self.open
                    assert address.bus not in self.muted
                    self.sent.append((address.request_id, payload.hex()))
        self.frames += output.frames
        self.refusals += output.refusals
        self.formats = output.formats

    def say(self, peer: Peer | None = None, **record) -> dict | None:
        """Send a record; the answer, if there is one."""
        before = len(self.responses)
        for message in StreamDecoder(PayloadFormat.JSON).feed(json.dumps(record).encode() + b"\0"):
            self.take(self.interface.handle(message, peer or self.peer, self.now))
        return self.responses[-1] if len(self.responses) > before else None

    def ask(self, **request) -> dict | None:
        return self.say(command="diagnostic_request", action="add", request=request)

    def answer(self, payload: str, address: ChannelAddress = ENGINE) -> None:
        self.take(self.interface.payload(address, bytes.fromhex(payload), self.now))

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the interface whenever it wants it."""
        end = self.now + seconds
        while (wakeup := self.interface.next_wakeup()) is not None and wakeup <= end:
            self.now = max(self.now, wakeup)
            self.take(self.interface.poll(self.now))
            self.polls += 1
        self.now = end

    def mute(self, bus: int = 1) -> None:
        self.interface.mute(bus, True)
        self.muted.add(bus)

    def unmute(self, bus: int = 1) -> None:
        self.interface.mute(bus, False)
        self.muted.discard(bus)
