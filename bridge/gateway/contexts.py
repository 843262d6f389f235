"""A function context: one party's part of an openOBD session, with its variables, arguments and results.

Must not know tokens, calls or clocks. Contexts form a stack inside one session; the first exists
from the session's start. Source: openOBD's protocol comments (function).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from bridge.gateway.errors import InvalidCall, WrongState
from bridge.gateway.states import Event, State, follow
from bridge.gateway.variables import Room, Variables
from bridge.limits import SERVICE_DESCRIPTION_LIMIT, SERVICE_RESULTS_LIMIT
from bridge.openobd.messages import FunctionDetails, ServiceResult, kept


class Context:
    """One function context. Compared by identity, so it can hold tokens."""

    def __init__(self, room: Room, parent: Context | None = None) -> None:
        self.id = str(uuid.uuid4())
        self.parent = parent
        self.inner: Context | None = None  #: the living one within this
        self.state = State.AVAILABLE
        #: Whether it may show controls: not where a parent that is still active has the user's eyes.
        self.user_interface: bool = parent is None or (parent.user_interface and parent.state is not State.ACTIVE)
        self.claimed = False  #: somebody has authenticated
        self.streams = 0  #: of its holder's, open now
        self.called_at = float("-inf")  #: monotonic seconds of its holder's last call
        self.leaving = False  #: with that its holder may have meant to finish it
        self.function_id = ""  #: which function runs here, as soon as that is certain
        self.arguments = Variables(room)
        self.results = Variables(room)
        self.variables = Variables(room)
        self.inner_results = Variables(room)  #: of the last inner context that ended
        self.service_result: ServiceResult | None = None  #: how it was finished
        self.room = room
        self._details: FunctionDetails | None = None
        self._on_end: list[Callable[[Context], None]] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """While its holder has a stream open."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def when_ended(self, callback: Callable[[Context], None]) -> Callable[[], None]:
        """Call back once when the context has ended, at once if it has. The result takes the wish back."""
        if self.state.final:
            callback(self)
            return lambda: None
        self._on_end.append(callback)
        return lambda: self._on_end.remove(callback) if callback in self._on_end else None

    @property
    def details(self) -> FunctionDetails:
        """What is known of the function that runs here; empty where nothing is."""
        return FunctionDetails(id=self.function_id) if self._details is None else self._details

    def register(self, details: FunctionDetails) -> None:
        """Say which function runs here: any the first time, then only the same id.

        Raises:
            InvalidCall: there is no id.
            WrongState: it is another function's context.
            Exhausted: the details are too large.
        """
        if not details.id:
            raise InvalidCall("the function's details need an id")
        if self.function_id not in ("", details.id):
            raise WrongState("another function is registered in this context")
        self._keep_details(details)
        self.function_id = details.id

    def _keep_details(self, details: FunctionDetails | None) -> None:
        details = None if details is None else kept(details)
        before, after = (0 if each is None else each.ByteSize() for each in (self._details, details))
        self.room.take(after - before)
        self._details = details

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
        self.claimed = True
        self.function_id = self.function_id or self.id

    def start_inner(self) -> Context:
        """A new context within this one, available.

        Raises:
            WrongState: one lives already, or this is over.
        """
        if self.inner is not None:
            raise WrongState("a function context within this one lives; it must end first")
        inner = Context(self.room, self)
        self.state = follow(self.state, Event.START_INNER)
        self.inner = inner
        return inner

    def end(self, event: Event, result: ServiceResult | None = None) -> None:
        """End this innermost context. tell_ended() is for when all is done that goes with it.

        Raises:
            WrongState: it is over already.
        """
        self.state = follow(self.state, event)
        self.service_result = result if result is None else _bounded(result)
        if self.parent is None:
            self.results.clear()
        else:
            self.parent.inner = None
            self.parent.inner_results.clear()
            self.parent.inner_results = self.results
            self.parent.state = follow(self.parent.state, Event.INNER_ENDS)
        for scope in (self.arguments, self.variables, self.inner_results):
            scope.clear()
        self._keep_details(None)

    def tell_ended(self) -> None:
        """Call back all who wait for the end."""
        waiting, self._on_end = self._on_end, []
        for callback in waiting:
            callback(self)


def _bounded(result: ServiceResult) -> ServiceResult:
    """A result as it is kept for those who ask: an exception's text may be of any length."""
    return ServiceResult(
        result=result.result[:SERVICE_RESULTS_LIMIT],
        user_feedback=result.user_feedback if result.HasField("user_feedback") else None,
        description=result.description[:SERVICE_DESCRIPTION_LIMIT] if result.HasField("description") else None,
    )
