"""The function broker: which launcher serves which function, and the calls that are on their way there.

A launcher is one function stream. What it is told leaves through its Outlet. Each `now` is monotonic
seconds; poll() does what is due. Must not know tokens, sessions, calls or clocks.

A partner may run its own functions. It may run another one's, which it names as the provider, where
that partner shows the function to people (FUNCTION_VISIBILITY_DASHBOARD): whatever is internal, or
says nothing, is for its own partner only. A provider's id is its partner's client id.

Source: openOBD's documentation (function broker) and protocol comments.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

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
from bridge.limits import (
    FUNCTION_DETAILS_LIMIT,
    FUNCTION_ID_LIMIT,
    LAUNCHER_FUNCTIONS_LIMIT,
    LAUNCHERS_LIMIT,
    PARTNER_FUNCTIONS_LIMIT,
    PENDING_CALLS_LIMIT,
)
from bridge.openobd.messages import (
    FunctionBrokerReconnect,
    FunctionCall,
    FunctionDetails,
    FunctionRegistration,
    FunctionRegistrationState,
    FunctionUpdate,
    FunctionUpdateResponse,
    FunctionUpdateType,
    FunctionVisibility,
    kept,
)
from bridge.visible import one_line

REQUEST = FunctionUpdateType.FUNCTION_UPDATE_TYPE_REQUEST
RESPONSE = FunctionUpdateType.FUNCTION_UPDATE_TYPE_RESPONSE
ONLINE = FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_ONLINE
OFFLINE = FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_OFFLINE
SUCCESS = FunctionUpdateResponse.FUNCTION_UPDATE_SUCCESS
FAILED = FunctionUpdateResponse.FUNCTION_UPDATE_FAILED
UNAVAILABLE = FunctionUpdateResponse.FUNCTION_UPDATE_UNAVAILABLE
UNAUTHORIZED = FunctionUpdateResponse.FUNCTION_UPDATE_UNAUTHORIZED

_ECHOES = ("function_broker_token", "function_broker_reconnect")
_LONGEST_NOTICE = 2**32 - 1  # seconds, a uint32
_FAILURES: dict[int, type[CallError]] = {FAILED: Declined, UNAVAILABLE: Unavailable, UNAUTHORIZED: Forbidden}


class Outlet(Protocol):
    """The broker's side of a function stream."""

    def put(self, message: FunctionUpdate) -> None:
        """Tell the launcher."""

    def end(self, error: CallError | None = None) -> None:
        """Close the stream."""


@dataclass(eq=False, slots=True)
class Function:
    """A function that is online, or has been."""

    partner: str
    details: FunctionDetails
    visibility: FunctionVisibility = FunctionVisibility.FUNCTION_VISIBILITY_UNDEFINED
    launcher: Launcher | None = None  #: that it is online at


@dataclass(eq=False, slots=True)
class Launcher:
    """One function stream."""

    partner: str
    peer: str  #: where it calls from, as gRPC names it
    outlet: Outlet
    idle_since: float | None  #: since when no function is online here
    functions: dict[str, Function] = field(default_factory=dict)  #: online, by their ids
    calls: dict[str, PendingCall] = field(default_factory=dict)  #: by the authentication tokens handed over


@dataclass(eq=False, slots=True)
class PendingCall:
    """A call that its launcher has not answered yet."""

    launcher: Launcher
    token: str
    deadline: float
    answered: Callable[[CallError | None], None]  #: gets why it failed, or None


class Broker:
    """All functions and launchers of all partners."""

    def __init__(self, ids: FunctionIds, call_timeout: float, idle_timeout: float) -> None:
        """`call_timeout` is for a launcher to answer a call, `idle_timeout` for a stream without a function online."""
        self._ids = ids
        self._call_timeout = call_timeout
        self._idle_timeout = idle_timeout
        self._launchers: dict[Launcher, None] = {}
        self._functions: dict[str, OrderedDict[str, Function]] = {}  # by partner, then by id
        self._closed = False

    # Launchers

    @property
    def launchers(self) -> int:
        """How many function streams are open."""
        return len(self._launchers)

    def join(self, partner: str, peer: str, outlet: Outlet, now: float) -> Launcher:
        """A function stream opens.

        Raises:
            Exhausted: the partner has too many.
            Unavailable: the broker is about to end.
        """
        if self._closed:
            raise Unavailable("the gateway is ending")
        if sum(each.partner == partner for each in self._launchers) >= LAUNCHERS_LIMIT:
            raise Exhausted(f"this partner has {LAUNCHERS_LIMIT} function streams open already")
        launcher = Launcher(partner, peer, outlet, idle_since=now)
        self._launchers[launcher] = None
        return launcher

    def leave(self, launcher: Launcher) -> None:
        """A function stream has closed: its functions are offline, and its calls fail."""
        del self._launchers[launcher]
        for function in launcher.functions.values():
            function.launcher = None
        for call in list(launcher.calls.values()):
            self._settle(call, Unavailable("the function's launcher has gone without an answer"))

    def receive(self, launcher: Launcher, update: FunctionUpdate, now: float) -> None:
        """A launcher says something.

        Raises:
            InvalidCall: it makes no sense; the stream ends with that.
        """
        match (update.type, update.WhichOneof("FunctionData")):
            case (FunctionUpdateType.FUNCTION_UPDATE_TYPE_REQUEST, "function_registration"):
                self._register(launcher, update.function_registration, now)
            case (FunctionUpdateType.FUNCTION_UPDATE_TYPE_RESPONSE, "function_call"):
                self._answer(launcher, update)
            case (FunctionUpdateType.FUNCTION_UPDATE_TYPE_RESPONSE, kind) if kind in _ECHOES:
                pass  # there is nothing to read in it; nothing happens where it is missing, either
            case _:
                raise InvalidCall("a launcher sends requests of registrations and responses to calls and tokens")

    # Registrations

    def _register(self, launcher: Launcher, registration: FunctionRegistration, now: float) -> None:
        function_id = registration.details.id
        if not 0 < len(function_id) <= FUNCTION_ID_LIMIT:
            raise InvalidCall(f"a registration's details need an id of 1 to {FUNCTION_ID_LIMIT} characters")
        if registration.state == ONLINE:
            self._set_online(launcher, registration, now)
        elif registration.state == OFFLINE:
            self._set_offline(launcher, function_id, now)
        else:
            raise InvalidCall("a registration's state is ONLINE or OFFLINE")

    def _set_online(self, launcher: Launcher, registration: FunctionRegistration, now: float) -> None:
        details = kept(registration.details)
        details.provider_id = launcher.partner
        try:
            function = self._admit(launcher, details, registration.signature)
        except Forbidden as refusal:
            _acknowledge(launcher, FunctionDetails(id=details.id), OFFLINE, UNAUTHORIZED, str(refusal))
            return
        except Exhausted as refusal:
            _acknowledge(launcher, FunctionDetails(id=details.id), OFFLINE, FAILED, str(refusal))
            return
        former = function.launcher
        if former is not None and former is not launcher:
            self._take_offline(former, function, now)
            _acknowledge(former, function.details, OFFLINE, UNAVAILABLE, "another launcher has taken it over")
        function.details = details
        function.visibility = registration.visibility
        function.launcher = launcher
        launcher.functions[details.id] = function
        launcher.idle_since = None
        _acknowledge(launcher, details, ONLINE, SUCCESS)

    def _admit(self, launcher: Launcher, details: FunctionDetails, signature: str) -> Function:
        """The function that may be online at a launcher: one that is known, or a new one.

        Raises:
            Forbidden: the id is not the partner's to use.
            Exhausted: there are too many, or the details are too large.
        """
        if not self._ids.allows(launcher.partner, details.id, signature):
            raise Forbidden("the signature is not this partner's for this function id")
        if details.ByteSize() > FUNCTION_DETAILS_LIMIT:
            raise Exhausted(f"a function's details take at most {FUNCTION_DETAILS_LIMIT} bytes")
        if details.id not in launcher.functions and len(launcher.functions) >= LAUNCHER_FUNCTIONS_LIMIT:
            raise Exhausted(f"{LAUNCHER_FUNCTIONS_LIMIT} functions are the most on one stream")
        known = self._functions.setdefault(launcher.partner, OrderedDict())
        if details.id not in known:
            if len(known) >= PARTNER_FUNCTIONS_LIMIT:
                self._forget_oldest(known)
            known[details.id] = Function(launcher.partner, details)
        known.move_to_end(details.id)
        return known[details.id]

    def _forget_oldest(self, known: OrderedDict[str, Function]) -> None:
        oldest = next((key for key, function in known.items() if function.launcher is None), None)
        if oldest is None:
            raise Exhausted(f"{PARTNER_FUNCTIONS_LIMIT} functions are the most of one partner")
        del known[oldest]

    def _set_offline(self, launcher: Launcher, function_id: str, now: float) -> None:
        function = launcher.functions.get(function_id)
        if function is None:
            details = FunctionDetails(id=function_id)
            _acknowledge(launcher, details, OFFLINE, UNAVAILABLE, "it is not registered on this stream")
            return
        self._take_offline(launcher, function, now)
        _acknowledge(launcher, function.details, OFFLINE, SUCCESS)

    def _take_offline(self, launcher: Launcher, function: Function, now: float) -> None:
        del launcher.functions[function.details.id]
        function.launcher = None
        if not launcher.functions:
            launcher.idle_since = now

    def registration(self, caller: str, function_id: str, provider: str) -> FunctionRegistration:
        """What a partner may know about a function."""
        function = self._known(caller, function_id, provider)
        if function is None or not _may_run(caller, function):
            return FunctionRegistration(
                details=FunctionDetails(id=function_id),
                state=FunctionRegistrationState.FUNCTION_REGISTRATION_STATE_UNAVAILABLE,
            )
        return FunctionRegistration(
            details=function.details,
            state=OFFLINE if function.launcher is None else ONLINE,
            visibility=function.visibility,
        )

    def _known(self, caller: str, function_id: str, provider: str) -> Function | None:
        functions = self._functions.get(provider or caller)
        return None if functions is None else functions.get(function_id)

    # Calls

    def find(self, caller: str, function_id: str, provider: str) -> tuple[Function, Launcher]:
        """The function that a partner wants to run, and where.

        Raises:
            Forbidden: it is another partner's, and not for others.
            Unavailable: it is not online.
        """
        function = self._known(caller, function_id, provider)
        if function is not None and not _may_run(caller, function):
            raise Forbidden("the function is for its own partner only")
        if function is None or function.launcher is None:
            raise Unavailable("the function is not online: no launcher serves it")
        return function, function.launcher

    def call(
        self, launcher: Launcher, call: FunctionCall, answered: Callable[[CallError | None], None], now: float
    ) -> PendingCall:
        """Forward a call. `answered` is called once, unless the caller gives up before.

        Raises:
            WrongState: a call into this context waits already.
            Exhausted: too many calls wait for this launcher.
        """
        token = call.session_info.authentication_token
        if any(token in each.calls for each in self._launchers):
            raise WrongState("a function is being called in this context already")
        if len(launcher.calls) >= PENDING_CALLS_LIMIT:
            raise Exhausted(f"{PENDING_CALLS_LIMIT} calls wait for the function's launcher already")
        pending = PendingCall(launcher, token, now + self._call_timeout, answered)
        launcher.calls[token] = pending
        launcher.outlet.put(FunctionUpdate(type=REQUEST, function_call=call))
        return pending

    def give_up(self, call: PendingCall) -> None:
        """Nobody waits for the answer any more."""
        call.launcher.calls.pop(call.token, None)

    def _answer(self, launcher: Launcher, update: FunctionUpdate) -> None:
        response = update.response
        if response != SUCCESS and response not in _FAILURES:
            raise InvalidCall("the response to a call says SUCCESS, FAILED, UNAVAILABLE or UNAUTHORIZED")
        call = launcher.calls.get(update.function_call.session_info.authentication_token)
        if call is None:
            return  # it comes too late
        failure = _FAILURES.get(response)
        description = one_line(update.response_description.strip()) or "the function's launcher refuses to run it"
        self._settle(call, None if failure is None else failure(description))

    def _settle(self, call: PendingCall, error: CallError | None) -> None:
        self.give_up(call)
        call.answered(error)

    # Time

    def due(self) -> float | None:
        """When poll() has something to do next."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[float]:
        for launcher in self._launchers:
            if launcher.idle_since is not None:
                yield launcher.idle_since + self._idle_timeout
            yield from (call.deadline for call in launcher.calls.values())

    def poll(self, now: float) -> None:
        """Let calls expire, and close streams on which nothing has been online for long."""
        for launcher in list(self._launchers):
            for call in [each for each in launcher.calls.values() if each.deadline <= now]:
                self._settle(call, Overdue(f"the function's launcher did not answer within {self._call_timeout:g} s"))
            if launcher.idle_since is not None and launcher.idle_since + self._idle_timeout <= now:
                launcher.idle_since = None  # once
                launcher.outlet.end()

    # The end

    def announce_end(self, seconds: float) -> None:
        """Tell all launchers that their streams will be closed, so that they connect elsewhere or anew."""
        notice = FunctionBrokerReconnect(seconds_until_disconnect=max(0, min(int(seconds), _LONGEST_NOTICE)))
        for launcher in self._launchers:
            launcher.outlet.put(FunctionUpdate(type=REQUEST, function_broker_reconnect=notice))

    def end_streams(self) -> None:
        """End the streams of all launchers that are still there."""
        for launcher in self._launchers:
            launcher.outlet.end(Unavailable("the gateway has ended"))

    def close(self, seconds: float) -> None:
        """The same, and no function stream opens any more."""
        self._closed = True
        self.announce_end(seconds)


def _may_run(caller: str, function: Function) -> bool:
    return function.partner == caller or function.visibility == FunctionVisibility.FUNCTION_VISIBILITY_DASHBOARD


def _acknowledge(
    launcher: Launcher,
    details: FunctionDetails,
    state: FunctionRegistrationState,
    response: FunctionUpdateResponse,
    description: str = "",
) -> None:
    """Tell a launcher how a function's registration stands. Its signature is not sent back."""
    launcher.outlet.put(
        FunctionUpdate(
            type=RESPONSE,
            function_registration=FunctionRegistration(details=details, state=state),
            response=response,
            response_description=description or None,
        )
    )
