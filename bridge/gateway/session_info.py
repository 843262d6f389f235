"""SessionInfo: how a session is told to its callers.

Must not know how they are served.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.gateway.sessions import Record, Session
from bridge.gateway.states import State
from bridge.openobd.endpoint import Endpoint
from bridge.openobd.messages import SessionInfo


def session_info(session: Session | Record, endpoint: Endpoint, token: str = "") -> SessionInfo:
    """A session, where to reach it, and what claims it ("" where nothing does)."""
    return SessionInfo(
        id=session.id,
        state=state_text(session.state),
        created_at=timestamp(session.created_at),
        grpc_endpoint=endpoint.host,
        grpc_port=endpoint.port,
        authentication_token=token,
    )


def state_text(state: State) -> str:
    """A state in the protocol's words, which has none for a context that waits: nobody may claim it."""
    shown: str = (State.ACTIVE if state is State.WAITING else state).value
    return shown


def timestamp(seconds: float) -> str:
    """Unix seconds as openOBD writes times: 2019-08-24T14:15:22.651+0000."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"
