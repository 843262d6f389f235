"""Errors of services as gRPC statuses, for every call in one place.

Must not know services. What a service raises on purpose is a CallError; anything else is a fault of
the bridge, which is logged, and the caller learns no more than that.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from bridge.errors import BusError
from bridge.gateway.core import Call
from bridge.gateway.errors import CallError, Status
from bridge.limits import CALL_DETAILS_LIMIT
from bridge.policy import WriteRefusedError
from bridge.visible import one_line

_log = logging.getLogger(__name__)

Behaviour = Callable[[Any, Call], Awaitable[Any]]
_BEHAVIOURS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Answering(aio.ServerInterceptor):
    """Wraps the behaviour of every method."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind = next(name for name in _BEHAVIOURS if getattr(handler, name) is not None)
        return handler._replace(**{kind: _answering(getattr(handler, kind), handler_call_details.method)})


def _answering(behaviour: Behaviour, method: str) -> Behaviour:
    async def answer(request: Any, call: Call) -> Any:
        try:
            return await behaviour(request, call)
        except CallError as error:
            await _abort(call, method, error.status, str(error))
        except WriteRefusedError as error:
            await _abort(call, method, Status.PERMISSION_DENIED, str(error))
        except BusError as error:
            await _abort(call, method, Status.UNAVAILABLE, str(error))
        except (aio.AbortError, NotImplementedError):
            raise
        except Exception as error:
            if _is_gone(error):
                _note_gone(method, error)
                return None
            _log.exception("%s failed", method)
            await _abort(call, method, Status.INTERNAL, "the gateway failed; its log says more")

    return answer


async def _abort(call: Call, method: str, status: Status, details: str) -> None:
    try:
        await call.abort(grpc.StatusCode[status.name], one_line(" ".join(details.split()), CALL_DETAILS_LIMIT))
    except aio.BaseError as error:
        if not _is_gone(error):
            raise
        _note_gone(method, error)


def _is_gone(error: Exception) -> bool:
    """Nobody is there to be answered: the caller has gone amid a message, or the server has stopped.

    gRPC has no public name for the latter; what is left of its errors is of calls that were aborted or
    are used wrongly.
    """
    return isinstance(error, aio.BaseError) and not isinstance(error, aio.AbortError | aio.UsageError)


def _note_gone(method: str, error: Exception) -> None:
    _log.debug("%s: the call is over: %s", method, error)
