"""The function broker: who serves what, whose call goes where, and when it is too late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.gateway import broker as module
from bridge.gateway.broker import (
    FAILED,
    OFFLINE,
    ONLINE,
    REQUEST,
    RESPONSE,
    SUCCESS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Broker,
    Launcher,
    PendingCall,
)
from bridge.gateway.errors import (
    CallError,
    Declined,
    Exhausted,
    Forbidden,
    InvalidCall,
    Overdue,
    Unavailable,
    WrongState,
)
from bridge.gateway.signatures import FunctionIds
from bridge.gateway.store import Store
from bridge.limits import FUNCTION_DETAILS_LIMIT, FUNCTION_ID_LIMIT, LAUNCHERS_LIMIT
from bridge.openobd.messages import (
    FunctionBrokerReconnect,
    FunctionBrokerToken,
    FunctionCall,
    FunctionDetails,
    FunctionRegistration,
    FunctionRegistrationState,
    FunctionUpdate,
    FunctionVisibility,
    Product,
    SessionInfo,
)

OURS, THEIRS = "ours", "theirs"
CALL_TIMEOUT, IDLE_TIMEOUT = 5.0, 600.0
DASHBOARD = FunctionVisibility.FUNCTION_VISIBILITY_DASHBOARD
INTERNAL = FunctionVisibility.FUNCTION_VISIBILITY_INTERNAL
UNKNOWN = FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_UNAVAILABLE


@dataclass
class Ear:
    """What a launcher hears."""

    heard: list[FunctionUpdate] = field(default_factory=list)
    ends: list[CallError | None] = field(default_factory=list)

    def put(self, message: FunctionUpdate) -> None:
        self.heard.append(message)

    def end(self, error: CallError | None = None) -> None:
        self.ends.append(error)

    def registrations(self) -> list[tuple[str, int, int]]:
        """What was said about functions: id, state, response."""
        return [
            (each.function_registration.details.id, each.function_registration.state, each.response)
            for each in self.heard
            if each.type == RESPONSE and each.HasField("function_registration")
        ]

    def calls(self) -> list[FunctionCall]:
        """What it was called for."""
        return [each.function_call for each in self.heard if each.type == REQUEST and each.HasField("function_call")]


class Bench:
    """A broker and its clock."""

    def __init__(self) -> None:
        self.store = Store()
        self.ids = FunctionIds(self.store)
        self.broker = Broker(self.ids, CALL_TIMEOUT, IDLE_TIMEOUT)
        self.now = 0.0
        self.answers: list[CallError | None] = []

    def launcher(self, partner: str = OURS, *functions: str) -> tuple[Launcher, Ear]:
        ear = Ear()
        launcher = self.broker.join(partner, "ipv4:127.0.0.1:1", ear, self.now)
        for function in functions:
            self.online(launcher, function)
        return launcher, ear

    def online(
        self,
        launcher: Launcher,
        function: str,
        visibility: FunctionVisibility | None = None,
        signature: str | None = None,
    ) -> None:
        self.say(launcher, registration(FunctionDetails(id=function), visibility=visibility, signature=signature))

    def offline(self, launcher: Launcher, function: str) -> None:
        self.say(launcher, registration(FunctionDetails(id=function), OFFLINE))

    def say(self, launcher: Launcher, update: FunctionUpdate) -> None:
        self.broker.receive(launcher, update, self.now)

    def call(self, function: str = "oil", token: str = "token", caller: str = OURS, provider: str = "") -> PendingCall:
        _, launcher = self.broker.find(caller, function, provider)
        call = FunctionCall(id=function, session_info=SessionInfo(id="session", authentication_token=token))
        return self.broker.call(launcher, call, self.answers.append, self.now)

    def state(self, function: str, caller: str = OURS, provider: str = "") -> int:
        return self.broker.registration(caller, function, provider).state


def registration(details: FunctionDetails, state: FunctionRegistrationState = ONLINE, **more) -> FunctionUpdate:
    return FunctionUpdate(
        type=REQUEST, function_registration=FunctionRegistration(details=details, state=state, **more)
    )


def response(token: str, answer: int = SUCCESS, description: str | None = None) -> FunctionUpdate:
    call = FunctionCall(session_info=SessionInfo(authentication_token=token))
    return FunctionUpdate(type=RESPONSE, function_call=call, response=answer, response_description=description)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.store.close()


class TestRegistration:
    def test_it_is_acknowledged_and_found(self, bench: Bench) -> None:
        launcher, ear = bench.launcher()
        details = FunctionDetails(
            id="oil", version="v1", name="Oil", description="Oil service", products=[Product(id="p")]
        )
        bench.say(launcher, registration(details, visibility=INTERNAL))
        assert ear.registrations() == [("oil", ONLINE, SUCCESS)]
        found = bench.broker.registration(OURS, "oil", "")
        details.provider_id = OURS
        assert (found.details, found.state, found.visibility) == (details, ONLINE, INTERNAL)

    def test_a_provider_is_who_it_is_and_not_who_it_says(self, bench: Bench) -> None:
        launcher, _ = bench.launcher()
        bench.say(launcher, registration(FunctionDetails(id="oil", provider_id=THEIRS)))
        assert bench.broker.registration(OURS, "oil", OURS).details.provider_id == OURS

    def test_a_function_that_nobody_knows_is_unavailable(self, bench: Bench) -> None:
        found = bench.broker.registration(OURS, "oil", "")
        assert (found.details.id, found.state) == ("oil", UNKNOWN)

    def test_it_is_offline_when_it_says_so_and_when_its_stream_closes(self, bench: Bench) -> None:
        launcher, ear = bench.launcher(OURS, "oil", "brakes")
        bench.offline(launcher, "oil")
        assert ear.registrations()[-1] == ("oil", OFFLINE, SUCCESS)
        assert (bench.state("oil"), bench.state("brakes")) == (OFFLINE, ONLINE)
        bench.online(launcher, "oil")
        assert bench.state("oil") == ONLINE
        bench.broker.leave(launcher)
        assert (bench.state("oil"), bench.state("brakes")) == (OFFLINE, OFFLINE)

    def test_going_offline_where_it_is_not_online_is_answered_unavailable(self, bench: Bench) -> None:
        bench.launcher(OURS, "oil")
        other, ear = bench.launcher()
        bench.offline(other, "oil")
        bench.offline(other, "nothing")
        assert ear.registrations() == [("oil", OFFLINE, UNAVAILABLE), ("nothing", OFFLINE, UNAVAILABLE)]
        assert bench.state("oil") == ONLINE

    def test_a_second_launcher_takes_over_and_the_first_is_told(self, bench: Bench) -> None:
        first, ear = bench.launcher(OURS, "oil", "brakes")
        second, other = bench.launcher(OURS, "oil")
        assert ear.registrations()[-1] == ("oil", OFFLINE, UNAVAILABLE)
        assert ear.heard[-1].type == RESPONSE
        assert other.registrations() == [("oil", ONLINE, SUCCESS)]
        bench.call("oil")
        bench.call("brakes", "another token")
        assert [each.id for each in other.calls()] == ["oil"]
        assert [each.id for each in ear.calls()] == ["brakes"]
        bench.broker.leave(first)
        assert bench.state("oil") == ONLINE
        bench.broker.leave(second)
        assert bench.state("oil") == OFFLINE

    def test_the_same_launcher_may_register_again(self, bench: Bench) -> None:
        launcher, ear = bench.launcher(OURS, "oil")
        bench.say(launcher, registration(FunctionDetails(id="oil", version="v2")))
        assert ear.registrations() == [("oil", ONLINE, SUCCESS)] * 2
        assert bench.broker.registration(OURS, "oil", "").details.version == "v2"

    def test_partners_do_not_take_over_from_each_other(self, bench: Bench) -> None:
        _, ear = bench.launcher(OURS, "oil")
        bench.launcher(THEIRS, "oil")
        assert ear.registrations() == [("oil", ONLINE, SUCCESS)]
        bench.call("oil")
        assert len(ear.calls()) == 1

    def test_a_signed_id_takes_its_signature(self, bench: Bench) -> None:
        signed = bench.ids.generate(OURS)
        ours, ear = bench.launcher()
        bench.online(ours, signed.id)
        bench.online(ours, signed.id, signature="wrong")
        assert ear.registrations() == [(signed.id, OFFLINE, UNAUTHORIZED)] * 2
        assert bench.state(signed.id) == UNKNOWN
        bench.online(ours, signed.id, signature=signed.signature)
        assert bench.state(signed.id) == ONLINE
        theirs, other = bench.launcher(THEIRS)
        bench.online(theirs, signed.id, signature=signed.signature)
        bench.online(theirs, signed.id)
        assert other.registrations() == [(signed.id, OFFLINE, UNAUTHORIZED)] * 2
        assert all(signed.signature not in str(each) for each in ear.heard + other.heard)

    @pytest.mark.parametrize(
        "update",
        [
            FunctionUpdate(),
            FunctionUpdate(type=REQUEST),
            FunctionUpdate(type=RESPONSE),
            FunctionUpdate(function_registration=FunctionRegistration(details=FunctionDetails(id="oil"), state=ONLINE)),
            FunctionUpdate(type=99, function_broker_token=FunctionBrokerToken(value="x")),
            registration(FunctionDetails()),
            registration(FunctionDetails(id="x" * (FUNCTION_ID_LIMIT + 1))),
            registration(FunctionDetails(id="oil"), FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_UNDEFINED),
            registration(FunctionDetails(id="oil"), UNKNOWN),
            FunctionUpdate(type=REQUEST, function_call=FunctionCall(id="oil")),
            FunctionUpdate(type=REQUEST, function_broker_token=FunctionBrokerToken(value="x")),
            FunctionUpdate(type=REQUEST, function_broker_reconnect=FunctionBrokerReconnect()),
            FunctionUpdate(type=RESPONSE, function_registration=FunctionRegistration()),
            FunctionUpdate(type=RESPONSE, function_call=FunctionCall(id="oil")),
            response("token", 99),
        ],
        ids=str,
    )
    def test_what_makes_no_sense_is_an_error_and_changes_nothing(self, bench: Bench, update: FunctionUpdate) -> None:
        launcher, ear = bench.launcher()
        with pytest.raises(InvalidCall):
            bench.say(launcher, update)
        assert ear.heard == []
        assert bench.state("oil") == UNKNOWN

    def test_echoes_mean_nothing(self, bench: Bench) -> None:
        launcher, ear = bench.launcher()
        bench.say(launcher, FunctionUpdate(type=RESPONSE, function_broker_token=FunctionBrokerToken(value="anything")))
        bench.say(launcher, FunctionUpdate(type=RESPONSE, function_broker_reconnect=FunctionBrokerReconnect()))
        assert ear.heard == []


class TestBounds:
    def test_streams_of_one_partner(self, bench: Bench) -> None:
        launchers = [bench.launcher()[0] for _ in range(LAUNCHERS_LIMIT)]
        with pytest.raises(Exhausted):
            bench.launcher()
        bench.launcher(THEIRS)
        bench.broker.leave(launchers[0])
        bench.launcher()

    def test_functions_on_one_stream(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LAUNCHER_FUNCTIONS_LIMIT", 2)
        launcher, ear = bench.launcher(OURS, "a", "b", "c", "b")
        assert ear.registrations() == [
            ("a", ONLINE, SUCCESS),
            ("b", ONLINE, SUCCESS),
            ("c", OFFLINE, FAILED),
            ("b", ONLINE, SUCCESS),
        ]
        bench.offline(launcher, "a")
        bench.online(launcher, "c")
        assert bench.state("c") == ONLINE

    def test_functions_of_one_partner_of_which_the_longest_gone_is_forgotten(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PARTNER_FUNCTIONS_LIMIT", 3)
        launcher, ear = bench.launcher(OURS, "a", "b", "c", "d")
        assert ear.registrations()[-1] == ("d", OFFLINE, FAILED)
        bench.launcher(THEIRS, "d")
        bench.offline(launcher, "b")
        bench.offline(launcher, "a")
        bench.online(launcher, "d")
        assert [bench.state(each) for each in "abcd"] == [UNKNOWN, OFFLINE, ONLINE, ONLINE]

    def test_the_size_of_details(self, bench: Bench) -> None:
        launcher, ear = bench.launcher()
        bench.say(launcher, registration(FunctionDetails(id="oil", description="x" * FUNCTION_DETAILS_LIMIT)))
        assert ear.registrations() == [("oil", OFFLINE, FAILED)]
        assert ear.heard[0].ByteSize() < 1000
        assert bench.state("oil") == UNKNOWN

    def test_calls_that_wait(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PENDING_CALLS_LIMIT", 2)
        bench.launcher(OURS, "oil")
        bench.launcher(OURS, "brakes")
        calls = [bench.call(token=token) for token in "ab"]
        with pytest.raises(Exhausted):
            bench.call(token="c")
        bench.call("brakes", "c")
        bench.broker.give_up(calls[0])
        bench.call(token="d")


class TestPermission:
    """By provider and visibility."""

    @pytest.mark.parametrize("visibility", [DASHBOARD, INTERNAL, None])
    def test_a_partner_runs_its_own(self, bench: Bench, visibility: FunctionVisibility | None) -> None:
        launcher, _ = bench.launcher()
        bench.online(launcher, "oil", visibility)
        for provider in ("", OURS):
            assert bench.broker.find(OURS, "oil", provider)[1] is launcher
            assert bench.state("oil", OURS, provider) == ONLINE

    def test_it_runs_anothers_that_is_shown_and_that_it_names(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(THEIRS)
        bench.online(launcher, "oil", DASHBOARD)
        function, where = bench.broker.find(OURS, "oil", THEIRS)
        assert (function.partner, where) == (THEIRS, launcher)
        assert bench.state("oil", OURS, THEIRS) == ONLINE
        with pytest.raises(Unavailable):
            bench.broker.find(OURS, "oil", "")

    @pytest.mark.parametrize("visibility", [INTERNAL, None, 99])
    def test_any_other_is_forbidden_and_not_told_of(self, bench: Bench, visibility: int | None) -> None:
        launcher, _ = bench.launcher(THEIRS)
        bench.online(launcher, "oil", visibility)
        with pytest.raises(Forbidden):
            bench.broker.find(OURS, "oil", THEIRS)
        assert bench.state("oil", OURS, THEIRS) == UNKNOWN
        bench.broker.leave(launcher)
        with pytest.raises(Forbidden):
            bench.broker.find(OURS, "oil", THEIRS)

    def test_what_is_not_online_is_unavailable(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        bench.offline(launcher, "oil")
        for function, provider in (("oil", ""), ("nothing", ""), ("oil", THEIRS), ("oil", "nobody")):
            with pytest.raises(Unavailable):
                bench.broker.find(OURS, function, provider)


class TestCalls:
    def test_a_call_is_forwarded_and_its_answer_comes_back_once(self, bench: Bench) -> None:
        launcher, ear = bench.launcher(OURS, "oil")
        bench.call()
        [call] = ear.calls()
        assert (call.id, call.session_info.id, call.session_info.authentication_token) == ("oil", "session", "token")
        assert bench.answers == []
        bench.say(launcher, response("token"))
        bench.say(launcher, response("token", FAILED))
        assert bench.answers == [None]

    def test_parallel_calls_of_one_function_are_told_apart(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        answers: dict[str, CallError | None] = {}
        for token in "abc":
            call = FunctionCall(id="oil", session_info=SessionInfo(authentication_token=token))
            bench.broker.call(launcher, call, lambda error, token=token: answers.update({token: error}), 0.0)
        bench.say(launcher, response("c"))
        bench.say(launcher, response("a", FAILED, "no oil"))
        assert answers["c"] is None
        assert str(answers["a"]) == "no oil"
        assert "b" not in answers

    @pytest.mark.parametrize(
        ("answer", "kind"), [(FAILED, Declined), (UNAVAILABLE, Unavailable), (UNAUTHORIZED, Forbidden)]
    )
    def test_a_refusal_is_an_error_with_the_launchers_words(
        self, bench: Bench, answer: int, kind: type[CallError]
    ) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        bench.call()
        bench.say(launcher, response("token", answer, "  no\x1b[31m oil\n" + "x" * 10_000))
        [error] = bench.answers
        assert type(error) is kind
        assert str(error).startswith(r"no\x1b[31m oil\nxxx")
        assert len(str(error)) < 500
        bench.call()
        bench.say(launcher, response("token", answer))
        assert str(bench.answers[-1])

    def test_only_the_launcher_that_was_called_answers(self, bench: Bench) -> None:
        bench.launcher(OURS, "oil")
        other, _ = bench.launcher(OURS, "brakes")
        bench.call()
        bench.say(other, response("token"))
        assert bench.answers == []

    def test_one_call_into_a_context_at_a_time(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        bench.launcher(OURS, "brakes")
        bench.call()
        for function in ("oil", "brakes"):
            with pytest.raises(WrongState):
                bench.call(function)
        bench.say(launcher, response("token"))
        bench.call()

    def test_a_call_expires_exactly(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        bench.now = 100.0
        bench.call()
        assert bench.broker.due() == 100.0 + CALL_TIMEOUT
        bench.broker.poll(math.nextafter(100.0 + CALL_TIMEOUT, 0))
        assert bench.answers == []
        bench.broker.poll(100.0 + CALL_TIMEOUT)
        assert [type(each) for each in bench.answers] == [Overdue]
        assert bench.broker.due() is None
        bench.say(launcher, response("token"))
        assert len(bench.answers) == 1

    def test_the_calls_of_a_launcher_that_goes_fail_at_once(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        bench.call(token="a")
        bench.call(token="b")
        bench.broker.leave(launcher)
        assert [type(each) for each in bench.answers] == [Unavailable, Unavailable]
        assert bench.broker.due() is None

    def test_a_take_over_leaves_calls_where_they_are(self, bench: Bench) -> None:
        first, _ = bench.launcher(OURS, "oil")
        bench.call()
        second, _ = bench.launcher(OURS, "oil")
        bench.say(second, response("token", FAILED))
        assert bench.answers == []
        bench.say(first, response("token"))
        assert bench.answers == [None]

    def test_nobody_hears_the_answer_to_a_call_that_was_given_up(self, bench: Bench) -> None:
        launcher, _ = bench.launcher(OURS, "oil")
        call = bench.call()
        bench.broker.give_up(call)
        bench.broker.give_up(call)
        bench.say(launcher, response("token"))
        bench.broker.poll(1000.0)
        assert bench.answers == []


class TestIdleStreams:
    def test_a_stream_without_a_function_online_is_closed(self, bench: Bench) -> None:
        bench.now = 50.0
        _, ear = bench.launcher()
        assert bench.broker.due() == 50.0 + IDLE_TIMEOUT
        bench.broker.poll(math.nextafter(50.0 + IDLE_TIMEOUT, 0))
        assert ear.ends == []
        bench.broker.poll(50.0 + IDLE_TIMEOUT)
        bench.broker.poll(50.0 + 3 * IDLE_TIMEOUT)
        assert ear.ends == [None]

    def test_not_while_one_function_is_online(self, bench: Bench) -> None:
        launcher, ear = bench.launcher(OURS, "oil", "brakes")
        bench.offline(launcher, "oil")
        bench.broker.poll(10 * IDLE_TIMEOUT)
        assert ear.ends == []
        assert bench.broker.due() is None
        bench.now = 1000.0
        bench.offline(launcher, "brakes")
        assert bench.broker.due() == 1000.0 + IDLE_TIMEOUT
        bench.online(launcher, "oil")
        assert bench.broker.due() is None

    def test_whose_functions_were_all_taken_over_is_idle(self, bench: Bench) -> None:
        _, ear = bench.launcher(OURS, "oil")
        bench.now = 10.0
        bench.launcher(OURS, "oil")
        bench.broker.poll(10.0 + IDLE_TIMEOUT)
        assert ear.ends == [None]


class TestTheEnd:
    @pytest.mark.parametrize(("seconds", "told"), [(60.0, 60), (0.75, 0), (-1.0, 0), (1e12, 2**32 - 1)])
    def test_all_launchers_are_told_once_with_whole_seconds(self, bench: Bench, seconds: float, told: int) -> None:
        ears = [bench.launcher(OURS, "oil")[1], bench.launcher(THEIRS)[1]]
        bench.broker.announce_end(seconds)
        for ear in ears:
            assert ear.heard[-1].type == REQUEST
            assert ear.heard[-1].function_broker_reconnect.seconds_until_disconnect == told
        _, late = bench.launcher(OURS, "oil")
        assert late.registrations() == [("oil", ONLINE, SUCCESS)]
        assert len(late.heard) == 1

    def test_a_closed_broker_tells_all_and_lets_nobody_in(self, bench: Bench) -> None:
        launcher, ear = bench.launcher(OURS, "oil")
        bench.broker.close(0.75)
        assert ear.heard[-1].HasField("function_broker_reconnect")
        with pytest.raises(Unavailable):
            bench.launcher()
        bench.broker.leave(launcher)
        assert bench.broker.launchers == 0


class RandomTraffic(RuleBasedStateMachine):
    """Launchers come, go and say anything; calls are made and answered. Each call ends exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.launchers: dict[int, tuple[Launcher, Ear]] = {}
        self.open: dict[str, PendingCall] = {}
        self.ended: list[str] = []
        self.number = 0

    def teardown(self) -> None:
        for launcher, _ in self.launchers.values():
            self.bench.broker.leave(launcher)
        assert not self.open
        assert len(self.ended) == len(set(self.ended))
        assert self.bench.broker.due() is None
        self.bench.store.close()

    @rule(partner=st.sampled_from([OURS, THEIRS]))
    def join(self, partner: str) -> None:
        self.number += 1
        self.launchers[self.number] = self.bench.launcher(partner)

    @precondition(lambda self: self.launchers)
    @rule(data=st.data(), function=st.sampled_from("abc"), state=st.sampled_from([ONLINE, ONLINE, OFFLINE]))
    def register(self, data: st.DataObject, function: str, state: FunctionRegistrationState) -> None:
        launcher, ear = self.launchers[data.draw(st.sampled_from(sorted(self.launchers)))]
        before = len(ear.registrations())
        self.bench.say(launcher, registration(FunctionDetails(id=function), state, visibility=DASHBOARD))
        assert len(ear.registrations()) == before + 1

    @rule(caller=st.sampled_from([OURS, THEIRS]), provider=st.sampled_from(["", OURS]), function=st.sampled_from("abc"))
    def call(self, caller: str, provider: str, function: str) -> None:
        self.number += 1
        token = str(self.number)
        try:
            _, launcher = self.bench.broker.find(caller, function, provider)
        except Unavailable:
            assert self.bench.state(function, caller, provider) != ONLINE
            return
        call = FunctionCall(id=function, session_info=SessionInfo(authentication_token=token))
        self.open[token] = self.bench.broker.call(launcher, call, self._ended(token), self.bench.now)

    def _ended(self, token: str) -> Callable[[CallError | None], None]:
        def ended(_: CallError | None) -> None:
            self.ended.append(token)
            del self.open[token]

        return ended

    @precondition(lambda self: self.launchers)
    @rule(data=st.data(), answer=st.sampled_from([SUCCESS, FAILED]))
    def answer(self, data: st.DataObject, answer: int) -> None:
        launcher, ear = self.launchers[data.draw(st.sampled_from(sorted(self.launchers)))]
        for call in ear.calls()[-1:]:
            self.bench.say(launcher, response(call.session_info.authentication_token, answer))

    @precondition(lambda self: self.launchers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        launcher, _ = self.launchers.pop(data.draw(st.sampled_from(sorted(self.launchers))))
        self.bench.broker.leave(launcher)

    @rule(seconds=st.sampled_from([0.0, 1.0, CALL_TIMEOUT, IDLE_TIMEOUT]))
    def wait(self, seconds: float) -> None:
        self.bench.now += seconds
        self.bench.broker.poll(self.bench.now)
        for number, (launcher, ear) in list(self.launchers.items()):
            if ear.ends:
                assert not launcher.functions
                self.bench.broker.leave(self.launchers.pop(number)[0])

    @invariant()
    def a_function_is_online_in_one_place(self) -> None:
        for partner in (OURS, THEIRS):
            for function in "abc":
                serving = [
                    launcher
                    for launcher, _ in self.launchers.values()
                    if launcher.partner == partner and function in launcher.functions
                ]
                assert len(serving) <= 1
                assert (self.bench.state(function, partner) == ONLINE) is bool(serving)

    @invariant()
    def something_is_due_while_somebody_waits(self) -> None:
        due = self.bench.broker.due()
        assert due is None or due > self.bench.now
        if self.open:
            assert due is not None
            assert due <= min(call.deadline for call in self.open.values())


TestRandomTraffic = RandomTraffic.TestCase
TestRandomTraffic.settings = settings(max_examples=50, stateful_step_count=40)
