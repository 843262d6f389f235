"""Sessions: whose tokens open what, and what is left of them at the end."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.config import ConnectionSettings
from bridge.gateway import sessions as module
from bridge.gateway.connections import Connection
from bridge.gateway.contexts import Context
from bridge.gateway.errors import CallError, Exhausted, NotFound, Unauthenticated, WrongState
from bridge.gateway.sessions import (
    BY_AUTHENTICATION,
    BY_EITHER,
    BY_MONITOR,
    BY_SESSION,
    Record,
    Session,
    Sessions,
)
from bridge.gateway.states import State
from bridge.gateway.store import Store
from bridge.gateway.tokens import TokenKind, Tokens
from bridge.limits import (
    CONTEXT_DEPTH_LIMIT,
    ENDED_CONTEXTS_LIMIT,
    LEAVING_GRACE,
    PARTNER_SESSIONS_LIMIT,
    VARIABLES_SIZE_LIMIT,
)
from bridge.openobd.messages import Result, ServiceResult, Variable

LIFE = 300.0
SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])
FAILURE = ServiceResult(result=[Result.RESULT_FAILURE])
CAR = Connection(ConnectionSettings(), {})
OURS = "ours"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return make(store)


def make(store: Store) -> Sessions:
    return Sessions(Tokens(dict.fromkeys(TokenKind, LIFE)), store)


def start(sessions: Sessions, partner: str = OURS, now: float = 0.0) -> tuple[Session, str]:
    return sessions.start(partner, CAR, now, 1.5e9 + now)


def opens(sessions: Sessions, token: str, now: float = 0.0) -> Context | None:
    """The context that a token of either kind opens."""
    try:
        return sessions.context(token, BY_EITHER, now)
    except CallError:
        return None


def test_a_session_is_claimed_by_its_token_once(sessions: Sessions) -> None:
    session, token = start(sessions)
    assert session.state is State.AVAILABLE
    context = sessions.context(token, BY_AUTHENTICATION, 0.0)
    sessions.assert_available(context)
    session_token = sessions.authenticate(context, 0.0)
    assert session.state is State.ACTIVE
    assert sessions.context(session_token, BY_SESSION, 0.0) is session.root
    with pytest.raises(Unauthenticated):
        sessions.context(token, BY_AUTHENTICATION, 0.0)
    with pytest.raises(WrongState):
        sessions.authenticate(context, 0.0)
    with pytest.raises(WrongState):
        sessions.assert_available(context)


def test_session_tokens_overlap_and_each_ends_exactly(sessions: Sessions) -> None:
    session, token = start(sessions)
    first = sessions.authenticate(session.root, 0.0)
    second = sessions.session_token(session.root, 120.0)
    assert opens(sessions, token) is None
    assert opens(sessions, first, math.nextafter(LIFE, 0)) is session.root
    assert opens(sessions, first, LIFE) is None
    assert opens(sessions, second, LIFE) is session.root
    assert opens(sessions, second, 120.0 + LIFE) is None


@pytest.mark.parametrize("claimed", [False, True])
def test_finish_ends_the_session_with_all_its_tokens(sessions: Sessions, claimed: bool) -> None:
    session, token = start(sessions)
    if claimed:
        token = sessions.authenticate(session.root, 0.0)
    sessions.finish(sessions.context(token, BY_EITHER, 0.0), SUCCESS)
    assert session.state is State.FINISHED
    assert sessions.open == []
    assert opens(sessions, token) is None
    found = sessions.find(OURS, session.id)
    assert isinstance(found, Record)
    assert found.state is State.FINISHED
    with pytest.raises(WrongState):
        sessions.of(session.root)


def test_interrupt_ends_everything_within_and_gives_no_token_to_who_monitors(sessions: Sessions) -> None:
    session, _ = start(sessions)
    inner, monitor, _ = sessions.start_context(session.root, 0.0)
    innermost, _, _ = sessions.start_context(inner, 0.0)
    told: list[tuple[State, str]] = []
    inner.when_ended(lambda context: told.append((context.state, sessions.parent_token(context, 0.0))))
    assert sessions.interrupt(OURS, session.id).state is State.INTERRUPTED
    assert {each.state for each in (session.root, inner, innermost)} == {State.INTERRUPTED}
    assert told == [(State.INTERRUPTED, "")]
    assert sessions.context(monitor, BY_MONITOR, 0.0) is inner
    with pytest.raises(WrongState):
        sessions.interrupt(OURS, session.id)


def test_a_function_in_an_available_session(sessions: Sessions) -> None:
    """As a composition does it, which never authenticates."""
    session, token = start(sessions)
    root = sessions.context(token, BY_EITHER, 0.0)
    inner, monitor, handed_over = sessions.start_context(root, 0.0)
    assert sessions.context(handed_over, BY_AUTHENTICATION, 0.0) is inner
    assert sessions.context(token, BY_EITHER, 0.0) is root
    with pytest.raises(WrongState):
        sessions.authenticate(root, 0.0)
    with pytest.raises(WrongState):
        sessions.start_context(root, 0.0)
    own = sessions.authenticate(inner, 1.0)
    assert session.state is State.ACTIVE
    sessions.finish(sessions.context(own, BY_SESSION, 1.0), SUCCESS)
    assert session.state is State.AVAILABLE
    assert sessions.context(monitor, BY_MONITOR, 1.0).service_result == SUCCESS
    fresh = sessions.parent_token(inner, 200.0)
    assert sessions.context(fresh, BY_AUTHENTICATION, 200.0 + LIFE - 1) is root
    sessions.finish(root, SUCCESS)
    assert session.state is State.FINISHED


def test_a_function_of_an_active_function_leaves_its_caller_as_it_is(sessions: Sessions) -> None:
    session, _ = start(sessions)
    token = sessions.authenticate(session.root, 0.0)
    inner, _, _ = sessions.start_context(session.root, 0.0)
    sessions.finish(inner, SUCCESS)
    assert sessions.parent_token(inner, 0.0) == ""
    assert opens(sessions, token) is session.root
    assert session.root.state is State.ACTIVE


@pytest.mark.parametrize("by_function", [False, True], ids=["composition", "function"])
@pytest.mark.parametrize("inner_claimed", [False, True])
def test_the_caller_finishes_what_it_has_started_first(
    sessions: Sessions, by_function: bool, inner_claimed: bool
) -> None:
    session, token = start(sessions)
    if by_function:
        token = sessions.authenticate(session.root, 0.0)
    inner, _, handed_over = sessions.start_context(session.root, 0.0)
    if inner_claimed:
        sessions.authenticate(inner, 0.0)
    innermost, _, _ = sessions.start_context(inner, 0.0)
    caller = sessions.context(token, BY_EITHER, 0.0)
    sessions.finish(caller, FAILURE)
    assert (innermost.state, inner.state) == (State.FINISHED, State.FINISHED)
    assert inner.service_result == FAILURE
    assert opens(sessions, handed_over) is None
    assert session.state is (State.ACTIVE if by_function else State.AVAILABLE)
    sessions.finish(caller, SUCCESS)
    assert session.state is State.FINISHED


def test_a_caller_that_was_interrupted_while_its_function_ran_leaves_no_session_behind(sessions: Sessions) -> None:
    """openOBD's library finishes once then, with the caller's token, and has gone."""
    session, _ = start(sessions)
    token = sessions.authenticate(session.root, 0.0)

    def interrupted(now: float) -> Context:
        inner, _, _ = sessions.start_context(session.root, now)
        sessions.authenticate(inner, now)
        caller = sessions.context(token, BY_EITHER, now)
        sessions.finish(caller, FAILURE)
        return caller

    interrupted(1.0)
    sessions.fail_abandoned(1.0 + LEAVING_GRACE)
    assert session.state is State.ACTIVE
    opens(sessions, token, 1.0 + LEAVING_GRACE)  # it goes on
    sessions.fail_abandoned(100.0)
    assert session.state is State.ACTIVE
    with interrupted(100.0).held():
        sessions.fail_abandoned(101.0 + LEAVING_GRACE)
        assert session.state is State.ACTIVE
    sessions.fail_abandoned(101.0 + LEAVING_GRACE)
    assert session.state is State.FAILED


def test_a_caller_whose_function_was_not_started_goes_on(sessions: Sessions) -> None:
    session, _ = start(sessions)
    token = sessions.authenticate(session.root, 0.0)
    sessions.start_context(session.root, 0.0)
    sessions.finish(sessions.context(token, BY_EITHER, 0.0), FAILURE)
    sessions.fail_abandoned(LIFE - 1)
    assert session.state is State.ACTIVE


def test_contexts_within_one_another_are_bounded(sessions: Sessions) -> None:
    session, _ = start(sessions)
    context = session.root
    for _ in range(CONTEXT_DEPTH_LIMIT - 1):
        context, _, _ = sessions.start_context(context, 0.0)
    with pytest.raises(Exhausted):
        sessions.start_context(context, 0.0)


def test_only_the_newest_contexts_that_are_over_can_be_monitored(sessions: Sessions) -> None:
    session, _ = start(sessions)
    monitors = []
    for _ in range(ENDED_CONTEXTS_LIMIT + 1):
        inner, monitor, _ = sessions.start_context(session.root, 0.0)
        sessions.finish(inner, SUCCESS)
        monitors.append(monitor)
    with pytest.raises(Unauthenticated):
        sessions.context(monitors[0], BY_MONITOR, 0.0)
    for monitor in monitors[1:]:
        assert sessions.context(monitor, BY_MONITOR, 0.0).state is State.FINISHED


def test_sessions_of_one_partner_are_bounded_and_not_those_of_others(sessions: Sessions) -> None:
    started = [start(sessions)[0] for _ in range(PARTNER_SESSIONS_LIMIT)]
    with pytest.raises(Exhausted):
        start(sessions)
    start(sessions, "theirs")
    sessions.finish(started[0].root, SUCCESS)
    start(sessions)


def test_a_session_that_nobody_can_claim_any_more_makes_room(sessions: Sessions) -> None:
    """A script that starts sessions and dies must not lock its partner out for ever."""
    started = [start(sessions, now=float(number))[0] for number in range(PARTNER_SESSIONS_LIMIT)]
    sessions.authenticate(started[0].root, 0.0)
    with pytest.raises(Exhausted):
        start(sessions, now=math.nextafter(LIFE, 0))
    started[0].root.streams = 1  # its holder is there
    start(sessions, now=LIFE + 1.0)
    assert [each.state for each in started[:3]] == [State.ACTIVE, State.FAILED, State.AVAILABLE]
    assert len(sessions.open) == PARTNER_SESSIONS_LIMIT


def test_partners_see_their_own_sessions_only(sessions: Sessions) -> None:
    ours, _ = start(sessions, now=1.0)
    theirs, _ = start(sessions, "theirs", now=2.0)
    newer, _ = start(sessions, now=3.0)
    sessions.finish(ours.root, SUCCESS)
    assert [each.id for each in sessions.list(OURS)] == [ours.id, newer.id]
    assert [each.id for each in sessions.list("nobody")] == []
    for call in (sessions.find, sessions.interrupt):
        for missing in (theirs.id, "nothing"):
            with pytest.raises(NotFound):
                call(OURS, missing)


def test_polling_a_session_leaves_the_token_that_was_handed_over(sessions: Sessions) -> None:
    session, token = start(sessions)
    polled = [sessions.renewed_token(session, float(second)) for second in range(100)]
    assert opens(sessions, token, 100.0) is session.root
    assert opens(sessions, polled[-1], 100.0) is session.root
    sessions.authenticate(session.root, 100.0)
    assert {opens(sessions, each, 100.0) for each in (token, *polled)} == {None}
    assert sessions.renewed_token(session, 100.0) == ""


def test_the_list_of_what_is_over_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_LISTED", 3)
    sessions = make(store)
    started = [start(sessions, now=float(number))[0] for number in range(5)]
    for session in started:
        sessions.finish(session.root, SUCCESS)
    assert [each.id for each in sessions.list(OURS)] == [each.id for each in started[2:]]


class TestAbandoned:
    def test_a_claimed_session_fails_when_its_last_token_has_run_out(self, sessions: Sessions) -> None:
        session, _ = start(sessions)
        sessions.authenticate(session.root, 10.0)
        sessions.fail_abandoned(math.nextafter(10.0 + LIFE, 0))
        assert session.state is State.ACTIVE
        sessions.fail_abandoned(10.0 + LIFE)
        assert session.state is State.FAILED

    def test_not_while_a_stream_of_its_holder_is_open(self, sessions: Sessions) -> None:
        session, _ = start(sessions)
        sessions.authenticate(session.root, 0.0)
        with session.root.held():
            sessions.fail_abandoned(10 * LIFE)
            assert session.state is State.ACTIVE
        sessions.fail_abandoned(10 * LIFE)
        assert session.state is State.FAILED

    def test_a_session_that_nobody_has_claimed_waits_for_its_partner(self, sessions: Sessions) -> None:
        session, _ = start(sessions)
        sessions.fail_abandoned(10 * LIFE)
        assert session.state is State.AVAILABLE
        assert opens(sessions, sessions.renewed_token(session, 10 * LIFE), 10 * LIFE) is session.root

    @pytest.mark.parametrize("claimed", [False, True])
    def test_the_caller_of_a_launcher_that_is_gone_goes_on(self, sessions: Sessions, claimed: bool) -> None:
        session, _ = start(sessions)
        inner, _, _ = sessions.start_context(session.root, 0.0)
        if claimed:
            sessions.authenticate(inner, 0.0)
        tokens: list[str] = []
        inner.when_ended(lambda context: tokens.append(sessions.parent_token(context, LIFE)))
        with session.root.held():
            sessions.fail_abandoned(LIFE)
        assert inner.state is State.FAILED
        assert inner.service_result is None
        assert session.state is State.AVAILABLE
        sessions.fail_abandoned(LIFE)
        [token] = tokens
        assert opens(sessions, token, LIFE) is session.root

    def test_not_while_the_end_of_an_inner_context_may_still_be_heard_of(self, sessions: Sessions) -> None:
        """By a caller whose monitor stream was cut, and who connects again with its latest token."""
        session, _ = start(sessions)
        inner, _, _ = sessions.start_context(session.root, 0.0)
        sessions.authenticate(inner, 0.0)
        monitor = sessions.monitor_token(inner, LIFE - 1)
        sessions.finish(inner, SUCCESS)
        sessions.fail_abandoned(2 * LIFE - 2)
        assert sessions.context(monitor, BY_MONITOR, 2 * LIFE - 2) is inner
        assert session.state is State.AVAILABLE
        sessions.fail_abandoned(2 * LIFE - 1)
        assert session.state is State.FAILED


class TestRestart:
    def test_an_open_session_has_failed_and_one_that_was_over_is_as_it_was(self, store: Store) -> None:
        before = make(store)
        available, active, finished = (start(before, now=float(number))[0] for number in range(3))
        before.authenticate(active.root, 0.0)
        before.finish(finished.root, SUCCESS)
        after = make(store)
        assert [(each.id, each.state) for each in after.list(OURS)] == [
            (available.id, State.FAILED),
            (active.id, State.FAILED),
            (finished.id, State.FINISHED),
        ]
        assert after.open == []
        assert [each.state for each in make(store).list(OURS)] == [each.state for each in after.list(OURS)]

    def test_the_end_of_the_gateway_fails_what_is_open(self, sessions: Sessions) -> None:
        session, token = start(sessions)
        sessions.end_all()
        assert session.state is State.FAILED
        assert opens(sessions, token) is None


def test_no_token_of_one_session_opens_another(sessions: Sessions) -> None:
    """Ten thousand random tries, with tokens of every kind, in sessions that live on meanwhile."""
    chance = random.Random(4)
    owners: dict[str, Session] = {}
    for number in range(100):
        session, token = start(sessions, f"partner {number % 7}")
        owners[token] = session
        if chance.random() < 0.5:
            owners[sessions.authenticate(session.root, 0.0)] = session
        if chance.random() < 0.5:
            inner, monitor, handed_over = sessions.start_context(session.root, 0.0)
            owners |= {monitor: session, handed_over: session}
            if chance.random() < 0.5:
                owners[sessions.authenticate(inner, 0.0)] = session
    tokens = list(owners)
    opened = 0
    for _ in range(10_000):
        token = chance.choice(tokens)
        try:
            context = sessions.context(token, BY_EITHER | BY_MONITOR, chance.uniform(0.0, LIFE * 1.1))
        except CallError:
            continue
        opened += 1
        assert sessions.of(context) is owners[token]
        assert all(context not in list(each.root.chain) for each in sessions.open if each is not owners[token])
    assert opened > 500
    for token in tokens:
        changed = token[:-1] + ("A" if token[-1] != "A" else "B")
        assert opens(sessions, changed) is None


class RandomLives(RuleBasedStateMachine):
    """Partners, holders and time do anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.sessions = make(self.store)
        self.now = 0.0
        self.all: list[Session] = []
        self.tokens: dict[str, Context] = {}

    def teardown(self) -> None:
        self.sessions.end_all()
        for session in self.all:
            assert session.state.final
            assert session.room.left == VARIABLES_SIZE_LIMIT
        assert not self.sessions._sessions
        assert not any(opens(self.sessions, token, 0.0) for token in self.tokens)
        self.store.close()

    @rule(partner=st.sampled_from("ab"))
    def start(self, partner: str) -> None:
        session, token = start(self.sessions, partner, self.now)
        self.all.append(session)
        self.tokens[token] = session.root

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), what=st.sampled_from(["authenticate", "start", "finish", "variable", "argument", "result"]))
    def act(self, data: st.DataObject, what: str) -> None:
        token, owner = data.draw(st.sampled_from(list(self.tokens.items())))
        try:
            context = self.sessions.context(token, BY_EITHER, self.now)
            assert context is owner
            assert not context.state.final
            self._act(context, what)
        except (Unauthenticated, WrongState):
            pass

    def _act(self, context: Context, what: str) -> None:
        variable = Variable(key="key", value="value")
        match what:
            case "authenticate":
                self.tokens[self.sessions.authenticate(context, self.now)] = context
            case "start":
                inner, _, token = self.sessions.start_context(context, self.now)
                self.tokens[token] = inner
                inner.when_ended(self._ended)
            case "finish":
                self.sessions.finish(context, SUCCESS)
            case "variable":
                context.variables.set(variable)
                self.sessions.of(context).variables.set(variable)
            case "argument":
                context.arguments.set(variable)
            case "result":
                context.results.set(variable)

    def _ended(self, context: Context) -> None:
        if token := self.sessions.parent_token(context, self.now):
            assert context.parent is not None
            assert opens(self.sessions, token, self.now) is context.parent
            self.tokens[token] = context.parent

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.all))
        try:
            self.sessions.interrupt(session.partner, session.id)
        except WrongState:
            assert session.state.final

    @rule(seconds=st.sampled_from([0.0, 1.0, LIFE / 2, LIFE]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.sessions.fail_abandoned(self.now)

    @invariant()
    def the_stack_is_sound(self) -> None:
        living = [context for session in self.sessions.open for context in session.root.chain]
        assert set(self.sessions._sessions) == set(living)
        for session in self.all:
            innermost, *outer = session.root.chain
            assert innermost.state in (State.AVAILABLE, State.ACTIVE) or innermost is session.root
            assert all(context.state in (State.WAITING, State.ACTIVE) for context in outer)
            assert (session in self.sessions.open) is not session.state.final
            assert self.sessions.find(session.partner, session.id).state is session.state


TestRandomLives = RandomLives.TestCase
TestRandomLives.settings = settings(max_examples=50, stateful_step_count=40)
