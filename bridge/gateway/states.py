"""The states of an openOBD session, and of each function context in it: one table.

Everything that decides whether a call comes at the right time is in TRANSITIONS; nothing else is
(the diagram in ARCHITECTURE.md is made of it, by tools/state_diagram.py). This module must not know
tokens, calls or clocks.

Source: openOBD's documentation (session states; the table of calls and states), its protocol's
comments (function contexts).
"""

from __future__ import annotations

import enum

from bridge.gateway.errors import WrongState


class State(enum.Enum):
    """A context's state; a session's is that of its innermost context, in the protocol's words."""

    AVAILABLE = "available"  #: whoever has the authentication token may claim it
    WAITING = "waiting"  #: it was available when a context was started within it, and that one lives
    ACTIVE = "active"  #: somebody has claimed it
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"  #: the gateway itself has lost it

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL


FINAL = frozenset((State.FINISHED, State.INTERRUPTED, State.FAILED))


class Event(enum.Enum):
    """What happens to a context."""

    AUTHENTICATE = "authenticate"
    START_INNER = "startFunctionContext"
    INNER_ENDS = "the inner context ends"
    FINISH = "finish"
    INTERRUPT = "interruptSession"
    FAIL = "its holder or the gateway is gone"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.AVAILABLE, Event.AUTHENTICATE): State.ACTIVE,
    (State.AVAILABLE, Event.START_INNER): State.WAITING,
    (State.WAITING, Event.INNER_ENDS): State.AVAILABLE,
    (State.ACTIVE, Event.START_INNER): State.ACTIVE,
    (State.ACTIVE, Event.INNER_ENDS): State.ACTIVE,
    (State.AVAILABLE, Event.FINISH): State.FINISHED,
    (State.ACTIVE, Event.FINISH): State.FINISHED,
    # An end that comes from outside takes every context with it.
    **{
        (state, event): end
        for state in (State.AVAILABLE, State.WAITING, State.ACTIVE)
        for event, end in ((Event.INTERRUPT, State.INTERRUPTED), (Event.FAIL, State.FAILED))
    },
}

_REFUSALS = {
    State.WAITING: "another function context runs within this one; it must end first",
    State.ACTIVE: "it is active: somebody has authenticated already",
    State.AVAILABLE: "it is available: authenticate first",
}


def follow(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        WrongState: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        why = _REFUSALS.get(state, f"the session or its function context is {state.value}")
        raise WrongState(f"{event.value} is not possible: {why}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), end in TRANSITIONS.items():
        arrows.setdefault((state, end), []).append(event.value)
    lines = ["stateDiagram-v2", f"    [*] --> {State.AVAILABLE.value}: startSession, startFunctionContext"]
    lines += [f"    {state.value} --> {end.value}: {', '.join(events)}" for (state, end), events in arrows.items()]
    lines += [f"    {state.value} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)
