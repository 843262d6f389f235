"""One remote openOBD session: claimed, kept by its token stream, resumed after a lost connection, finished.

    obtain ──▶ authenticate ──▶ configure buses ──▶ token stream ──▶ ... ──▶ finish
                                      ▲                  │ ends
                                      └──── resume ◀─────┘

Whoever started a session has to end it: every way out leads through finish(). Must not know what is
sent in the session.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence

import grpc
from grpc import aio

from bridge.buses.openobd_calls import CallFailed, Metadata, Security, bearer, call, reach, usable
from bridge.buses.openobd_origin import Origin
from bridge.errors import RemoteSessionError
from bridge.limits import REMOTE_CONFIRM_PERIOD, REMOTE_CONFIRM_TIMEOUT, REMOTE_FINISH_TIMEOUT, SESSION_TOKEN_LIFE
from bridge.openobd.endpoint import TLS_PORT, Endpoint
from bridge.openobd.messages import (
    BusConfiguration,
    EmptyMessage,
    IsotpChannel,
    Result,
    ServiceResult,
    SessionInfo,
    SessionToken,
)
from bridge.openobd.services import configStub, sessionStub

_log = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_LOST_FOR_GOOD = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
)


class SessionOver(RemoteSessionError):
    """The session cannot be resumed, and there is no other after it."""


class RemoteSession:
    """Sessions of one origin, one at a time."""

    def __init__(
        self,
        origin: Origin,
        security: Security,
        configuration: Sequence[BusConfiguration],
        lost: Callable[[str], None],
    ) -> None:
        """`configuration` are the session's buses; `lost` hears the reason when the token stream ends by itself."""
        self.round_trip = 0.0  #: seconds from a call to its answer, as it was measured last
        self._origin = origin
        self._security = security
        self._configuration = configuration
        self._lost = lost
        self._info: SessionInfo | None = None  # of the session that has to be finished
        self._token = ""  # the newest that the server has given
        self._token_came = 0.0  # monotonic seconds
        self._channel: aio.Channel | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The session's id; "" while there is none."""
        return self._info.id if self._info is not None else ""

    @property
    def channel(self) -> aio.Channel:
        """The connection to the session's endpoint.

        Raises:
            RemoteSessionError: there is none now.
        """
        if self._channel is None:
            raise RemoteSessionError("there is no connection to the remote session")
        return self._channel

    @property
    def metadata(self) -> Metadata:
        """What a call in the session shows: the newest token."""
        return bearer(self._token)

    async def start(self) -> None:
        """Obtain a session, claim it and configure its buses.

        Raises:
            RemoteSessionError: one line; what was started has been finished.
        """
        self._info = await self._origin.obtain()
        try:
            self._token = usable(self._info.authentication_token)
            await self._connect(self._info)
            session = sessionStub(self.channel)
            token = await call(session.authenticate, EmptyMessage(), "the session cannot be claimed", self._token)
            self._keep(token)
            await self._set_up()
        except BaseException as error:
            await self.finish(_failure(str(error) or type(error).__name__))
            raise

    async def restore(self) -> None:
        """Come back after the connection was lost: to the same session where it still holds, else to another.

        Raises:
            SessionOver: neither can be.
            RemoteSessionError: not now; try again.
        """
        await self.leave()
        if self._info is not None:
            reason = await self._resume(self._info)
            if reason is None:
                return
            _log.info("session %.8s cannot be resumed: %s", self._info.id, reason)
            info, self._info = self._info, None
            if self._origin.renewable:
                await self._interrupt(info)
        if not self._origin.renewable:
            raise SessionOver("the session is over, and one that was handed over cannot be started again")
        await self.start()

    async def wait_until_open(self, channels: Sequence[IsotpChannel]) -> None:
        """Wait until the other side says that it has ISO-TP channels open, for REMOTE_CONFIRM_TIMEOUT at most.

        Streams are not acknowledged when they are opened, but the session's configuration tells of
        their channels.

        Raises:
            RemoteSessionError: the other side does not say.
        """
        wanted = {_identity(channel) for channel in channels}
        config = configStub(self.channel)
        deadline = time.monotonic() + REMOTE_CONFIRM_TIMEOUT
        while (left := deadline - time.monotonic()) > 0:
            configuration = await call(config.getConfiguration, EmptyMessage(), "no configuration", self._token, left)
            if wanted <= {_identity(channel.isotp_channel) for channel in configuration.channels}:
                return
            await asyncio.sleep(REMOTE_CONFIRM_PERIOD)

    async def finish(self, result: ServiceResult) -> None:
        """End the session and the connection, whatever became of either. Without a session nothing happens."""
        await self._stop_renewing()  # or the end that is meant would be taken for a loss
        info, self._info = self._info, None
        try:
            if info is not None:
                await self._finish(info, result)
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Let go of the connection; the session stays as it is."""
        await self._stop_renewing()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _stop_renewing(self) -> None:
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.wait((renewing,))

    async def _resume(self, info: SessionInfo) -> str | None:
        """Go on with the session; the reason where it cannot be, ever. Raises RemoteSessionError: try again."""
        try:
            await self._connect(info)
            await self._set_up()
        except RemoteSessionError as error:
            await self.leave()
            if isinstance(error, CallFailed) and error.code in _LOST_FOR_GOOD:
                return str(error)
            if time.monotonic() - self._token_came > SESSION_TOKEN_LIFE:
                return f"its token has run out meanwhile ({error})"
            raise
        return None

    async def _connect(self, info: SessionInfo) -> None:
        endpoint = _endpoint(info)
        self._channel = self._security.channel(endpoint)
        await reach(self._channel, endpoint)

    async def _set_up(self) -> None:
        """Configure the buses, which shows that the token holds, and have it renewed from now on."""
        config = configStub(self.channel)
        began = time.monotonic()
        await call(config.configureBus, iter(self._configuration), "the session's bus is not configured", self._token)
        self.round_trip = time.monotonic() - began
        tokens = sessionStub(self.channel).openSessionTokenStream(EmptyMessage(), metadata=self.metadata)
        self._renewing = asyncio.get_running_loop().create_task(self._renew(tokens))

    async def _renew(self, tokens: aio.UnaryStreamCall[EmptyMessage, SessionToken]) -> None:
        """Use each token that the server gives. Streams that are open already need no other."""
        try:
            async for token in tokens:
                self._keep(token)
            reason = "the other side has ended it"
        except aio.AioRpcError as error:
            reason = str(CallFailed("the connection is lost", error.code(), error.details()))
        except RemoteSessionError as error:
            reason = str(error)
        self._lost(reason)

    def _keep(self, token: SessionToken) -> None:
        self._token = usable(token.value)
        self._token_came = time.monotonic()

    async def _finish(self, info: SessionInfo, result: ServiceResult) -> None:
        try:
            async with asyncio.timeout(REMOTE_FINISH_TIMEOUT):
                if self._channel is None:
                    await self._connect(info)
                session = sessionStub(self.channel)
                await call(session.finish, result, "it was not finished", self._token, REMOTE_FINISH_TIMEOUT)
        except (RemoteSessionError, TimeoutError) as error:
            _log.debug("session %.8s: %s", info.id, error)
            await self._interrupt(info)

    async def _interrupt(self, info: SessionInfo) -> None:
        """The last resort. What is over already needs none."""
        try:
            async with asyncio.timeout(REMOTE_FINISH_TIMEOUT):
                await self._origin.interrupt(info.id)
        except (RemoteSessionError, TimeoutError) as error:
            _log.debug("session %.8s was not interrupted either: %s", info.id, error)


def _identity(channel: IsotpChannel) -> tuple[str, int, int]:
    return channel.bus_name, channel.request_id, channel.response_id


def _endpoint(info: SessionInfo) -> Endpoint:
    """Where a session is, as openOBD's own clients read it."""
    if not (_HOST.fullmatch(info.grpc_endpoint) and info.grpc_port <= 0xFFFF):
        raise RemoteSessionError("the session's endpoint is no host name and port")
    return Endpoint(info.grpc_endpoint, info.grpc_port or TLS_PORT)


def _failure(reason: str) -> ServiceResult:
    """The result of a session that never came to work."""
    return ServiceResult(result=[Result.RESULT_FAILURE_COMMUNICATION_ERROR], description=reason)
