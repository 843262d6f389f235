"""How calls are refused, for the tests of services."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc import aio


async def refusal(call: Any) -> aio.AioRpcError:
    """The error that a call or a reading of a stream ends with."""
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return error.value


async def refused(call: Any) -> grpc.StatusCode:
    """The status that it ends with."""
    return (await refusal(call)).code()
