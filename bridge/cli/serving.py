"""What the verbs that run until they are told to end have in common.

Must not know what they serve.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from bridge.cli.descriptors import log_unhandled


async def serve(
    start: Callable[[], Awaitable[None]], describe: Callable[[], str], stop: Callable[[], Awaitable[None]]
) -> int:
    """Start, print what there is, wait for a signal that ends it, and stop whatever happened. The exit status.

    A device may take for ever to open: the signal counts all the same.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    told = asyncio.Event()
    signals = _ending_signals()
    for number in signals:
        loop.add_signal_handler(number, told.set)
    starting = asyncio.ensure_future(start())
    ending = loop.create_task(told.wait())
    try:
        await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            print(describe(), flush=True)
            await ending
    finally:
        for task in (starting, ending):
            task.cancel()
        await asyncio.wait((starting, ending))
        await stop()
        if told.is_set():
            for number in signals:  # the process has yet to be cleared away: it must not be ended twice
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
    return 0


def _ending_signals() -> tuple[signal.Signals, ...]:
    """Ctrl-C, SIGTERM, and the end of the terminal, unless nohup says that it is no reason to end."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
