"""Variables: set, found, forgotten, and never more than there is room for."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.errors import CallError, Exhausted, Forbidden, InvalidCall, NotFound
from bridge.gateway.variables import TICKET_KEY, VIN_KEY, VOLTAGE_KEY, ConnectionVariables, Room, Variables
from bridge.limits import (
    CONNECTION_VALUE_LIMIT,
    SESSION_STREAMS_LIMIT,
    VARIABLE_KEY_LIMIT,
    VARIABLE_OVERHEAD,
    VARIABLES_LIMIT,
    VARIABLES_SIZE_LIMIT,
)
from bridge.openobd.messages import ContextType, Variable


def text(key: str, value: str = "") -> Variable:
    return Variable(key=key, value=value)


def test_a_variable_is_a_text_or_a_message_and_keeps_its_place() -> None:
    variables = Variables(Room())
    message = Variable(key="object", object=Any(type_url="type.example/x", value=b"\x01"))
    for variable in (text("b", "1"), message, text("a")):
        variables.set(variable)
    variables.set(text("b", "2"))
    assert variables.list() == [text("b", "2"), message, text("a")]
    assert variables.get("object") == message
    assert variables.get("a").value == ""
    variables.delete("object")
    assert variables.list() == [text("b", "2"), text("a")]
    assert len(variables) == 2


def test_what_is_not_there_is_not_found() -> None:
    variables = Variables(Room())
    for call in (variables.get, variables.delete):
        with pytest.raises(NotFound):
            call("nothing")


def test_a_prefix_selects() -> None:
    variables = Variables(Room())
    for key in ("car:doors", "car:wheels", "boat", "ca"):
        variables.set(text(key))
    assert [each.key for each in variables.list("car:")] == ["car:doors", "car:wheels"]
    assert len(variables.list("")) == 4
    assert variables.list("x") == []


@pytest.mark.parametrize(
    "variable",
    [text(""), text("k" * (VARIABLE_KEY_LIMIT + 1)), Variable(key="nothing in it")],
    ids=["", "long", "empty"],
)
def test_no_key_and_no_value_is_refused(variable: Variable) -> None:
    variables = Variables(Room())
    with pytest.raises(InvalidCall):
        variables.set(variable)
    assert len(variables) == 0


def test_their_number_is_bounded() -> None:
    variables = Variables(Room())
    for number in range(VARIABLES_LIMIT):
        variables.set(text(str(number)))
    with pytest.raises(Exhausted):
        variables.set(text("one more"))
    variables.set(text("0", "changed"))
    variables.delete("1")
    variables.set(text("one more"))


def test_what_does_not_fit_changes_nothing() -> None:
    room = Room(VARIABLE_OVERHEAD + 100)
    variables = Variables(room)
    variables.set(text("k", "short"))
    left = room.left
    with pytest.raises(Exhausted, match=f"more than {VARIABLE_OVERHEAD + 100} bytes"):
        variables.set(text("k", "x" * 100))
    assert variables.get("k").value == "short"
    assert room.left == left


def test_small_variables_take_their_room_too() -> None:
    room = Room()
    scopes = [Variables(room) for _ in range(64)]
    with pytest.raises(Exhausted):
        for scope in scopes:
            for number in range(VARIABLES_LIMIT):
                scope.set(text(str(number)))
    assert sum(map(len, scopes)) <= VARIABLES_SIZE_LIMIT / VARIABLE_OVERHEAD


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.none() | st.text(max_size=40))))
def test_the_room_is_exactly_what_is_not_in_use(changes: list[tuple[str, str, str | None]]) -> None:
    size = 3 * VARIABLE_OVERHEAD + 200
    room = Room(size)
    scopes = {name: Variables(room) for name in "abc"}
    for scope, key, value in changes:
        try:
            scopes[scope].delete(key) if value is None else scopes[scope].set(text(key, value))
        except CallError:
            continue
    used = sum(VARIABLE_OVERHEAD + each.ByteSize() for scope in scopes.values() for each in scope.list())
    assert room.left == size - used >= 0
    for scope in scopes.values():
        scope.clear()
    assert room.left == size


def test_streams_are_counted_and_bounded() -> None:
    room = Room()
    opened = [room.stream() for _ in range(SESSION_STREAMS_LIMIT)]
    for each in opened:
        each.__enter__()
    with pytest.raises(Exhausted), room.stream():
        pass
    opened[0].__exit__(None, None, None)
    with room.stream():
        assert room.streams == SESSION_STREAMS_LIMIT


def test_a_connection_has_what_the_gateway_knows_and_notes() -> None:
    notes = Variables(Room())
    variables = ConnectionVariables({VIN_KEY: "WVWZZZ1KZAW000001", TICKET_KEY: "42"}, notes)
    variables.set(text("shop", "north"))
    assert [(each.key, each.value) for each in variables.list()] == [
        (VIN_KEY, "WVWZZZ1KZAW000001"),
        (TICKET_KEY, "42"),
        ("shop", "north"),
    ]
    assert [each.key for each in variables.list("vehicle:")] == [VIN_KEY]
    assert variables.get(VIN_KEY).type == ContextType.CONNECTION_CONTEXT
    assert ConnectionVariables({}, notes).get("shop").value == "north"
    with pytest.raises(NotFound):
        variables.get(VOLTAGE_KEY)


def test_a_connection_takes_short_texts_and_nothing_that_it_knows_itself() -> None:
    variables = ConnectionVariables({}, Variables(Room()))
    for variable in (Variable(key="message", object=Any()), text("long", "x" * (CONNECTION_VALUE_LIMIT + 1))):
        with pytest.raises(InvalidCall):
            variables.set(variable)
    for key in (VIN_KEY, VOLTAGE_KEY, TICKET_KEY):
        with pytest.raises(Forbidden):
            variables.set(text(key, "mine"))
    variables.set(text("longest", "x" * CONNECTION_VALUE_LIMIT))
    with pytest.raises(InvalidCall):
        variables.delete("longest")
