"""The manager by example: what is sent when, and what is refused."""

import math

import pytest

from bridge.diagnostics.addressing import FUNCTIONAL_EXTENDED_ID, FUNCTIONAL_ID, ChannelAddress
from bridge.diagnostics.errors import RequestRefused
from bridge.errors import ClientError
from bridge.limits import DIAGNOSTIC_FAR_TIMEOUT
from bridge.openxc.messages import DecodedType, DiagnosticResponse, SimpleMessage

from .bench import ANSWERED, CANCELLED, ENGINE, EVERYBODY, FAILED, TIMED_OUT, answer, bench, ecu, recurring, request


class TestOneOff:
    def test_is_sent_at_once_unstaggered(self):
        b = bench()
        b.add(request(pid=2))
        assert b.sent == [(100.0, ENGINE, b"\x01\x02")]
        assert b.open == {ENGINE}

    def test_response(self):
        b = bench()
        b.add(request(pid=2, decoded_type=DecodedType.NONE))
        b.receive(b"\x41\x02\x45")
        assert b.messages() == [
            DiagnosticResponse(bus=1, id=2016, mode=1, success=True, pid=2, payload=b"\x45", value=0x45)
        ]
        assert b.published[0].owner == "app"
        assert b.outcomes() == [ANSWERED]
        assert not b.open
        assert len(b.manager) == 0
        assert b.manager.next_wakeup() is None

    def test_named_response(self):
        b = bench()
        b.add(request(pid=2, name="mypid"))
        b.receive(b"\x41\x02\x45")
        assert b.messages() == [SimpleMessage(name="mypid", value=69)]

    def test_named_response_with_a_decoder(self):
        b = bench()
        b.add(request(pid=2, name="mypid"), decoder=lambda asked, payload: payload[0] * 2)
        b.receive(b"\x41\x02\x45")
        assert b.messages() == [SimpleMessage(name="mypid", value=138)]

    def test_second_response_is_ignored(self):
        b = bench()
        b.add(request())
        b.receive(answer(request(), b"\x1a\xf8"))
        b.receive(answer(request(), b"\x1a\xf8"))
        assert len(b.published) == 1

    def test_times_out_and_is_not_sent_again(self):
        b = bench()
        b.add(request())
        assert b.manager.next_wakeup() == pytest.approx(100.1)
        b.poll_at(100.099)
        assert len(b.manager) == 1
        b.poll_at(100.1)
        b.pass_time(10)
        assert len(b.sent) == 1
        assert b.published == []
        assert b.outcomes() == [TIMED_OUT]
        assert not b.open
        b.receive(answer(request(), b"\x1a\xf8"))
        assert b.published == []

    def test_late_poll_still_takes_the_response_that_came_before_it(self):
        b = bench()
        b.add(request())
        b.now = 100.2
        b.receive(answer(request(), b"\x1a\xf8"))
        assert len(b.published) == 1

    def test_several_with_the_same_key_are_served_in_order(self):
        b = bench()
        for number in range(3):
            b.add(request(mode=0x31, pid=1, payload=bytes((number,))))
        assert b.payloads() == [b"\x31\x01\x00"]
        for _ in range(3):
            b.receive(b"\x71\x01")
        assert b.payloads() == [b"\x31\x01\x00", b"\x31\x01\x01", b"\x31\x01\x02"]
        assert len(b.published) == 3

    def test_payload(self):
        b = bench()
        b.add(request(pid=2, payload=b"\x12\x34"))
        assert b.payloads() == [b"\x01\x02\x12\x34"]

    def test_missing_bus_or_zero_is_the_first(self):
        b = bench(buses=(3, 1))
        b.add(request(bus=None))
        b.add(request(bus=0))
        b.receive(b"\x41\x0c\x00\x04", ChannelAddress(3, 0x7E0, 0x7E8, False))
        assert [address.bus for _, address, _ in b.sent] == [3, 3]
        assert b.messages()[0].bus == 3


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"bus": 7}, "no bus 7"),
            ({"mode": 0}, "mode"),
            ({"id": 0x20000000}, "id"),
            ({"payload": bytes(4094)}, "4096 bytes"),
            ({"frequency": 11.0}, "10 Hz at most"),
            ({"frequency": 10.001}, "10 Hz at most"),
            ({"frequency": -1.0}, "frequency"),
            ({"frequency": 1e-9}, "frequency"),
            ({"frequency": math.nan}, "frequency"),
            ({"frequency": math.inf}, "frequency"),
        ],
    )
    def test_reason(self, fields, reason):
        b = bench()
        with pytest.raises(ClientError, match=reason) as error:
            b.add(request(**fields))
        assert "\n" not in str(error.value)
        assert len(b.manager) == 0
        assert b.manager.next_wakeup() is None
        b.add(request())  # nothing was left in the way
        assert len(b.sent) == 1

    def test_no_bus_at_all(self):
        with pytest.raises(RequestRefused):
            bench(buses=()).add(request())

    def test_10_hz_is_fine_and_the_limit_is_a_setting(self):
        bench().add(recurring(10.0))
        bench(max_frequency=50).add(recurring(50.0))
        with pytest.raises(RequestRefused, match="50 Hz at most"):
            bench(max_frequency=50).add(recurring(51.0))

    @pytest.mark.parametrize("frequency", [1.0, 2.0])
    def test_recurring_twice_keeps_the_first(self, frequency):
        b = bench(random=0.0)
        b.add(recurring(1.0, name="first"))
        with pytest.raises(RequestRefused, match="exists"):
            b.add(recurring(frequency, name="second", payload=b"\x01"), owner="other")
        b.poll_at(100.0)
        b.receive(answer(request(), b"\x1a\xf8"))
        assert b.messages() == [SimpleMessage(name="first", value=1726)]
        b.pass_time(1.0)
        assert len(b.sent) == 2

    def test_keys_that_differ(self):
        b = bench(random=0.0)
        for fields in ({}, {"pid": None}, {"pid": 0}, {"mode": 2}, {"id": 0x7E1}, {"bus": 2}):
            b.add(recurring(**fields))
        assert len(b.manager) == 6
        with pytest.raises(RequestRefused):
            b.add(recurring(bus=1))

    def test_too_many(self):
        b = bench(requests_limit=256)
        for pid in range(256):
            b.add(recurring(pid=pid), owner=f"app {pid // 64}")
        for refused in (recurring(mode=2), request()):
            with pytest.raises(RequestRefused, match="too many"):
                b.add(refused)
        b.cancel(recurring(pid=7))
        b.add(request())
        assert len(b.manager) == 256

    def test_too_many_of_one_owner_leave_room_for_another(self):
        b = bench(owner_limit=64)
        for pid in range(64):
            b.add(recurring(pid=pid), owner="greedy")
        with pytest.raises(RequestRefused, match="of one client"):
            b.add(request(), owner="greedy")
        b.add(request(), owner="other")
        b.cancel(recurring(pid=7))
        b.add(recurring(pid=7), owner="greedy")

    def test_the_profile_has_no_bound_of_its_own(self):
        b = bench(owner_limit=10)
        for pid in range(100):
            b.add(recurring(pid=pid), owner=None)
        assert len(b.manager) == 100

    def test_20_with_a_limit_of_20(self):
        b = bench(requests_limit=20)
        for pid in range(20):
            b.add(request(pid=pid))
        with pytest.raises(RequestRefused):
            b.add(request())


class TestRecurring:
    def test_is_staggered(self):
        b = bench(random=0.75)
        b.add(recurring(2.0))
        assert b.sent == []
        assert b.manager.next_wakeup() == pytest.approx(100.375)
        b.pass_time(0.4)
        assert [sent[0] for sent in b.sent] == [pytest.approx(100.375)]

    def test_1_hz_waits_for_a_second(self):
        b = bench(random=0.0)
        b.add(recurring(1.0))
        b.poll_at(100.0)
        assert len(b.sent) == 1
        b.poll_at(100.9)
        assert len(b.sent) == 1
        b.poll_at(101.0)
        assert len(b.sent) == 2

    def test_goes_on_without_answers(self):
        b = bench(random=0.0)
        b.add(recurring(10.0))
        b.pass_time(0.95)
        assert len(b.sent) == 10
        assert b.published == []
        assert len(b.manager) == 1

    def test_does_not_drift(self):
        b = bench(random=0.0)
        b.add(recurring(3.0))
        for step in range(1, 3000):  # polled every 10 ms only, so each send is late
            b.poll_at(100.0 + step * 0.01)
        assert len(b.sent) == 90

    def test_does_not_burst_after_a_stall(self):
        b = bench(random=0.0)
        b.add(recurring(10.0))
        b.poll_at(100.0)
        b.poll_at(150.04)
        b.poll_at(150.04)
        assert len(b.sent) == 2
        b.pass_time(0.5)
        assert [round(sent[0] - 150, 2) for sent in b.sent[2:]] == [0.14, 0.24, 0.34, 0.44, 0.54]

    def test_cancel_stops_it(self):
        b = bench(random=0.0)
        b.add(recurring(1.0, name="speed"))
        b.poll_at(100.0)
        b.cancel(request())  # frequency and name do not matter
        assert b.outcomes() == [CANCELLED]
        assert not b.open
        assert b.manager.next_wakeup() is None
        b.receive(answer(request(), b"\x1a\xf8"))
        assert b.published == []

    def test_cancel_between_two_sends(self):
        b = bench(random=0.0)
        b.add(recurring(1.0))
        b.poll_at(100.0)
        b.receive(answer(request(), b"\x1a\xf8"))
        b.cancel(request())
        b.pass_time(3)
        assert len(b.sent) == 1

    def test_cancel_what_is_not_there(self):
        b = bench()
        with pytest.raises(RequestRefused):
            b.cancel(request())
        b.add(request())
        with pytest.raises(RequestRefused):
            b.cancel(request())
        with pytest.raises(RequestRefused, match="no bus 9"):
            b.cancel(request(bus=9))
        assert len(b.manager) == 1

    def test_cancelled_in_flight_lets_the_next_one_go(self):
        b = bench(random=0.0)
        b.add(recurring(1.0))
        b.poll_at(100.0)
        b.add(request(pid=0x0D))
        assert len(b.sent) == 1
        b.cancel(request())
        assert b.payloads() == [b"\x01\x0c", b"\x01\x0d"]

    def test_one_off_beside_it(self):
        b = bench(random=0.0)
        b.add(recurring(1.0, name="again"))
        b.poll_at(100.0)
        b.add(request(name="once"))
        assert len(b.sent) == 1  # blocked for as long as the first is in flight
        b.poll_at(100.1)
        assert len(b.sent) == 2
        b.receive(answer(request(), b"\x1a\xf8"))
        assert b.messages() == [SimpleMessage(name="once", value=1726)]
        b.poll_at(101.0)
        b.receive(answer(request(), b"\x00\x04"))
        assert b.messages()[-1] == SimpleMessage(name="again", value=1)

    def test_one_off_goes_first(self):
        b = bench(random=0.0)
        b.add(recurring(1.0, pid=1))
        b.add(recurring(1.0, pid=2))
        b.poll_at(100.0)
        b.add(request(pid=3))
        b.receive(b"\x41\x01")
        b.receive(b"\x41\x03")
        b.receive(b"\x41\x02")
        assert b.payloads() == [b"\x01\x01", b"\x01\x03", b"\x01\x02"]

    def test_one_offs_leave_every_other_turn_to_those_that_are_due(self):
        b = bench(random=0.0)
        b.add(request(pid=8))
        for pid in (1, 2):
            b.add(recurring(1.0, pid=pid))
        for _ in range(3):
            b.add(request(pid=9))
        for now in (100.0, 100.1, 100.2, 100.3, 100.4, 100.5):  # nobody answers
            b.poll_at(now)
        assert [payload[1] for payload in b.payloads()] == [8, 1, 9, 2, 9, 9]

    def test_an_app_that_asks_on_and_on_slows_a_recurring_request_down_at_most(self):
        b = bench(random=0.0)
        b.add(recurring(5.0, id=FUNCTIONAL_ID))
        b.add(request(id=FUNCTIONAL_ID, pid=5))
        for step in range(1, 101):
            if sum(each.pid == 5 for _, each in b.manager.requests()) < 2:
                b.add(request(id=FUNCTIONAL_ID, pid=5))
            b.poll_at(100.0 + step * 0.1001)
        counts = {pid: sum(payload[1] == pid for payload in b.payloads()) for pid in (5, 0x0C)}
        assert counts[0x0C] >= 45
        assert counts[5] >= 45

    def test_those_that_share_an_id_take_turns(self):
        b = bench(random=0.0)
        for pid, frequency in ((1, 10.0), (2, 5.0), (3, 10.0), (4, 5.0)):
            b.add(recurring(frequency, pid=pid))
        b.pass_time(3.95)  # nobody answers: ten a second for a demand of thirty
        counts = {pid: sum(payload[1] == pid for payload in b.payloads()) for pid in (1, 2, 3, 4)}
        assert sum(counts.values()) == 40
        assert max(counts.values()) - min(counts.values()) <= 1


class TestLanes:
    def test_same_id_waits_for_the_response(self):
        b = bench()
        b.add(request(pid=1))
        b.add(request(mode=0x22, pid=0xF190))
        assert b.payloads() == [b"\x01\x01"]
        b.receive(b"\x41\x01\x00")
        assert b.payloads() == [b"\x01\x01", b"\x22\xf1\x90"]

    def test_same_id_waits_for_the_time_out(self):
        b = bench()
        b.add(request(pid=1))
        b.add(request(pid=2))
        b.poll_at(100.05)
        assert len(b.sent) == 1
        b.poll_at(100.1)
        assert b.payloads() == [b"\x01\x01", b"\x01\x02"]
        assert b.manager.next_wakeup() == pytest.approx(100.2)

    def test_buses_and_ids_are_independent(self):
        b = bench()
        for fields in ({"bus": 1}, {"bus": 2}, {"id": 0x7E1}, {"id": FUNCTIONAL_ID}, {"id": 0x18DA10F1}):
            b.add(request(**fields))
        assert len(b.sent) == 5
        b.receive(answer(request(), b"\x1a\xf8"), ChannelAddress(2, 0x7E0, 0x7E8, False))
        assert [message.bus for message in b.messages()] == [2]
        assert len(b.manager) == 4


class TestRest:
    """Every ECU hears a functional request, hence there is one per time-out, whoever asks or leaves."""

    def test_whoever_comes_back_waits(self):
        b = bench()
        for _ in range(50):
            b.add(request(id=FUNCTIONAL_ID, mode=4))
            b.do(b.manager.cancel_owner("app", b.now))
        assert len(b.sent) == 1
        assert not b.open
        assert b.manager.next_wakeup() is None
        b.now = 100.05
        b.add(request(id=FUNCTIONAL_ID))
        assert b.manager.next_wakeup() == pytest.approx(100.1)
        b.poll_at(100.1)
        assert b.payloads() == [b"\x04\x0c", b"\x01\x0c"]
        assert b.manager.next_wakeup() == pytest.approx(100.2)

    def test_those_behind_a_cancelled_one_wait(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.add(request(id=FUNCTIONAL_ID, pid=0x0D), owner="other")
        b.do(b.manager.cancel_owner("app", b.now))
        assert len(b.sent) == 1
        b.pass_time(0.1)
        assert b.payloads() == [b"\x01\x0c", b"\x01\x0d"]

    def test_a_late_poll_is_not_needed(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.add(request(id=FUNCTIONAL_ID, pid=0x0D), owner="other")
        b.do(b.manager.cancel_owner("app", b.now))
        b.now = 100.3
        b.add(request(id=FUNCTIONAL_ID, pid=0x0E))
        assert b.payloads() == [b"\x01\x0c", b"\x01\x0d"]
        assert b.manager.next_wakeup() == pytest.approx(100.4)

    def test_buses_and_ids_rest_for_themselves(self):
        b = bench()
        for fields in ({}, {"bus": 2}, {"id": FUNCTIONAL_EXTENDED_ID}):
            b.add(request(**{"id": FUNCTIONAL_ID} | fields))
            b.do(b.manager.cancel_owner("app", b.now))
        assert len(b.sent) == 3

    def test_what_was_not_sent_needs_no_rest(self):
        b = bench()
        for pid in range(3):
            b.add(request(id=FUNCTIONAL_ID, pid=pid))
        for _ in range(3):
            b.fail(EVERYBODY)
        assert b.outcomes() == [FAILED] * 3
        assert b.manager.next_wakeup() is None

    def test_one_ecu_needs_none(self):
        b = bench()
        for _ in range(3):
            b.add(request())
            b.do(b.manager.cancel_owner("app", b.now))
        assert len(b.sent) == 3


class TestDelay:
    """A vehicle far away: requests and answers are under way for a while, and their parts are not seen."""

    def test_one_answer_is_waited_for_until_it_may_have_come_as_a_whole(self):
        b = bench(delay=lambda bus: 0.4)
        b.add(request())
        assert b.manager.next_wakeup() == pytest.approx(100.0 + 0.1 + 0.4 + DIAGNOSTIC_FAR_TIMEOUT)

    def test_all_answers_are_waited_for_as_long_as_they_are_under_way(self):
        b = bench(delay=lambda bus: 0.4)
        b.add(request(id=FUNCTIONAL_ID))
        assert b.manager.next_wakeup() == pytest.approx(100.5)

    def test_it_is_that_of_the_bus_and_of_the_moment(self):
        delays = {1: 0.0, 2: 0.3}
        b = bench(delay=delays.__getitem__)
        b.add(request(id=FUNCTIONAL_ID, bus=2))
        assert b.manager.next_wakeup() == pytest.approx(100.4)
        delays[2] = 0.7
        b.add(request(id=FUNCTIONAL_ID, bus=2))
        b.poll_at(101.0)
        assert b.manager.next_wakeup() == pytest.approx(101.8)


class TestChannels:
    def test_failure_ends_the_request(self):
        b = bench()
        b.add(request())
        b.add(request(pid=0x0D))
        b.fail(reason="no flow control")
        assert b.outcomes() == [FAILED]
        assert b.finished[0].reason == "no flow control"
        assert b.payloads() == [b"\x01\x0c", b"\x01\x0d"]

    def test_recurring_request_tries_again_when_it_is_due(self):
        b = bench(random=0.0)
        b.add(recurring())
        b.poll_at(100.0)
        b.fail()
        assert b.finished == []
        b.pass_time(1.0)
        assert len(b.sent) == 2

    def test_failure_of_one_responder(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.receive(b"\x7f\x01\x78", ecu(1))
        b.fail(ecu(1))
        b.fail(ecu(2))
        assert b.manager.next_wakeup() == pytest.approx(100.1)
        b.receive(b"\x41\x0c\x00\x04", ecu(0))
        assert len(b.published) == 1

    def test_failure_of_the_last_pending_responder(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.receive(b"\x7f\x01\x78", ecu(1))
        b.now = 101.0
        b.fail(ecu(1))
        assert b.outcomes() == [TIMED_OUT]

    def test_failure_of_the_functional_channel(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.fail(EVERYBODY)
        assert b.outcomes() == [FAILED]
        assert not b.open

    def test_failure_with_nothing_in_flight(self):
        b = bench()
        b.add(recurring())
        b.fail()
        b.fail(ecu(4))
        assert len(b.manager) == 1


class TestOwners:
    def test_takes_everything_with_it(self):
        b = bench(random=0.0)
        b.add(recurring(), owner="a")
        b.add(recurring(pid=1), owner="b")
        b.add(request(pid=2), owner="a")
        b.add(request(pid=3), owner="a")
        b.add(request(pid=4), owner="b")
        b.do(b.manager.cancel_owner("a", b.now))
        assert b.payloads() == [b"\x01\x02", b"\x01\x04"]
        assert b.manager.requests() == [("b", recurring(pid=1)), ("b", request(pid=4))]
        b.do(b.manager.cancel_owner("b", b.now))
        assert b.manager.requests() == []
        assert not b.open
        assert b.manager.next_wakeup() is None
        assert b.outcomes() == [CANCELLED] * 5

    def test_that_has_nothing(self):
        b = bench()
        assert b.do(b.manager.cancel_owner("nobody", b.now)) == []

    def test_come_and_go_without_a_trace(self):
        b = bench()
        for number in range(1000):
            b.add(recurring(1e-5, pid=number % 256), owner=number)
            b.add(request(), owner=number)
            b.do(b.manager.cancel_owner(number, b.now))
        manager = b.manager
        assert not manager._entries and not manager._lanes and not manager._recurring and not manager._channel_users
        assert len(manager._agenda._heap) < 100
