"""python-can's messages as frame records, and back. Must not know buses, threads or files."""

from __future__ import annotations

from collections.abc import Iterator

import can

from bridge.frames import (
    BITRATE_SWITCH,
    ERROR,
    ERROR_STATE_INDICATOR,
    EXTENDED,
    EXTENDED_ID_MAX,
    FD,
    FD_LENGTHS,
    RECORD,
    REMOTE,
    STANDARD_ID_MAX,
    FrameBatch,
)


def record_of(message: can.Message, bus: int, timestamp: float, flags: int = 0) -> bytes:
    """One record of a received message.

    Args:
        message: any python-can message; of a remote frame the DLC is kept as the length.
        bus: OpenXC's bus number.
        timestamp: seconds, as the record shall say it.
        flags: more FrameFlags than the message tells by itself.

    Raises:
        ValueError: an id or a length that no CAN frame has.
    """
    if message.is_extended_id:
        flags |= EXTENDED
    if message.is_fd:
        flags |= FD
        if message.bitrate_switch:
            flags |= BITRATE_SWITCH
        if message.error_state_indicator:
            flags |= ERROR_STATE_INDICATOR
    if message.is_error_frame:
        flags |= ERROR
    elif not 0 <= message.arbitration_id <= (EXTENDED_ID_MAX if message.is_extended_id else STANDARD_ID_MAX):
        raise ValueError(f"{message.arbitration_id:#x} is no arbitration id of its format")
    if message.is_remote_frame and not message.is_error_frame:
        flags |= REMOTE
        length, data = message.dlc, bytearray()
    else:
        length, data = len(message.data), message.data
    if not 0 <= length <= FD_LENGTHS[-1]:
        raise ValueError(f"no frame has {length} data bytes")
    return RECORD.pack(timestamp, message.arbitration_id & EXTENDED_ID_MAX, bus, flags, length, data)


def messages_of(batch: FrameBatch, channel: str | None = None) -> Iterator[can.Message]:
    """Each frame of a batch as a message to send. `channel` is written into the messages."""
    for _, identifier, _, flags, length, data in batch.records():
        remote = bool(flags & REMOTE)
        yield can.Message(
            arbitration_id=identifier,
            is_extended_id=bool(flags & EXTENDED),
            is_remote_frame=remote,
            is_error_frame=bool(flags & ERROR),
            dlc=length,
            data=None if remote else data[:length],
            is_fd=bool(flags & FD),
            bitrate_switch=bool(flags & BITRATE_SWITCH),
            error_state_indicator=bool(flags & ERROR_STATE_INDICATOR),
            channel=channel,
        )
