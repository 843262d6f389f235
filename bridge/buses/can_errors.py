"""What python-can's errors mean to a user: one line that says what to do.

Must not know threads or the event loop; it only reads exceptions.
"""

from __future__ import annotations

import difflib
import errno
import re

import can

BRIDGE_BUSES = ("simulated", "virtual", "replay")  #: buses of the bridge itself, for near matches

_NO_MODULE = re.compile(r"No module named '([^'.]+)")

# The package that brings a module, where the names differ.
_PACKAGES = {
    "serial": "pyserial",
    "usb": "python-can[gs-usb]",
    "gs_usb": "python-can[gs-usb]",
    "ics": "python-can[neovi]",
    "uptime": "python-can[pcan]",
    "msgpack": "python-can[multicast]",
}

_GONE = frozenset([errno.ENETDOWN, errno.ENODEV, errno.ENXIO, errno.EIO, errno.EBADF, errno.EPIPE])
_FULL = frozenset([errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM])


def explain(interface: str, channel: str | None, error: BaseException) -> str:
    """Why a bus could not be opened, or what went wrong on it, in one line."""
    name = interface if channel is None else f"{interface}:{channel}"
    text = " ".join(str(error).split()) or type(error).__name__
    if interface not in can.VALID_INTERFACES:
        return _unknown_interface(interface)
    if missing := _missing_package(text):
        return f"{name}: a Python package is missing; install it with: pip install '{missing}'"
    if isinstance(error, TypeError) and channel is None and "'channel'" in text:
        return f"{interface} needs a channel: write {interface}:CHANNEL"
    code = error_number(error)
    if code == errno.ENOENT:
        return f"{name}: there is no such device; is the adapter plugged in?"
    if code in (errno.EACCES, errno.EPERM):
        return f"{name}: permission denied; is this user in the group that owns the device (dialout)?"
    if code == errno.EBUSY:
        return f"{name}: the device is in use by another program"
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        text = f"{text} ({cause})"
    return f"{name}: {text}"


def error_number(error: BaseException) -> int | None:
    """The operating system's error number behind an exception of python-can's, if there is one."""
    for candidate in (error, error.__cause__):
        number = getattr(candidate, "error_code", None) or getattr(candidate, "errno", None)
        if isinstance(number, int):
            return number
    return None


def adapter_is_gone(error: BaseException) -> bool:
    """Whether a failed read means that the adapter is lost, and not that a frame was garbage."""
    if error_number(error) in _GONE:
        return True
    # Serial ports report their loss without a number.
    return isinstance(error, OSError) or isinstance(error.__cause__, OSError)


def is_full(error: BaseException) -> bool:
    """Whether a failed send only means that the adapter's queue is full just now."""
    return isinstance(error, can.CanTimeoutError) or error_number(error) in _FULL or "buffer full" in str(error)


def _unknown_interface(interface: str) -> str:
    near = difflib.get_close_matches(interface, [*can.VALID_INTERFACES, *BRIDGE_BUSES], n=3)
    if near:
        return f"there is no interface {interface!r}; did you mean {' or '.join(near)}?"
    return f"there is no interface {interface!r}; python-can knows {', '.join(sorted(can.VALID_INTERFACES))}"


def _missing_package(text: str) -> str | None:
    if match := _NO_MODULE.search(text):
        return _PACKAGES.get(match[1], match[1])
    if match := re.fullmatch(r"(?:The )?(\w+)(?: module is)? not installed", text):
        return _PACKAGES.get(match[1], match[1])
    return None
