"""All openOBD sessions: who started them, on which vehicle, in which state.

What calls do to sessions and their contexts, tokens included, is here; how calls arrive is not.
Every `now` is monotonic seconds. Source: openOBD's documentation and protocol comments.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from bridge.gateway.connections import Connection
from bridge.gateway.contexts import Context
from bridge.gateway.errors import Exhausted, NotFound, WrongState
from bridge.gateway.states import Event, State
from bridge.gateway.tokens import Claim, TokenKind, Tokens
from bridge.gateway.variables import Room, Variables
from bridge.limits import (
    CONTEXT_DEPTH_LIMIT,
    ENDED_CONTEXTS_LIMIT,
    LEAVING_GRACE,
    PARTNER_SESSIONS_LIMIT,
    SESSIONS_LISTED,
)
from bridge.openobd.messages import BusConfiguration, ConfiguredChannel, ServiceResult

BY_AUTHENTICATION = frozenset((TokenKind.AUTHENTICATION,))
BY_SESSION = frozenset((TokenKind.SESSION,))
BY_EITHER = BY_AUTHENTICATION | BY_SESSION
BY_MONITOR = frozenset((TokenKind.MONITOR,))


@dataclass(eq=False, slots=True)
class Session:
    """One session. `created_at` is Unix seconds."""

    id: str
    partner: str  #: its client id
    connection: Connection
    created_at: float
    ticket: str = ""  #: the ticket number that it was started on, or ""
    room: Room = field(default_factory=Room)
    configuration: list[BusConfiguration] = field(default_factory=list)  #: as configureBus had it
    buses: dict[str, int] = field(default_factory=dict)  #: its CAN buses: bus name -> OpenXC's bus number
    channels: dict[bytes, ConfiguredChannel] = field(default_factory=dict)  #: opened so far, by their content
    reconfigured: set[Callable[[], None]] = field(default_factory=set)  #: called when its buses were configured anew
    muted: bool = True  #: OpenXC clients may not write on its buses
    claimed: bool = False  #: somebody has authenticated in it
    ended: deque[Context] = field(default_factory=deque)  #: contexts that are over and may still be monitored
    root: Context = field(init=False)
    variables: Variables = field(init=False)  #: of the whole session

    def __post_init__(self) -> None:
        self.root = Context(self.room)
        self.variables = Variables(self.room)

    @property
    def innermost(self) -> Context:
        """The context that is at work."""
        return next(iter(self.root.chain))

    @property
    def streams(self) -> int:
        """How many are open now."""
        return self.room.streams

    @property
    def state(self) -> State:
        """The session's state, as the protocol shows it."""
        return self.innermost.state


@dataclass(frozen=True, slots=True)
class Record:
    """A session as it is listed and kept, without what runs in it."""

    id: str
    partner: str
    created_at: float
    state: State


class SessionStore(Protocol):
    """Where the list of sessions outlives the process."""

    def put(self, record: Record) -> None:
        """Keep a record in place of an older one with its id."""

    def records(self) -> list[Record]:
        """All records, oldest first."""


class Sessions:
    """The sessions of all partners, those that are over included (the newest of them)."""

    def __init__(
        self, tokens: Tokens, store: SessionStore, changed: Callable[[Session], None] = lambda _: None
    ) -> None:
        """`changed` is called whenever a session's state, buses or muting may have changed."""
        self._tokens = tokens
        self._store = store
        self._changed = changed
        self._open: dict[str, Session] = {}
        self._sessions: dict[Context, Session] = {}  # by the contexts that live
        self._over: OrderedDict[str, Record] = OrderedDict()
        for record in store.records():
            if record.state.final:
                self._over[record.id] = record
            else:  # it was under way when the process before this one ended
                self._remember(replace(record, state=State.FAILED))

    @property
    def open(self) -> list[Session]:
        """Those that are not over, oldest first."""
        return list(self._open.values())

    # What partners do

    def start(
        self, partner: str, connection: Connection, now: float, created_at: float, ticket: str = ""
    ) -> tuple[Session, str]:
        """A new session, available, and the token that claims it.

        Where the partner has too many, the oldest one that nobody can claim any more makes room.

        Raises:
            Exhausted: the partner has too many that are not over.
        """
        own = [session for session in self._open.values() if session.partner == partner]
        if len(own) >= PARTNER_SESSIONS_LIMIT:
            forgotten = next((each for each in own if not self._held(each, each.innermost, now)), None)
            if forgotten is None:
                raise Exhausted(
                    f"{PARTNER_SESSIONS_LIMIT} sessions of this partner are not over; finish or interrupt some of them"
                )
            self._end_all(forgotten, Event.FAIL)
        self._tokens.admit(TokenKind.AUTHENTICATION, partner, now)
        session = Session(str(uuid.uuid4()), partner, connection, created_at, ticket)
        self._open[session.id] = session
        self._sessions[session.root] = session
        token = self._issue(TokenKind.AUTHENTICATION, session.root, now)
        self._report(session)
        return session, token

    def find(self, partner: str, session_id: str) -> Session | Record:
        """A session of a partner: open, or over and still listed.

        Raises:
            NotFound: there is none with this id, or it is somebody else's.
        """
        found: Session | Record | None = self._open.get(session_id) or self._over.get(session_id)
        if found is None or found.partner != partner:
            raise NotFound("there is no such session")
        return found

    def list(self, partner: str) -> list[Session | Record]:
        """The sessions of a partner, oldest first."""
        found: list[Session | Record] = [*self._over.values(), *self._open.values()]
        return sorted((one for one in found if one.partner == partner), key=lambda one: one.created_at)

    def interrupt(self, partner: str, session_id: str) -> Record:
        """End a session at once.

        Raises:
            NotFound, WrongState
        """
        session = self.find(partner, session_id)
        if not isinstance(session, Session):
            raise WrongState(f"the session is {session.state.value} already")
        self._end_all(session, Event.INTERRUPT)
        return self._over[session.id]

    def renewed_token(self, session: Session, now: float) -> str:
        """Another authentication token of an available session; "" for one that cannot be claimed."""
        if session.state is not State.AVAILABLE:
            return ""
        return self._issue(TokenKind.AUTHENTICATION, session.innermost, now)

    def end_all(self) -> None:
        """The gateway goes, and all sessions with it."""
        for session in self.open:
            self._end_all(session, Event.FAIL)

    # What holders of a session's tokens do

    def context(self, token: str, kinds: frozenset[TokenKind], now: float) -> Context:
        """The context that a token speaks for.

        Raises:
            Unauthenticated: the token does not hold.
            WrongState: its context is over; one may be monitored even so.
        """
        claim = self._tokens.check(token, kinds, now)
        context = claim.holder
        assert isinstance(context, Context)
        if context.state.final and claim.kind is not TokenKind.MONITOR:
            raise WrongState(f"the session or its function context is {context.state.value}")
        if claim.kind is not TokenKind.MONITOR:
            context.called_at, context.leaving = now, False
        return context

    def claim(self, token: str, kinds: frozenset[TokenKind], now: float) -> Claim:
        """What a token claims, for who needs its age."""
        return self._tokens.check(token, kinds, now)

    def of(self, context: Context) -> Session:
        """The session of a context.

        Raises:
            WrongState: the context is over.
        """
        try:
            return self._sessions[context]
        except KeyError:
            raise WrongState(f"the session or its function context is {context.state.value}") from None

    def assert_available(self, context: Context) -> None:
        """Whether authenticate() would do now.

        Raises:
            WrongState: it would not.
        """
        if context.state is not State.AVAILABLE:
            raise WrongState(f"the session or its function context is {context.state.value}, not available")

    def authenticate(self, context: Context, now: float) -> str:
        """Claim a context: the session token. Authentication tokens are used up by that.

        Raises:
            WrongState: it is not available.
        """
        context.authenticate()
        self._tokens.revoke(TokenKind.AUTHENTICATION, context)
        session = self.of(context)
        session.claimed = True
        self._report(session)
        return self.session_token(context, now)

    def session_token(self, context: Context, now: float) -> str:
        """A new session token; the ones before hold for the rest of their lives."""
        return self._issue(TokenKind.SESSION, context, now)

    def monitor_token(self, context: Context, now: float) -> str:
        """A new monitor token."""
        return self._issue(TokenKind.MONITOR, context, now)

    def start_context(self, context: Context, now: float) -> tuple[Context, str, str]:
        """A context within another: it, its monitor token and its authentication token.

        Raises:
            WrongState: one lives within it already.
            Exhausted: there are too many within one another.
        """
        session = self.of(context)
        if sum(1 for _ in session.root.chain) >= CONTEXT_DEPTH_LIMIT:
            raise Exhausted(f"{CONTEXT_DEPTH_LIMIT} function contexts within one another are enough")
        for kind in (TokenKind.MONITOR, TokenKind.AUTHENTICATION):
            self._tokens.admit(kind, session.partner, now)
        inner = context.start_inner()
        self._sessions[inner] = session
        monitor = self.monitor_token(inner, now)
        authentication = self._issue(TokenKind.AUTHENTICATION, inner, now)
        self._report(session)
        return inner, monitor, authentication

    def finish(self, context: Context, result: ServiceResult) -> None:
        """Finish a context; the session, too, where it is the first one.

        A caller whose function could not be started finishes the inner context with its own token:
        while one lives within, that one ends and the caller's stays. But where that function runs already, the
        caller may have been interrupted, and have meant its own end: then it makes no other call.
        """
        ended = context.inner or context
        self._end(self.of(context), ended.chain, Event.FINISH, result)
        context.leaving = ended is not context and ended.claimed

    def fail_abandoned(self, now: float) -> None:
        """End what nobody can end any more, so that callers stop waiting and buses are free again.

        That is the innermost context of a session when every token to act in it has run out, and none of its
        streams is open; or when its holder meant to finish it and has gone since. A session that nobody has
        claimed yet stays, as long as there is room for it: its partner may ask for another token.
        """
        for session in self.open:
            context = session.innermost
            if not self._held(session, context, now) and (session.claimed or context is not session.root):
                self._end(session, [context], Event.FAIL)

    def _held(self, session: Session, context: Context, now: float) -> bool:
        """Whether somebody can act in a context, or may still hear from the monitor of an inner one how to."""
        if context.streams > 0:
            return True
        if context.leaving and now - context.called_at > LEAVING_GRACE:
            return False
        inner_ones = (each for each in session.ended if each.parent is context)
        return any(self._tokens.any_held(kind, context, now) for kind in BY_EITHER) or any(
            self._tokens.any_held(TokenKind.MONITOR, each, now) for each in inner_ones
        )

    def parent_token(self, context: Context, now: float) -> str:
        """For the last message about a context that is over: what lets its parent be claimed again.

        "" where the parent is still active, and goes on with the token that it has.
        """
        parent = context.parent
        if parent is None or parent.state is not State.AVAILABLE:
            return ""
        return self._issue(TokenKind.AUTHENTICATION, parent, now)

    def _issue(self, kind: TokenKind, context: Context, now: float) -> str:
        return self._tokens.issue(kind, context, self.of(context).partner, now)

    def note_changed(self, session: Session) -> None:
        """Its buses or its muting were changed."""
        self._changed(session)

    # Ends

    def _end(
        self, session: Session, contexts: Iterable[Context], event: Event, result: ServiceResult | None = None
    ) -> None:
        """End contexts, innermost first. Nobody learns of it before all of it is done."""
        ended = list(contexts)
        for context in ended:
            context.end(event, result)
            del self._sessions[context]
            for kind in BY_EITHER:
                self._tokens.revoke(kind, context)
            session.ended.append(context)
        while len(session.ended) > ENDED_CONTEXTS_LIMIT:
            self._tokens.revoke_all(session.ended.popleft())
        if session.state.final:
            del self._open[session.id]
            session.variables.clear()
        self._report(session)
        for context in ended:
            context.tell_ended()

    def _end_all(self, session: Session, event: Event) -> None:
        self._end(session, session.root.chain, event)

    def _report(self, session: Session) -> None:
        record = Record(session.id, session.partner, session.created_at, session.state)
        if record.state.final:
            self._remember(record)
        else:
            self._store.put(record)
        self._changed(session)

    def _remember(self, record: Record) -> None:
        self._over[record.id] = record
        self._store.put(record)
        while len(self._over) > SESSIONS_LISTED:
            self._over.popitem(last=False)
