"""What a remote session says of its connector, each second: whether the vehicle is there, and how far away.

It is the sign of life, too: a connection that says nothing any more is lost, whatever TCP thinks.
Must not know buses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from grpc import aio

from bridge.buses.openobd_calls import CallFailed
from bridge.openobd.messages import ConnectorInformation, EmptyMessage

_log = logging.getLogger(__name__)


class ConnectorMonitor:
    """Listens from its making to stop()."""

    def __init__(
        self,
        stream: aio.UnaryStreamCall[EmptyMessage, ConnectorInformation],
        tasks: set[asyncio.Task[None]],
        told: Callable[[ConnectorInformation], None],
        silent: Callable[[], None],
        timeout: float,
    ) -> None:
        """`told` gets each piece of information; `silent` is called when none has come for `timeout` seconds.

        A server that does not know connector information is not taken for silent. `tasks` has the
        monitor's task while it runs.
        """
        self._stream = stream
        self._told = told
        self._silent = silent
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._listen())
        tasks.add(self._task)
        self._task.add_done_callback(tasks.discard)

    def stop(self) -> None:
        """Listen no more."""
        self._stop_waiting()
        self._stream.cancel()
        self._task.cancel()

    async def _listen(self) -> None:
        try:
            async for information in self._stream:
                self._stop_waiting()
                self._timer = asyncio.get_running_loop().call_later(self._timeout, self._silent)
                self._told(information)
        except aio.AioRpcError as error:
            _log.debug("%s", CallFailed("no connector information", error.code(), error.details()))
        finally:
            self._stop_waiting()  # when the connection is lost, others notice

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
