"""Where a remote session comes from: a partner starts it on a ticket or a connector, or it is handed over.

Must not know what is done in a session.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from google.protobuf.message import DecodeError

from bridge.buses.openobd_calls import CallFailed, Security, call, reach, usable
from bridge.errors import ConfigurationError, RemoteSessionError
from bridge.limits import REMOTE_FINISH_TIMEOUT
from bridge.openobd.endpoint import Endpoint
from bridge.openobd.messages import Authenticate, ConnectorId, SessionId, SessionInfo, TicketId
from bridge.openobd.services import sessionControllerStub

_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]*)")  # BoringSSL's words, in gRPC's
_log = logging.getLogger(__name__)


class Origin(Protocol):
    """How sessions are come by."""

    @property
    def renewable(self) -> bool:
        """Whether there is another session once one is over."""

    async def obtain(self) -> SessionInfo:
        """A session that is available. Raises RemoteSessionError."""

    async def interrupt(self, session_id: str) -> None:
        """End a session that its own token cannot end. Raises RemoteSessionError."""


@dataclass(frozen=True, slots=True)
class Account:
    """A partner of openOBD, and where sessions are started."""

    endpoint: Endpoint
    client_id: str
    client_secret: str = field(repr=False)
    cluster_id: str


class Partner:
    """Starts sessions on a ticket or a connector."""

    renewable = True

    def __init__(self, account: Account, security: Security, target: TicketId | ConnectorId) -> None:
        self._account = account
        self._security = security
        self._target = target

    async def obtain(self) -> SessionInfo:
        """Start a session. Cancelled meanwhile, it waits for the session, to end it again.

        Raises:
            RemoteSessionError: one line that says what to do.
        """
        async with self._controller() as (controller, token):
            if isinstance(self._target, TicketId):
                method, what = controller.startSessionOnTicket, f"no session on ticket {self._target.value}"
            else:
                method, what = controller.startSessionOnConnector, f"no session on connector {self._target.value}"
            starting = asyncio.ensure_future(call(method, self._target, what, token))
            try:
                info: SessionInfo = await asyncio.shield(starting)
            except asyncio.CancelledError:
                await self._take_back(starting, controller, token)
                raise
            return info

    async def interrupt(self, session_id: str) -> None:
        """See Origin.interrupt."""
        async with self._controller() as (controller, token):
            await _interrupt(controller, session_id, token)

    async def _take_back(
        self, starting: asyncio.Future[SessionInfo], controller: sessionControllerStub, token: str
    ) -> None:
        """End the session that is being started."""
        await asyncio.wait((starting,), timeout=REMOTE_FINISH_TIMEOUT)
        if not starting.done():
            starting.cancel()
            return
        try:
            await _interrupt(controller, starting.result().id, token)
        except RemoteSessionError as error:
            _log.debug("a session that nobody wants any more: %s", error)

    @asynccontextmanager
    async def _controller(self) -> AsyncIterator[tuple[sessionControllerStub, str]]:
        """The session controller, and the token that it takes."""
        account = self._account
        async with self._security.channel(account.endpoint) as channel:
            await reach(channel, account.endpoint)
            controller = sessionControllerStub(channel)
            login = Authenticate(
                client_id=account.client_id, client_secret=account.client_secret, cluster_id=account.cluster_id
            )
            try:
                token = await call(controller.getSessionControllerToken, login, "no login")
            except CallFailed as error:
                raise RemoteSessionError(_explain(error, account.endpoint)) from error
            yield controller, usable(token.value)


class HandedOver:
    """One session that somebody else has started; there is no other after it."""

    renewable = False

    def __init__(self, info: SessionInfo) -> None:
        self._info = info

    async def obtain(self) -> SessionInfo:
        """The session."""
        return self._info

    async def interrupt(self, session_id: str) -> None:
        """Only who has started it may."""
        raise RemoteSessionError("whoever has handed the session over has to interrupt it")


def read_session_info(text: str, where: str) -> SessionInfo:
    """A SessionInfo from base64; `where` names the variable or file, for the error.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        info = SessionInfo.FromString(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, DecodeError):
        info = SessionInfo()
    if not (info.id and info.grpc_endpoint and info.authentication_token):
        raise ConfigurationError(f"{where}: no SessionInfo; it takes the message that hands a session over, in base64")
    return info


async def _interrupt(controller: sessionControllerStub, session_id: str, token: str) -> None:
    what = "the session is not interrupted"
    await call(controller.interruptSession, SessionId(value=session_id), what, token, REMOTE_FINISH_TIMEOUT)


def _explain(error: CallFailed, endpoint: Endpoint) -> str:
    """What a user can do about a login that failed."""
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        return (
            f"openOBD at {endpoint} refuses the login; check OPENOBD_PARTNER_CLIENT_ID, "
            "OPENOBD_PARTNER_CLIENT_SECRET and OPENOBD_CLUSTER_ID"
        )
    if untrusted := _UNTRUSTED.search(str(error)):
        return (
            f"the certificate of openOBD at {endpoint} is not trusted ({untrusted[1]}); if it is the right one, "
            "name its authority's certificate with openobd.ca"
        )
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return f"openOBD cannot be reached at {endpoint} ({error}); check OPENOBD_GRPC_HOST and OPENOBD_GRPC_PORT"
    return f"openOBD at {endpoint}: {error}"
