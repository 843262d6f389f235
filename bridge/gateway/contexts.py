"""A function context: one party's part of an openOBD session, with its variables, arguments and results.

Must not know tokens, calls or clocks. Contexts form a stack inside one session; the first exists
from the session's start. Source: openOBD's protocol comments (function, variables).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from bridge.gateway.errors import Exhausted, InvalidCall, NotFound, WrongState
from bridge.gateway.states import Event, State, follow
from bridge.limits import VARIABLE_KEY_LIMIT, VARIABLES_LIMIT, VARIABLES_SIZE_LIMIT
from bridge.openobd.messages import FunctionDetails, ServiceResult, Variable


class Room:
    """How many bytes the variables of one session may take, all of them together."""

    def __init__(self, size: int = VARIABLES_SIZE_LIMIT) -> None:
        self.left = size

    def take(self, size: int) -> None:
        """Use some of it, or give some back where `size` is negative.

        Raises:
            Exhausted: there is no more.
        """
        if size > self.left:
            raise Exhausted(f"the session's variables would take more than {VARIABLES_SIZE_LIMIT} bytes")
        self.left -= size


class Variables:
    """The variables of one scope: key -> value, bounded in number and size."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._values: dict[str, Variable] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)

    def set(self, variable: Variable) -> None:
        """Keep a variable under its key.

        Raises:
            InvalidCall: it has no key, a very long one, or no value.
            Exhausted: there are too many, or they are too large.
        """
        key = variable.key
        if not 0 < len(key) <= VARIABLE_KEY_LIMIT:
            raise InvalidCall(f"a variable needs a key of 1 to {VARIABLE_KEY_LIMIT} characters")
        if variable.WhichOneof("Val") is None:
            raise InvalidCall(f"the variable {key!r} has no value")
        before = self._values.get(key)
        if before is None and len(self._values) >= VARIABLES_LIMIT:
            raise Exhausted(f"there are {VARIABLES_LIMIT} variables already")
        self._room.take(variable.ByteSize() - (before.ByteSize() if before is not None else 0))
        self._values[key] = variable

    def get(self, key: str) -> Variable:
        """The variable with this key.

        Raises:
            NotFound: there is none.
        """
        try:
            return self._values[key]
        except KeyError:
            raise NotFound(f"there is no variable {key[:VARIABLE_KEY_LIMIT]!r}") from None

    def delete(self, key: str) -> None:
        """Forget a variable.

        Raises:
            NotFound: there is none.
        """
        self._room.take(-self.get(key).ByteSize())
        del self._values[key]

    def clear(self) -> None:
        """Forget all of them."""
        self._room.take(-sum(variable.ByteSize() for variable in self._values.values()))
        self._values.clear()

    def list(self, prefix: str = "") -> list[Variable]:
        """Those whose keys start with a prefix, in the order in which they were first set."""
        return [variable for key, variable in self._values.items() if key.startswith(prefix)]


class Context:
    """One function context. Compared by identity, so it can hold tokens."""

    def __init__(self, room: Room, parent: Context | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.parent = parent
        self.inner: Context | None = None  #: the living one within this
        self.state = State.AVAILABLE
        #: Whether it may show controls: not where a parent that is still active has the user's eyes.
        self.user_interface: bool = parent is None or (parent.user_interface and parent.state is not State.ACTIVE)
        self.details: FunctionDetails | None = None
        self.arguments = Variables(room)
        self.results = Variables(room)
        self.variables = Variables(room)
        self.inner_results: list[Variable] = []  #: of the last inner context that ended
        self.service_result: ServiceResult | None = None  #: how it was finished
        self._on_end: list[Callable[[Context], None]] = []

    def when_ended(self, callback: Callable[[Context], None]) -> Callable[[], None]:
        """Call back once when the context has ended, at once if it has. The result takes the wish back."""
        if self.state.final:
            callback(self)
            return lambda: None
        self._on_end.append(callback)
        return lambda: self._on_end.remove(callback) if callback in self._on_end else None

    def register(self, details: FunctionDetails) -> None:
        """Say which function runs here: any the first time, then only the same id.

        Raises:
            InvalidCall: there is no id.
            WrongState: it is another function's context.
        """
        if not details.id:
            raise InvalidCall("the function's details need an id")
        if self.details is not None and self.details.id != details.id:
            raise WrongState("another function is registered in this context")
        self.details = details

    @property
    def chain(self) -> Iterable[Context]:
        """This context and those within it, innermost first."""
        found: list[Context] = []
        context: Context | None = self
        while context is not None:
            found.append(context)
            context = context.inner
        return reversed(found)

    def authenticate(self) -> None:
        """Claim it. A context without a registered function becomes one of its own id.

        Raises:
            WrongState: it is not available.
        """
        self.state = follow(self.state, Event.AUTHENTICATE)
        if self.details is None:
            self.details = FunctionDetails(id=self.id)

    def start_inner(self, room: Room) -> Context:
        """A new context within this one, available.

        Raises:
            WrongState: one lives already, or this is over.
        """
        if self.inner is not None:
            raise WrongState("a function context within this one lives; it must end first")
        inner = Context(room, self)
        self.state = follow(self.state, Event.START_INNER)
        self.inner = inner
        return inner

    def end(self, event: Event, result: ServiceResult | None = None) -> None:
        """End this innermost context, and tell who waits for that.

        Raises:
            WrongState: it is over already.
        """
        self.state = follow(self.state, event)
        self.service_result = result
        if self.parent is not None:
            self.parent.inner = None
            self.parent.inner_results = self.results.list()
            if not self.parent.state.final:
                self.parent.state = follow(self.parent.state, Event.INNER_ENDS)
        self.arguments.clear()
        self.variables.clear()
        self.results.clear()
        waiting, self._on_end = self._on_end, []
        for callback in waiting:
            callback(self)
