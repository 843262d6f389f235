"""The manager by example: what comes back, from one ECU or from several, and how it is published."""

import pytest

from bridge.diagnostics.addressing import FUNCTIONAL_EXTENDED_ID, FUNCTIONAL_ID, ChannelAddress, channels
from bridge.openxc.messages import DiagnosticResponse

from .bench import ANSWERED, ENGINE, EVERYBODY, FAILED, TIMED_OUT, answer, bench, ecu, recurring, request


class TestFunctional:
    def test_channels(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        assert b.open == set(channels(1, FUNCTIONAL_ID))
        assert len(b.open) == 9
        assert b.sent == [(100.0, EVERYBODY, b"\x01\x0c")]

    def test_channels_are_shared_and_counted(self):
        b = bench()
        b.add(recurring())
        b.add(recurring(pid=0x0D))
        assert b.open == {ENGINE}
        b.add(recurring(id=FUNCTIONAL_ID))
        assert len(b.open) == 9
        b.cancel(recurring(id=FUNCTIONAL_ID))
        assert b.open == {ENGINE}
        b.cancel(recurring())
        assert b.open == {ENGINE}
        b.cancel(recurring(pid=0x0D))
        assert b.open == set()

    @pytest.mark.parametrize("flag", [False, True])
    def test_accepts_several_and_reports_the_responders(self, flag):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID, multiple_responses=flag))
        b.receive(b"\x41\x0c\x00\x04", ecu(0))
        b.now = 100.05
        b.receive(b"\x41\x0c\x00\x08", ecu(2))
        b.receive(b"\x41\x0c\x00\x08", ecu(2))
        assert [(message.id, message.value) for message in b.messages()] == [(2024, 1), (2026, 2), (2026, 2)]
        b.poll_at(100.1)
        assert b.outcomes() == [ANSWERED]
        b.receive(b"\x41\x0c\x00\x04", ecu(0))
        assert len(b.published) == 3

    def test_extended(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_EXTENDED_ID))
        b.receive(b"\x41\x0c\x00\x04", ChannelAddress(1, 0x18DA10F1, 0x18DAF110, True))
        b.receive(b"\x41\x0c\x00\x08", ChannelAddress(1, 0x18DA18F1, 0x18DAF118, True))
        assert [(message.id, message.value) for message in b.messages()] == [(0x18DAF110, 1), (0x18DAF118, 2)]

    def test_only_its_responders_answer(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.receive(b"\x41\x0c\x00\x04", ChannelAddress(1, 0x123, 0x12B, False))
        b.receive(b"\x41\x0c\x00\x04", EVERYBODY)
        assert b.published == []

    def test_pending_of_one_waits_for_that_one(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.receive(b"\x7f\x01\x78", ecu(1))
        b.receive(b"\x41\x0c\x00\x04", ecu(0))
        b.poll_at(103.0)
        assert len(b.manager) == 1
        b.receive(b"\x41\x0c\x00\x08", ecu(1))
        assert [message.id for message in b.messages()] == [2024, 2025]
        assert len(b.manager) == 0

    def test_pending_answered_early_keeps_the_rest_of_the_time_out(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.receive(b"\x7f\x01\x78", ecu(1))
        b.receive(b"\x41\x0c\x00\x08", ecu(1))
        assert b.manager.next_wakeup() == pytest.approx(100.1)

    def test_beside_a_physical_one_a_positive_response_is_for_both(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.add(request())
        b.receive(b"\x41\x0c\x00\x04")
        assert sorted(message.id for message in b.messages()) == [2016, 2024]

    def test_beside_a_physical_one_a_negative_response_is_for_that(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.add(request(pid=0xEE))
        b.receive(b"\x7f\x01\x12")
        assert [(message.id, message.pid) for message in b.messages()] == [(2016, 0xEE)]
        b.receive(b"\x7f\x01\x12")
        assert [(message.id, message.pid) for message in b.messages()][1:] == [(2024, 0x0C)]

    def test_beside_a_physical_one_a_pending_response_is_for_that(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID, mode=0x22, pid=0xF187))
        b.add(request(mode=0x22, pid=0xFD10))
        b.receive(b"\x7f\x22\x78")
        b.poll_at(100.1)
        assert [each.id for _, each in b.manager.requests()] == [0x7E0]
        b.poll_at(104.9)
        b.receive(b"\x62\xfd\x10\x01")
        assert [message.id for message in b.messages()] == [0x7E0]

    def test_beside_a_physical_one_of_another_service_a_pending_response_is_for_the_functional_one(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID))
        b.add(request(mode=0x22, pid=0xFD10))
        b.receive(b"\x7f\x01\x78")
        b.poll_at(100.1)
        assert [each.id for _, each in b.manager.requests()] == [FUNCTIONAL_ID]


class TestResponses:
    def test_multiple_responses_stays_open_for_the_whole_time_out(self):
        b = bench()
        b.add(request(multiple_responses=True))
        b.receive(answer(request(), b"\x00\x04"))
        b.now = 100.09
        b.receive(answer(request(), b"\x00\x08"))
        assert [message.value for message in b.messages()] == [1, 2]
        assert b.manager.next_wakeup() == pytest.approx(100.1)
        b.poll_at(100.1)
        assert len(b.manager) == 0

    @pytest.mark.parametrize(
        "payload", ["", "41", "410d00", "420c0000", "7f", "7f01", "7f0211", "7f0100", "00", "62000c"]
    )
    def test_what_does_not_answer_is_ignored(self, payload):
        b = bench()
        b.add(request())
        b.now = 100.05
        b.receive(bytes.fromhex(payload))
        assert b.published == []
        assert b.manager.next_wakeup() == pytest.approx(100.1)  # and buys no time
        b.receive(answer(request(), b"\x00\x04"))
        assert [message.value for message in b.messages()] == [1]

    def test_negative_response(self):
        b = bench()
        b.add(request(name="speed"))
        b.receive(b"\x7f\x01\x11")
        assert b.messages() == [
            DiagnosticResponse(bus=1, id=2016, mode=1, success=False, pid=12, negative_response_code=0x11)
        ]
        assert b.outcomes() == [ANSWERED]

    def test_response_on_a_channel_that_is_not_the_requests(self):
        b = bench()
        b.add(request())
        for channel in (ecu(1), EVERYBODY, ChannelAddress(2, 0x7E0, 0x7E8, False)):
            b.receive(answer(request(), b"\x00\x04"), channel)
        assert b.published == []

    def test_pending_waits_longer_and_is_not_published(self):
        b = bench()
        b.add(request())
        b.now = 100.05
        b.receive(b"\x7f\x01\x78")
        b.poll_at(105.0)
        assert b.published == []
        b.receive(answer(request(), b"\x00\x04"))
        assert [message.value for message in b.messages()] == [1]
        assert len(b.manager) == 0

    def test_pending_ends_after_5_s(self):
        b = bench()
        b.add(request())
        b.receive(b"\x7f\x01\x78")
        b.poll_at(104.9)
        assert len(b.manager) == 1
        b.poll_at(105.0)
        assert b.outcomes() == [TIMED_OUT]
        assert b.published == []

    def test_pending_again_waits_again(self):
        b = bench()
        b.add(request())
        b.receive(b"\x7f\x01\x78")
        b.now = 104.0
        b.receive(b"\x7f\x01\x78")
        b.poll_at(108.9)
        b.receive(b"\x7f\x01\x22")
        assert [message.negative_response_code for message in b.messages()] == [0x22]

    def test_pending_recurring_does_not_burst_afterwards(self):
        b = bench(random=0.0)
        b.add(recurring(10.0))
        b.poll_at(100.0)
        b.receive(b"\x7f\x01\x78")
        b.pass_time(4.0)
        assert len(b.sent) == 1
        b.receive(answer(request(), b"\x00\x04"))
        b.receive(answer(request(), b"\x00\x04"))
        assert len(b.published) == 2
        assert len(b.sent) == 2
        b.pass_time(0.45)
        assert len(b.sent) == 6

    def test_an_answer_that_was_not_wanted_but_came_after_pending_ends_the_wait(self):
        b = bench()
        b.add(request(mode=0x31, pid=0x81, payload=b"\x03\x02"))
        b.add(request())
        b.receive(b"\x7f\x31\x78")
        b.now = 100.4
        b.receive(b"\x71\x01\x03\x02\x00")
        assert [(message.pid, message.payload) for message in b.messages()] == [(0x81, b"\x03\x02\x00")]
        assert len(b.sent) == 2

    def test_decoder_that_says_nothing(self):
        b = bench()
        b.add(request(name="n"), decoder=lambda asked, payload: None)
        b.receive(answer(request(), b"\x00\x04"))
        assert b.published == []
        assert b.outcomes() == [ANSWERED]

    def test_decoder_that_fails(self):
        b = bench()
        b.add(request(), decoder=lambda asked, payload: payload[7])
        b.receive(answer(request(), b"\x00\x04"))
        assert [event.error for event in b.failed_decoders] == ["IndexError: index out of range"]
        assert [message.value for message in b.messages()] == [1]
        assert len(b.manager) == 0

    def test_decoder_is_not_asked_about_negative_responses(self):
        b = bench()
        b.add(request(), decoder=lambda asked, payload: payload[7])
        b.receive(b"\x7f\x01\x11")
        assert not b.messages()[0].success

    def test_pid_length_of_a_profile(self):
        b = bench()
        b.add(request(mode=0x22, pid=0x0B), pid_length=1)
        b.receive(b"\x62\x0b\x05")
        assert b.payloads() == [b"\x22\x0b"]
        assert b.messages()[0].payload == b"\x05"


class TestLongPayloads:
    def test_parts_extend_the_time_out(self):
        b = bench()
        b.add(request(mode=9, pid=2))
        for now in (100.09, 100.15, 100.2):
            b.now = now
            b.manager.progress(ENGINE, now)
        assert b.poll_at(100.29) == []
        b.receive(b"\x49\x02\x01" + b"1" * 17)
        assert b.messages()[0].payload == b"\x01" + b"1" * 17

    def test_parts_that_cease(self):
        b = bench()
        b.add(request(mode=9, pid=2))
        b.manager.progress(ENGINE, 100.05)
        b.poll_at(100.15)
        assert b.outcomes() == [TIMED_OUT]

    def test_parts_of_a_functional_answer(self):
        b = bench()
        b.add(request(id=FUNCTIONAL_ID, mode=9, pid=2))
        b.manager.progress(ecu(3), 100.08)
        b.manager.progress(EVERYBODY, 100.09)
        assert b.manager.next_wakeup() == pytest.approx(100.19)

    def test_parts_nobody_waits_for(self):
        b = bench()
        b.manager.progress(ENGINE, 100.0)
        b.add(request())
        b.manager.progress(ecu(1), 100.05)
        assert b.manager.next_wakeup() == pytest.approx(100.1)

    def test_parts_never_shorten_a_pending_wait(self):
        b = bench()
        b.add(request())
        b.receive(b"\x7f\x01\x78")
        b.manager.progress(ENGINE, 100.05)
        assert b.manager.next_wakeup() == pytest.approx(105.0)

    def test_parts_never_shorten_a_long_requests_wait(self):
        b = bench()
        b.add(request(mode=0x2E, pid=0xF190, payload=bytes(100)))
        before = b.manager.next_wakeup()
        b.manager.progress(ENGINE, 100.05)
        assert b.manager.next_wakeup() == before

    def test_a_pending_wait_ends_with_its_flight(self):
        b = bench(random=0.0)
        b.add(recurring())
        b.poll_at(100.0)
        b.receive(b"\x7f\x01\x78")
        b.receive(answer(request(), b"\x00\x04"))
        b.poll_at(101.0)
        b.manager.progress(ENGINE, 101.05)
        assert b.manager.next_wakeup() == pytest.approx(101.15)

    def test_a_long_request_gets_the_time_to_be_sent(self):
        b = bench()
        b.add(request(mode=0x2E, pid=0xF190, payload=bytes(4092)))
        assert len(b.payloads()[0]) == 4095
        b.poll_at(101.5)
        assert len(b.manager) == 1
        b.receive(b"\x6e\xf1\x90")
        assert b.messages()[0].success

    def test_a_long_request_lasts_as_long_as_its_sending_makes_progress(self):
        b = bench()
        b.add(request(mode=0x2E, pid=0xF190, payload=bytes(97)))
        for step in range(1, 15):  # STmin 127 ms
            b.manager.progress(ENGINE, 100.0 + step * 0.127)
        b.poll_at(101.85)
        b.receive(b"\x6e\xf1\x90")
        assert b.messages()[0].success

    def test_a_long_request_that_is_told_to_wait_waits_for_the_next_flow_control(self):
        b = bench()
        b.add(request(mode=0x2E, pid=0xF190, payload=bytes(97)))
        for now in (100.9, 101.8, 102.7):
            b.poll_at(now)
            b.manager.progress(ENGINE, now)
        b.poll_at(103.7)  # N_Bs is up: what stops here, the channel reports
        assert len(b.manager) == 1
        b.fail(reason="no flow control")
        assert b.outcomes() == [FAILED]

    def test_a_long_request_that_nobody_answers_is_given_up(self):
        b = bench()
        b.add(request(mode=0x2E, pid=0xF190, payload=bytes(97)))
        b.manager.progress(ENGINE, 102.0)
        b.poll_at(103.11)
        assert b.outcomes() == [TIMED_OUT]

    def test_parts_of_a_physical_answer_do_not_hold_a_functional_request(self):
        b = bench()
        b.add(request())
        b.add(request(id=FUNCTIONAL_ID, mode=1, pid=0))
        b.manager.progress(ENGINE, 100.05)
        b.poll_at(100.11)
        assert [each.id for _, each in b.manager.requests()] == [0x7E0]
