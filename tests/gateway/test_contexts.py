"""A function context: its details, what goes in and comes out of it, and its end."""

from __future__ import annotations

import pytest

from bridge.gateway.contexts import Context
from bridge.gateway.errors import Exhausted, InvalidCall, WrongState
from bridge.gateway.states import Event, State
from bridge.gateway.variables import Room
from bridge.limits import SERVICE_DESCRIPTION_LIMIT, SERVICE_RESULTS_LIMIT, VARIABLE_OVERHEAD
from bridge.openobd.messages import FunctionDetails, Result, ServiceResult, UserFeedback, Variable

SUCCESS = ServiceResult(result=[Result.RESULT_SUCCESS])
SIZE = 10_000


@pytest.fixture
def room() -> Room:
    return Room(SIZE)


@pytest.fixture
def root(room: Room) -> Context:
    return Context(room)


def test_details_are_registered_once_and_again_with_the_same_id(root: Context) -> None:
    assert root.details == FunctionDetails()
    root.register(FunctionDetails(id="oil", name="Oil"))
    root.register(FunctionDetails(id="oil", name="Oil service"))
    with pytest.raises(WrongState):
        root.register(FunctionDetails(id="brakes"))
    with pytest.raises(InvalidCall):
        root.register(FunctionDetails(name="no id"))
    assert root.details == FunctionDetails(id="oil", name="Oil service")


def test_a_context_claimed_without_details_is_a_function_of_its_own_id(root: Context) -> None:
    root.authenticate()
    assert root.details == FunctionDetails(id=root.id)
    with pytest.raises(WrongState):
        root.register(FunctionDetails(id="oil"))
    root.register(FunctionDetails(id=root.id, name="by name"))
    assert root.details.name == "by name"


def test_registered_details_stay_when_it_is_claimed(root: Context) -> None:
    root.register(FunctionDetails(id="oil"))
    root.authenticate()
    assert root.details.id == "oil"
    assert root.claimed


def test_details_take_their_room(root: Context, room: Room) -> None:
    with pytest.raises(Exhausted):
        root.register(FunctionDetails(id="oil", description="x" * SIZE))
    root.register(FunctionDetails(id="oil", description="x" * (SIZE // 2)))
    root.register(FunctionDetails(id="oil", description="x" * (SIZE // 2)))
    root.end(Event.FINISH)
    assert room.left == SIZE


def test_details_give_back_what_they_have_taken(root: Context, room: Room) -> None:
    """Whatever came along that the protocol does not know."""
    unknown = bytes.fromhex("c23e04") + b"????"  # field 1000
    root.register(FunctionDetails.FromString(FunctionDetails(id="oil").SerializeToString() + unknown))
    root.variables.set(Variable.FromString(Variable(key="k", value="v").SerializeToString() + unknown))
    root.end(Event.FINISH)
    assert room.left == SIZE


def test_an_available_parent_waits_and_is_available_again(root: Context) -> None:
    inner = root.start_inner()
    assert (root.state, inner.state, root.inner, inner.parent) == (State.WAITING, State.AVAILABLE, inner, root)
    with pytest.raises(WrongState):
        root.start_inner()
    inner.end(Event.FINISH, SUCCESS)
    assert (root.state, inner.state, root.inner) == (State.AVAILABLE, State.FINISHED, None)
    assert root.start_inner().id != inner.id


def test_an_active_parent_stays_active(root: Context) -> None:
    root.authenticate()
    inner = root.start_inner()
    assert root.state is State.ACTIVE
    inner.end(Event.FINISH, SUCCESS)
    assert root.state is State.ACTIVE


def test_a_context_of_an_active_parent_has_no_user_interface_nor_have_those_within(root: Context) -> None:
    available = root.start_inner()
    assert available.user_interface
    available.authenticate()
    inner = available.start_inner()
    assert not inner.user_interface
    assert not inner.start_inner().user_interface


def test_the_chain_is_innermost_first(root: Context) -> None:
    inner = root.start_inner()
    innermost = inner.start_inner()
    assert list(root.chain) == [innermost, inner, root]
    assert list(innermost.chain) == [innermost]


def test_results_go_to_the_parent_and_nothing_else_outlives_the_end(root: Context, room: Room) -> None:
    inner = root.start_inner()
    inner.results.set(Variable(key="sum", value="3"))
    inner.arguments.set(Variable(key="first", value="1"))
    inner.variables.set(Variable(key="own", value="x"))
    inner.end(Event.FINISH, SUCCESS)
    assert root.inner_results.list() == [Variable(key="sum", value="3")]
    assert room.left == SIZE - VARIABLE_OVERHEAD - Variable(key="sum", value="3").ByteSize()
    root.start_inner().end(Event.FINISH, SUCCESS)
    assert root.inner_results.list() == []
    assert room.left == SIZE


def test_the_end_is_told_once_and_at_once_to_who_comes_late(root: Context) -> None:
    heard: list[str] = []
    root.when_ended(lambda _: heard.append("early"))
    forget = root.when_ended(lambda _: heard.append("left before"))
    forget()
    forget()
    root.end(Event.FINISH, SUCCESS)
    assert heard == []
    root.tell_ended()
    root.tell_ended()
    root.when_ended(lambda context: heard.append(context.state.value))
    assert heard == ["early", "finished"]


def test_nothing_ends_twice(root: Context) -> None:
    root.end(Event.INTERRUPT)
    with pytest.raises(WrongState):
        root.end(Event.FINISH)
    assert root.service_result is None


def test_what_is_kept_of_a_result_is_bounded(root: Context) -> None:
    result = ServiceResult(
        result=[Result.RESULT_FAILURE] * 10_000,
        user_feedback=UserFeedback.USER_FEEDBACK_FAILURE,
        description="x" * 60_000,
    )
    root.end(Event.FINISH, result)
    kept = root.service_result
    assert kept is not None
    assert len(kept.result) == SERVICE_RESULTS_LIMIT
    assert len(kept.description) == SERVICE_DESCRIPTION_LIMIT
    assert kept.user_feedback == UserFeedback.USER_FEEDBACK_FAILURE


def test_an_ordinary_result_is_kept_as_it_is(root: Context) -> None:
    root.end(Event.FINISH, SUCCESS)
    assert root.service_result == SUCCESS
    assert root.service_result is not None
    assert not root.service_result.HasField("description")
