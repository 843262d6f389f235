"""The manager under anything that owners, ECUs and the clock may do."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.diagnostics.addressing import FUNCTIONAL_EXTENDED_ID, FUNCTIONAL_ID, channels
from bridge.diagnostics.errors import RequestRefused
from bridge.openxc.messages import DecodedType, SimpleMessage

from .bench import bench, request

IDS = st.sampled_from([0x7E0, 0x7E1, 0x123, FUNCTIONAL_ID, 0x18DA10F1, FUNCTIONAL_EXTENDED_ID, 0x7FF])
REQUESTS = st.builds(
    request,
    id=IDS,
    bus=st.sampled_from([None, 0, 1, 2, 3]),
    mode=st.sampled_from([1, 1, 3, 9, 0x22, 0x3F, 0xC0, 0]),
    pid=st.sampled_from([None, 0, 0x0C, 0xFF, 0xF190]),
    payload=st.sampled_from([b"", b"", b"\x01", bytes(20)]),
    frequency=st.sampled_from([0.0, 0.0, 0.5, 10.0, 11.0]),
    name=st.sampled_from([None, "n"]),
    multiple_responses=st.booleans(),
    decoded_type=st.sampled_from([None, *DecodedType]),
)
OWNERS = st.sampled_from("abc")
CHANNELS = st.sampled_from(
    [
        each
        for bus in (1, 2)
        for request_id in (FUNCTIONAL_ID, 0x123, 0x18DA10F1)
        for each in channels(bus, request_id)[:3]
    ]
)


class Machine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1000))
    def start(self, seed):
        self.bench = bench(requests_limit=12)
        self.bench.manager._random = random.Random(seed).random
        self.since = 0
        self.added = 0

    def check_events(self):
        """Messages are well-formed, and belong to somebody."""
        for event in self.bench.published[self.since :]:
            message = event.message
            if isinstance(message, SimpleMessage):
                assert message.name == event.request.name
                assert type(message.value) in (int, float)
            else:
                assert message.mode == event.request.mode and message.pid == event.request.pid
                assert message.payload != b"" and message.negative_response_code not in (0, 0x78)
                assert message.success == (message.negative_response_code is None)
                assert message.value is None or type(message.value) in (int, float)
        self.since = len(self.bench.published)

    @rule(a_request=REQUESTS, owner=OWNERS)
    def add(self, a_request, owner):
        before = self.bench.manager.requests()
        try:
            self.bench.add(a_request, owner)
        except RequestRefused:
            assert self.bench.manager.requests() == before
        else:
            self.added += 1
            assert self.bench.manager.requests() == [*before, (owner, a_request)]

    @rule(a_request=REQUESTS)
    def cancel(self, a_request):
        before = len(self.bench.manager)
        try:
            self.bench.cancel(a_request)
        except RequestRefused:
            assert len(self.bench.manager) == before
        else:
            assert len(self.bench.manager) == before - 1

    @rule(owner=OWNERS)
    def leave(self, owner):
        self.bench.do(self.bench.manager.cancel_owner(owner, self.bench.now))
        assert all(each != owner for each, _ in self.bench.manager.requests())

    @rule(channel=CHANNELS, payload=st.binary(max_size=12))
    def noise(self, channel, payload):
        self.bench.receive(payload, channel)
        self.check_events()

    @rule(data=st.data(), tail=st.binary(max_size=10))
    def respond(self, data, tail):
        if not self.bench.sent:
            return
        _, address, payload = data.draw(st.sampled_from(self.bench.sent[-4:]))
        if address.response_id is None:
            address = data.draw(st.sampled_from(channels(address.bus, address.request_id)[1:4]))
        positive = bytes(((payload[0] + 0x40) & 0xFF,)) + payload[1:3] + tail
        negative = b"\x7f" + payload[:1]
        response = data.draw(
            st.sampled_from([positive, positive[:1] + payload[1:2] + tail, negative + b"\x78", negative + b"\x11"])
        )
        self.bench.receive(response, address)
        self.check_events()

    @rule(channel=CHANNELS)
    def progress(self, channel):
        self.bench.manager.progress(channel, self.bench.now)

    @rule(channel=CHANNELS)
    def fail(self, channel):
        self.bench.fail(channel)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5]))
    def pass_time(self, seconds):
        self.bench.pass_time(seconds)

    @rule(seconds=st.sampled_from([0.0, 0.07, 0.3, 20.0]))
    def stall(self, seconds):
        already = len(self.bench.sent)
        self.bench.poll_at(self.bench.now + seconds)
        addresses = [address for _, address, _ in self.bench.sent[already:]]
        assert len(addresses) == len(set(addresses))  # at most one each, however much was missed

    @invariant()
    def channels_are_open_iff_needed(self):
        needed = {channel for _, each in self.bench.manager.requests() for channel in channels(each.bus or 1, each.id)}
        assert self.bench.open == needed

    @invariant()
    def nothing_waits_for_nothing(self):
        manager = self.bench.manager
        for lane in manager._lanes.values():
            waits = lane.one_offs or lane.recurring
            assert lane.in_flight is not None or not waits or lane in manager._resting._serials
            assert lane.members > 0
        assert (manager.next_wakeup() is None) == (len(manager) == 0)

    def teardown(self):
        if not hasattr(self, "bench"):
            return
        for owner in "abc":
            self.leave(owner)
        manager = self.bench.manager
        assert not self.bench.open and not manager._lanes and not manager._recurring and not manager._channel_users
        assert manager.next_wakeup() is None and not len(manager._resting)
        assert len(self.bench.finished) == self.added


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestManagerRules = Machine.TestCase
