"""Calls to openOBD's services: channels to an endpoint, bearer tokens, and one line about what went wrong.

Nothing is ever sent twice: gRPC's own retries are off. Must not know sessions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from grpc import aio

from bridge import __version__
from bridge.errors import RemoteSessionError
from bridge.limits import GRPC_MESSAGE_LIMIT, REMOTE_CALL_TIMEOUT, REMOTE_CONNECT_TIMEOUT
from bridge.openobd.endpoint import TLS_PORT, Endpoint
from bridge.visible import one_line

Metadata = tuple[tuple[str, str], ...]

_Answer = TypeVar("_Answer")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.primary_user_agent", f"openxc-bridge/{__version__}"),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", GRPC_MESSAGE_LIMIT),
    # Each channel connects anew: one after the other they must not inherit gRPC's own back-off.
    ("grpc.use_local_subchannel_pool", 1),
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_STATUS = re.compile(r"[A-Z_]+: ")


class CallFailed(RemoteSessionError):
    """A call had another status than OK."""

    def __init__(self, what: str, code: grpc.StatusCode, details: str | None) -> None:
        super().__init__(f"{what}: {_own_words(details) or code.name}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Security:
    """When a connection is encrypted, and who the other side has to be."""

    tls: bool | None = None  #: None: on openOBD's own port, or with an authority
    authority: bytes | None = field(default=None, repr=False)  #: PEM; None: those that gRPC comes with
    insecure: bool = False  #: in the clear to other machines, too

    def channel(self, endpoint: Endpoint) -> aio.Channel:
        """A channel, which connects when it is first used.

        Raises:
            RemoteSessionError: it would show tokens to everybody on the way.
        """
        options = [*_OPTIONS, ("grpc.enable_http_proxy", 0 if endpoint.loopback else 1)]
        target = f"dns:///{endpoint}"
        if self._encrypted(endpoint):
            return aio.secure_channel(target, grpc.ssl_channel_credentials(self.authority), options=options)
        self.check(endpoint)
        return aio.insecure_channel(target, options=options)

    def check(self, endpoint: Endpoint) -> None:
        """Whether an endpoint may be talked to.

        Raises:
            RemoteSessionError: as channel() does.
        """
        if not (self._encrypted(endpoint) or self.insecure or endpoint.loopback):
            raise RemoteSessionError(
                f"{endpoint} would be talked to in the clear, secrets included; use port {TLS_PORT}, "
                "or set openobd.tls = true, or openobd.insecure = true"
            )

    def _encrypted(self, endpoint: Endpoint) -> bool:
        if self.tls is not None:
            return self.tls
        return endpoint.port == TLS_PORT or self.authority is not None


def bearer(token: str) -> Metadata:
    """The metadata of a call with a token; none without."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def usable(token: str) -> str:
    """A token that a server gave, if it can be one: it has to fit a header.

    Raises:
        RemoteSessionError
    """
    if not _TOKEN.fullmatch(token):
        raise RemoteSessionError("the server has given a token that cannot be one")
    return token


async def reach(channel: aio.Channel, endpoint: Endpoint) -> None:
    """Wait until a channel is connected, or knows why not: the next call on it tells.

    Raises:
        RemoteSessionError: nothing is heard from the endpoint at all.
    """
    state = channel.get_state(try_to_connect=True)
    try:
        async with asyncio.timeout(REMOTE_CONNECT_TIMEOUT):
            while state not in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        raise RemoteSessionError(f"{endpoint} does not answer within {REMOTE_CONNECT_TIMEOUT:g} s") from None


async def call(
    method: Callable[..., Awaitable[_Answer]],
    request: object,
    what: str,
    token: str = "",
    seconds: float = REMOTE_CALL_TIMEOUT,
) -> _Answer:
    """One call with one answer. `what` says what could not be done, for the error's line.

    Raises:
        CallFailed
    """
    try:
        return await method(request, metadata=bearer(token), timeout=seconds)
    except aio.AioRpcError as error:
        raise CallFailed(what, error.code(), error.details()) from None


def _own_words(details: str | None) -> str:
    """A server's own words; of gRPC's list of all that it has tried only the last."""
    return one_line(_STATUS.sub("", (details or "").rpartition("last error: ")[2], count=1))
