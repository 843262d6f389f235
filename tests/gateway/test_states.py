"""The state table: what may follow what."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.errors import WrongState
from bridge.gateway.states import FINAL, TRANSITIONS, Event, State, diagram, follow


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_what_the_table_does_not_have_is_refused_in_one_line(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert follow(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(WrongState) as refusal:
        follow(state, event)
    assert event.value in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.lists(st.sampled_from(Event)))
def test_no_sequence_of_events_leaves_the_table_or_comes_back_from_an_end(events: list[Event]) -> None:
    state = State.AVAILABLE
    for event in events:
        before = state
        try:
            state = follow(state, event)
        except WrongState:
            assert state is before
        else:
            assert not before.final
            assert (before, event) in TRANSITIONS


def test_every_state_is_reached() -> None:
    reached = {State.AVAILABLE}
    for _ in State:
        reached |= {end for (state, _), end in TRANSITIONS.items() if state in reached}
    assert reached == set(State)


def test_every_living_state_can_be_ended_from_outside() -> None:
    for state in set(State) - FINAL:
        assert follow(state, Event.INTERRUPT) is State.INTERRUPTED
        assert follow(state, Event.FAIL) is State.FAILED


def test_a_claimed_session_cannot_be_claimed_again_nor_while_a_function_has_it() -> None:
    for state in (State.ACTIVE, State.WAITING, *FINAL):
        with pytest.raises(WrongState):
            follow(state, Event.AUTHENTICATE)


def test_the_diagram_has_every_transition() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    for (state, event), end in TRANSITIONS.items():
        [line] = [each for each in lines if each.strip().startswith(f"{state.value} --> {end.value}:")]
        assert event.value in line.partition(": ")[2].split(", ")
    assert {f"    {state.value} --> [*]" for state in FINAL} <= set(lines)
