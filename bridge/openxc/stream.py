"""Records out of a stream of bytes, in either payload format and whatever else may come in between.

Bytes in, messages out: what is parsed does not depend on how the stream is cut into pieces, no
input raises, no input takes more than linear time or more memory than the longest record. Must
not know who sends, and does not answer. Must not import the codec either, which builds on this
package: whoever makes a decoder hands the fast reader of raw frames in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.limits import RECORD_LIMIT
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    CanMessage,
    CommandName,
    CommandResponse,
    FrameFormat,
    Incoming,
    InvalidRecord,
    Outgoing,
    PayloadFormat,
    PayloadFormatCommand,
)

AnyMessage = TypeVar("AnyMessage")

_WHITESPACE = b"\r\n\t "
_FIRST_FIELD = 0x08  #: VehicleMessage.type, which every encoder writes first
_SHORTEST_MESSAGE = 2  #: bytes: a type and nothing else
_VARINT_BYTES_LIMIT = 5
#: Longest protobuf record that is believed in right after bytes that were none; what is read well
#: since is added. So trying every byte as the start of a record takes linear time, and a stray byte
#: above 0x7F, which together with the length behind it reads as 128 times that, holds nothing up.
RESYNC_LIMIT = 256

#: Takes raw-frame writes in a plain form of JSON out of a buffer, from a position on: (id, data, bus
#: or 0, extended or None, fd) of each, and the position behind the last (bridge.codec.can_writes).
CanWrites = Callable[[bytearray, int], tuple[list[tuple[int, bytes, int, bool | None, bool]], int]]

CAN_WRITE_LIMIT = 256  #: bytes; a write in the plain form is never as long
_FORMATS = {None: None, False: FrameFormat.STANDARD, True: FrameFormat.EXTENDED}

_INCOMPLETE, _GARBAGE = -1, -2


class _RecordStream(Generic[AnyMessage]):
    """Both directions; see StreamDecoder for what the parts do."""

    def __init__(
        self,
        decode_json: Callable[[bytes], AnyMessage],
        decode_protobuf: Callable[[bytes], AnyMessage],
        changes_format: Callable[[AnyMessage], bool],
        payload_format: PayloadFormat | None,
        limit: int,
    ) -> None:
        self.payload_format = payload_format  #: None while it is not decided
        self.records = 0  #: messages handed out
        self.invalid = 0  #: broken records, and runs of bytes that are no record
        self.oversized = 0  #: records longer than the limit
        self._decode_json = decode_json
        self._decode_protobuf = decode_protobuf
        self._changes_format = changes_format
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0  # the buffer has no NUL before this
        self._dropping = False  # inside a record that is longer than the limit
        self._lost = False  # inside bytes that are no record
        self._believed = limit  # longest protobuf record that is waited for

    def feed(self, data: bytes | bytearray | memoryview) -> list[AnyMessage]:
        """The messages that end in these bytes, in their order.

        Broken and oversized records are counted and left out; a rest is kept for the next call.
        """
        self._buffer += data
        messages: list[AnyMessage] = []
        position = 0
        while True:
            if self.payload_format is None:
                position = self._detect(position)
            if self.payload_format is PayloadFormat.JSON:
                following = self._next_json(position, messages)
            elif self.payload_format is PayloadFormat.PROTOBUF:
                following = self._next_protobuf(position, messages)
            else:
                break
            if following == _INCOMPLETE:
                break
            position = following
        if self._dropping:
            position = len(self._buffer)
        del self._buffer[:position]
        self._searched = max(0, self._searched - position)
        return messages

    @property
    def buffered(self) -> int:
        """Bytes kept for the next call: at most the limit and the few bytes that say a length."""
        return len(self._buffer)

    def _detect(self, position: int) -> int:
        """Decide the format if the bytes suffice; the position behind what stands before the first record."""
        buffer = self._buffer
        while position < len(buffer):
            byte = buffer[position]
            if byte == 0:
                position += 1
                continue
            length, start = self._read_length(position)
            if length == _INCOMPLETE or (length != _GARBAGE and start >= len(buffer)):
                break
            if length != _GARBAGE and buffer[start] == _FIRST_FIELD:
                self.payload_format = PayloadFormat.PROTOBUF
                break
            if byte not in _WHITESPACE:
                self.payload_format = PayloadFormat.JSON
                break
            position += 1
        return position

    def _read_length(self, position: int) -> tuple[int, int]:
        """The length that a record at this position would have and where it would start."""
        length = 0
        for index, byte in enumerate(self._buffer[position : position + _VARINT_BYTES_LIMIT]):
            length |= (byte & 0x7F) << (7 * index)
            if length > self._limit:
                return _GARBAGE, position
            if byte < 0x80:
                return (length if length >= _SHORTEST_MESSAGE else _GARBAGE), position + index + 1
        incomplete = len(self._buffer) - position < _VARINT_BYTES_LIMIT
        return (_INCOMPLETE if incomplete else _GARBAGE), position

    def _next_json(self, position: int, messages: list[AnyMessage]) -> int:
        end = self._buffer.find(0, max(position, self._searched))
        if end < 0:
            self._searched = len(self._buffer)
            if not self._dropping and self._searched - position > self._limit:
                self._dropping = True
                self.oversized += 1
            return _INCOMPLETE
        if self._dropping:
            self._dropping = False
        elif end - position > self._limit:
            self.oversized += 1
        else:
            self._take_json(bytes(self._buffer[position:end]), messages)
        return end + 1

    def _take_json(self, record: bytes, messages: list[AnyMessage]) -> None:
        try:
            message = self._decode_json(record)
        except InvalidRecord:
            if record.strip(_WHITESPACE):
                self.invalid += 1
        else:
            self._take(message, messages)

    def _next_protobuf(self, position: int, messages: list[AnyMessage]) -> int:
        buffer = self._buffer
        if position >= len(buffer):
            return _INCOMPLETE
        if buffer[position] == 0:
            # Some documents end protobuf records with a NUL as well; no record starts with one.
            return position + 1
        length, start = self._read_length(position)
        if length == _INCOMPLETE or (length != _GARBAGE and start >= len(buffer)):
            return _INCOMPLETE
        if length == _GARBAGE or length > self._believed or buffer[start] != _FIRST_FIELD:
            return self._skip(position)
        end = start + length
        if end > len(buffer):
            return _INCOMPLETE
        try:
            message = self._decode_protobuf(bytes(buffer[start:end]))
        except protobuf_format.MalformedRecord:
            return self._skip(position)
        except InvalidRecord:
            self.invalid += 1
        else:
            self._take(message, messages)
        self._lost = False
        self._believed = min(self._limit, self._believed + length)
        return end

    def _skip(self, position: int) -> int:
        """Past one byte that begins no record; a run of them counts once."""
        if not self._lost:
            self._lost = True
            self.invalid += 1
        self._believed = min(self._limit, RESYNC_LIMIT)
        return position + 1

    def _take(self, message: AnyMessage, messages: list[AnyMessage]) -> None:
        self.records += 1
        messages.append(message)
        if self._changes_format(message):
            self.payload_format = None


class StreamDecoder(_RecordStream[Incoming]):
    """What an app sends, as the vehicle interface reads it.

    With a `payload_format` of None the first bytes decide: the length of a VehicleMessage and
    its first tag are protobuf, anything else is JSON. The decision stays until a payload_format
    command, after which the app may go on in either. `limit` is the longest record in bytes: of
    JSON, more is dropped up to the next NUL; of protobuf, a longer one is not believed and its
    length skipped byte by byte. `can_writes` only makes it faster: it means what json_format does.

    Attributes: payload_format (None while undecided); counters records, invalid, oversized.
    """

    def __init__(
        self,
        payload_format: PayloadFormat | None = None,
        limit: int = RECORD_LIMIT,
        can_writes: CanWrites | None = None,
    ) -> None:
        super().__init__(
            json_format.decode, protobuf_format.decode, _is_format_command, payload_format=payload_format, limit=limit
        )
        self._can_writes = can_writes if limit >= CAN_WRITE_LIMIT else None

    def _next_json(self, position: int, messages: list[Incoming]) -> int:
        if self._can_writes is not None and not self._dropping:
            writes, following = self._can_writes(self._buffer, position)
            if writes:
                self.records += len(writes)
                messages.extend(
                    [
                        CanMessage(id=number, data=data, bus=bus or None, frame_format=_FORMATS[extended], fd=fd)
                        for number, data, bus, extended, fd in writes
                    ]
                )
                return following
        return super()._next_json(position, messages)


class OutgoingStreamDecoder(_RecordStream[Outgoing]):
    """What a vehicle interface sends, as a client of it reads it; otherwise like StreamDecoder."""

    def __init__(self, payload_format: PayloadFormat | None = None, limit: int = RECORD_LIMIT) -> None:
        super().__init__(
            json_format.decode_outgoing,
            protobuf_format.decode_outgoing,
            _is_format_response,
            payload_format=payload_format,
            limit=limit,
        )


def _is_format_command(message: Incoming) -> bool:
    return isinstance(message, PayloadFormatCommand) and message.format is not None


def _is_format_response(message: Outgoing) -> bool:
    return (
        isinstance(message, CommandResponse)
        and message.command_response == CommandName.PAYLOAD_FORMAT
        and message.status
    )
