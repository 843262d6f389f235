"""Room for as many connections as the settings allow, and few words where there is none.

Must not know what the descriptors are for.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import resource
from typing import Any

from bridge.limits import DESCRIPTORS_MARGIN, GRPC_DESCRIPTORS_SHARE
from bridge.seldom import SeldomLog

_log = logging.getLogger(__name__)
_log_refusals = SeldomLog(_log)
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def allow_descriptors(clients: int, *, gateway: bool) -> None:
    """Raise the limit of open files as far as so many clients need it, or warn that it does not go so far."""
    needed = clients + DESCRIPTORS_MARGIN
    if gateway:
        needed += math.ceil(needed * GRPC_DESCRIPTORS_SHARE / (1 - GRPC_DESCRIPTORS_SHARE))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    reached = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    except (OSError, ValueError):  # more than the system has at all
        reached = soft
    if reached < needed:
        _log.warning(
            "limits.clients is %d, but only %d files may be open: lower it, or raise that limit (ulimit -n) to %d",
            clients,
            reached,
            needed,
        )


def log_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: a lack of descriptors is a line now and then.

    asyncio tells it for each connection that it tried to accept, with a traceback, a hundred a second.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        _log_refusals.warning("%s: no more apps can connect for now; raise the limit (ulimit -n)", error.strerror)
    else:
        loop.default_exception_handler(context)
