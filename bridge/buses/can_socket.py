"""A CAN socket of Linux: its options, and frames read from it and written to it, in Python.

receive_frames() and send_frames() are what bridge/codec/_socketcan.c does in one system call for
many frames; SocketCanBus uses them where there is no C. The numbers are the kernel's (linux/can.h,
linux/can/raw.h, asm-generic/socket.h), for Python names only some, and none on other systems.
This module must not know the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from bridge.frames import RECORD, RECORD_SIZE, FrameFlags
from bridge.limits import RECEIVE_BUFFER

PF_CAN = 29
CAN_RAW = 1
MTU_FD = 72  #: of an interface that takes CAN FD frames; a frame's own size, too

_SOL_CAN_RAW = 101
_CAN_RAW_FILTER = 1
_CAN_RAW_ERR_FILTER = 2
_CAN_RAW_RECV_OWN_MSGS = 4
_CAN_RAW_FD_FRAMES = 5
_CAN_RAW_FILTER_MAX = 512
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40

_EFF_FLAG = 0x80000000
_RTR_FLAG = 0x40000000
_ERR_FLAG = 0x20000000
_SFF_MASK = 0x7FF
_EFF_MASK = 0x1FFFFFFF
_BRS = 1
_ESI = 2

_CLASSIC = struct.Struct("=IB3x8s")
_FD = struct.Struct("=IBB2x64s")
_FILTER = struct.Struct("=II")
_TIMESTAMP = struct.Struct("@ll")
_COUNTER = struct.Struct("=I")
_CONTROL_SIZE = 64 if hasattr(socket, "CMSG_SPACE") else 0
_FULL = frozenset([errno.EAGAIN, errno.ENOBUFS])

# Plain numbers: an enum's arithmetic costs more than all the rest of a frame.
_EXTENDED: Final = int(FrameFlags.EXTENDED)
_IS_FD: Final = int(FrameFlags.FD)
_BITRATE_SWITCH: Final = int(FrameFlags.BITRATE_SWITCH)
_ERROR_STATE: Final = int(FrameFlags.ERROR_STATE_INDICATOR)
_REMOTE: Final = int(FrameFlags.REMOTE)
_ERROR: Final = int(FrameFlags.ERROR)
_OWN: Final = int(FrameFlags.OWN)

Ids = frozenset[tuple[int, bool]]  #: (arbitration id, extended)


def open_can_socket(name: str, *, own: bool, ids: Ids | None) -> socket.socket:
    """A socket bound to an interface: non-blocking, with CAN FD, error frames, timestamps and the drop counter.

    What is sent is heard by other programs of this computer; that is the kernel's default.

    Args:
        name: of the interface.
        own: hear what this socket sends, too.
        ids: see set_filters().

    Raises:
        OSError: as the system says it.
    """
    can = socket.socket(PF_CAN, socket.SOCK_RAW, CAN_RAW)
    try:
        can.setblocking(False)
        can.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FD_FRAMES, 1)
        can.setsockopt(_SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _EFF_MASK)
        can.setsockopt(_SOL_CAN_RAW, _CAN_RAW_RECV_OWN_MSGS, int(own))
        can.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        can.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        widen_receive_buffer(can)
        set_filters(can, ids)
        can.bind((name,))
    except BaseException:
        can.close()
        raise
    return can


def widen_receive_buffer(endpoint: socket.socket) -> None:
    """A burst overruns the usual 200 KiB after some 250 frames."""
    try:
        endpoint.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)  # beyond rmem_max, for root
    except OSError:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def set_filters(can: socket.socket, ids: Ids | None) -> None:
    """Have the kernel leave out data and remote frames of other ids; error frames come all the same.

    None lets everything in, and so do more ids than the kernel takes. Of the ids that are named no
    remote frames come: the kernel looks data frames up by their id, and would have to try the
    filters one after the other to let both in.
    """
    if ids is not None and len(ids) > _CAN_RAW_FILTER_MAX:
        ids = None
    filters = _FILTER.pack(0, 0) if ids is None else b"".join(_filters(ids))
    can.setsockopt(_SOL_CAN_RAW, _CAN_RAW_FILTER, filters)


def _filters(ids: Iterable[tuple[int, bool]]) -> Iterator[bytes]:
    flags = _EFF_FLAG | _RTR_FLAG
    for identifier, extended in ids:
        if extended:
            yield _FILTER.pack(identifier | _EFF_FLAG, _EFF_MASK | flags)
        else:
            yield _FILTER.pack(identifier, _SFF_MASK | flags)


def receive_frames(fd: int, bus: int, limit: int) -> tuple[bytes, bytes, int | None]:
    """Take what a socket of open_can_socket() has, at most `limit` frames, without waiting.

    Returns:
        The records of data and remote frames; the records of error frames, flagged ERROR, whose id
        is the error class; and the latest value of the socket's 32-bit counter of frames that it
        dropped, None where no frame carried one. With nothing to read all are empty.

    Raises:
        OSError: the first read failed. An error behind frames is lost: the kernel tells it once.
    """
    frames: list[bytes] = []
    errors: list[bytes] = []
    dropped: int | None = None
    with _borrowed(fd) as can:
        for position in range(limit):
            try:
                data, controls, flags, _ = can.recvmsg(MTU_FD, _CONTROL_SIZE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                if position:
                    break
                raise
            timestamp = 0.0
            for level, kind, value in controls:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESTAMP.unpack_from(value)
                    timestamp = seconds + nanoseconds * 1e-9
                elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                    (dropped,) = _COUNTER.unpack_from(value)
            if not flags & socket.MSG_TRUNC and (record := _record_of(data, bus, flags, timestamp)):
                (errors if record[13] & _ERROR else frames).append(record)
    return b"".join(frames), b"".join(errors), dropped


def send_frames(fd: int, records: bytes) -> int:
    """Give the kernel frames without waiting; how many it took.

    Raises:
        OSError: it did not take the first one, and not because a queue was full.
        ValueError: these are no records, or one has a length that its format does not have.
    """
    messages = [_message_of(*fields) for fields in _records(records)]
    with _borrowed(fd) as can:
        for position, message in enumerate(messages):
            try:
                can.send(message, socket.MSG_DONTWAIT)
            except OSError as error:
                if position == 0 and error.errno not in _FULL:
                    raise
                return position
    return len(messages)


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """The socket of a descriptor, which stays its owner's."""
    can = socket.socket(PF_CAN, socket.SOCK_RAW, CAN_RAW, fileno=fd)
    try:
        yield can
    finally:
        can.detach()


def _record_of(message: bytes, bus: int, message_flags: int, timestamp: float) -> bytes | None:
    """The record of one message; None for what is neither a classic nor an FD frame."""
    flags = _OWN if message_flags & socket.MSG_CONFIRM else 0
    if len(message) == _CLASSIC.size:
        identifier, length, data = _CLASSIC.unpack(message)
        if identifier & _RTR_FLAG and not identifier & _ERR_FLAG:
            flags |= _REMOTE
    elif len(message) == _FD.size:
        identifier, length, fd_flags, data = _FD.unpack(message)
        flags |= _IS_FD
        if fd_flags & _BRS:
            flags |= _BITRATE_SWITCH
        if fd_flags & _ESI:
            flags |= _ERROR_STATE
    else:
        return None
    if length > len(data):
        return None
    if identifier & _ERR_FLAG:
        flags = flags & _OWN | _ERROR
    elif identifier & _EFF_FLAG:
        flags |= _EXTENDED
    identifier &= _EFF_MASK if flags & (_ERROR | _EXTENDED) else _SFF_MASK
    return RECORD.pack(timestamp, identifier, bus, flags, length, b"" if flags & _REMOTE else data[:length])


def _records(records: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    if len(records) % RECORD_SIZE:
        raise ValueError("these are no records of frames that a CAN bus can carry")
    for _, identifier, _, flags, length, data in RECORD.iter_unpack(records):
        yield identifier, flags, length, data


def _message_of(identifier: int, flags: int, length: int, data: bytes) -> bytes:
    """A record's fields as the kernel wants them."""
    if length > (_FD if flags & _IS_FD else _CLASSIC).size - 8:
        raise ValueError("these are no records of frames that a CAN bus can carry")
    if flags & _EXTENDED:
        identifier |= _EFF_FLAG
    if flags & _ERROR:
        identifier |= _ERR_FLAG
    if flags & _IS_FD:
        fd_flags = _BRS if flags & _BITRATE_SWITCH else 0
        fd_flags |= _ESI if flags & _ERROR_STATE else 0
        return _FD.pack(identifier, length, fd_flags, data[:length])
    if flags & _REMOTE:
        return _CLASSIC.pack(identifier | _RTR_FLAG, length, b"")
    return _CLASSIC.pack(identifier, length, data[:length])
