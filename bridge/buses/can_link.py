"""The network interface under a CAN socket: whether it is there and up, and news of it.

What it asks the kernel needs no permission and does not block. This module must not know frames
or the event loop, and it changes nothing; can_bitrate.py does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from bridge.buses.can_socket import CAN_RAW, PF_CAN
from bridge.errors import BusError

_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFHWADDR, _SIOCGIFINDEX = 0x8913, 0x8921, 0x8927, 0x8933  # linux/sockios.h
_REQUEST = struct.Struct("16s24x")  # struct ifreq: the name, then the answer
_SHORT_ANSWER = struct.Struct("@16xH")
_ANSWER = struct.Struct("@16xi")
_NAME_SIZE = 16
_IFF_UP = 1
_ARPHRD_CAN = 280
_RTMGRP_LINK = 1
_NEWS_SIZE = 65536

ADVICE_UP = "ip link set {} up"
ADVICE_UP_AT = "ip link set {} up type can bitrate {}"


@dataclass(frozen=True, slots=True)
class CanLink:
    """A CAN interface as it is now."""

    index: int
    up: bool
    mtu: int


def find_link(name: str) -> CanLink:
    """Look at a CAN interface.

    Raises:
        BusError: one line; the kernel has no CAN, there is no such interface, or it is not CAN.
    """
    with _can_socket() as asking:
        try:
            index = _ask(asking, _SIOCGIFINDEX, _ANSWER, name)
            if not _is_can(asking, name):
                raise BusError(f"socketcan: {name} is no CAN interface; {_those_there_are(asking)}")
            up = bool(_ask(asking, _SIOCGIFFLAGS, _SHORT_ANSWER, name) & _IFF_UP)
            return CanLink(index, up, _ask(asking, _SIOCGIFMTU, _ANSWER, name))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENXIO):
                raise BusError(_no_such_interface(name, _those_there_are(asking))) from error
            raise BusError(f"socketcan: {name}: {error.strerror}") from error


def explain_down(name: str) -> str:
    """What to do about an interface that is not up, in one line."""
    virtual = Path("/sys/devices/virtual/net", name).exists()
    if virtual:
        return f"socketcan: {name} is down; bring it up with: sudo {ADVICE_UP.format(name)}"
    advice = ADVICE_UP_AT.format(name, 500000)
    return f"socketcan: {name} is down; bring it up at the vehicle's bitrate, such as: sudo {advice}"


def watch_links() -> socket.socket:
    """A socket that becomes readable whenever a network interface comes, goes or changes (rtnetlink).

    Raises:
        OSError: the system does not let this program have one.
    """
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        watch.setblocking(False)
        watch.bind((0, _RTMGRP_LINK))
    except BaseException:
        watch.close()
        raise
    return watch


def take_news(watch: socket.socket) -> None:
    """Empty a socket of watch_links(); what it says is best asked again, for it may have lost some."""
    try:
        while watch.recv(_NEWS_SIZE):
            pass
    except OSError:
        return  # nothing more, or more than it could hold


def _can_socket() -> socket.socket:
    try:
        return socket.socket(PF_CAN, socket.SOCK_RAW, CAN_RAW)
    except OSError as error:
        if sys.platform != "linux":
            raise BusError("socketcan: only Linux has it") from error
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            raise BusError("socketcan: this kernel has no CAN; load it with: sudo modprobe can_raw") from error
        raise BusError(f"socketcan: this program may not open CAN sockets: {error.strerror}") from error


def _ask(asking: socket.socket, request: int, answer: struct.Struct, name: str) -> int:
    interface = os.fsencode(name)
    if len(interface) >= _NAME_SIZE:
        raise OSError(errno.ENODEV, "no interface has so long a name")
    value: int
    (value,) = answer.unpack_from(fcntl.ioctl(asking, request, _REQUEST.pack(interface)))
    return value


def _is_can(asking: socket.socket, name: str) -> bool:
    return _ask(asking, _SIOCGIFHWADDR, _SHORT_ANSWER, name) == _ARPHRD_CAN


def _no_such_interface(name: str, others: str) -> str:
    if not name.startswith("vcan"):
        return f"socketcan: there is no interface {name}; {others}"
    create = f"sudo ip link add dev {name} type vcan && sudo ip link set {name} up"
    return f"socketcan: there is no interface {name}; make it with: {create}"


def _those_there_are(asking: socket.socket) -> str:
    names = []
    for _, name in socket.if_nameindex():
        try:
            if _is_can(asking, name):
                names.append(name)
        except OSError:
            continue  # gone since
    if names:
        return f"the CAN interfaces here are {', '.join(names)}"
    return "there is no CAN interface at all; is the adapter plugged in?"
