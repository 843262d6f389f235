"""What waits for one client: a bounded queue of references to chunks that all clients share.

A chunk is whole records, so that dropping chunks never leaves half a record. This file is pure:
it knows no connection, no clock and no payload format.
"""

from __future__ import annotations

from collections import deque

from bridge.limits import CLIENT_QUEUE_LIMIT, RESPONSES_LIMIT

Piece = bytes | memoryview  #: a whole chunk, or a part of one that is larger than what was asked for


class OutputQueue:
    """Chunks on their way to one client, in order; the oldest data is dropped at the limit.

    Responses keep their place among the data, but are accounted for apart: a flood of data drops
    none of them, and a client that asks without ever reading meets a bound of its own.

    The newest data chunk is never dropped, and a chunk of which a part was taken is finished: the
    data that waits is thus bounded by `limit`, or by those two where they alone are larger.
    """

    __slots__ = (
        "_data",
        "_data_size",
        "_limit",
        "_position",
        "_response_limit",
        "_response_size",
        "_responses",
        "_rest",
        "_rest_records",
        "bytes_dropped",
        "chunks_dropped",
        "records_dropped",
    )

    def __init__(self, limit: int = CLIENT_QUEUE_LIMIT, response_limit: int = RESPONSES_LIMIT) -> None:
        self._limit = limit
        self._response_limit = response_limit
        self._position = 0  # numbers the chunks, so that two queues know the common order
        self._data: deque[tuple[int, bytes, int]] = deque()  # position, chunk, records
        self._responses: deque[tuple[int, bytes]] = deque()
        self._data_size = 0
        self._response_size = 0
        self._rest = memoryview(b"")  # what is left of a chunk that was partly taken
        self._rest_records = 0
        self.chunks_dropped = 0
        self.records_dropped = 0
        self.bytes_dropped = 0

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._data_size + self._response_size + len(self._rest)

    def __bool__(self) -> bool:
        return bool(self._data or self._responses or self._rest)

    def push(self, chunk: bytes, records: int = 0) -> None:
        """Append a chunk of data with that many whole records; older data may be dropped for it."""
        if not chunk:
            return
        self._position += 1
        self._data.append((self._position, chunk, records))
        self._data_size += len(chunk)
        while self._data_size + len(self._rest) > self._limit and len(self._data) > 1:
            _, oldest, lost = self._data.popleft()
            self._data_size -= len(oldest)
            self.chunks_dropped += 1
            self.records_dropped += lost
            self.bytes_dropped += len(oldest)

    def push_response(self, chunk: bytes) -> bool:
        """Append a response behind all that waits; False, and not taken, beyond the responses' bound."""
        if self._response_size + len(chunk) > self._response_limit:
            return False
        if chunk:
            self._position += 1
            self._responses.append((self._position, chunk))
            self._response_size += len(chunk)
        return True

    def take(self, max_bytes: int) -> tuple[list[Piece], int]:
        """Remove the next pieces, `max_bytes` in sum at most, and say how many records they complete.

        Chunks come whole as long as they fit; only one that is larger than `max_bytes` is cut.
        """
        pieces: list[Piece] = []
        records = 0
        room = max_bytes
        if self._rest:
            pieces.append(self._rest[:room])
            self._rest = self._rest[room:]
            if self._rest:
                return pieces, 0
            records += self._rest_records
            self._rest = memoryview(b"")  # lets go of the chunk itself
            room -= len(pieces[0])
        while (chunk := self._next()) is not None and len(chunk) <= room:
            records += self._remove()
            pieces.append(chunk)
            room -= len(chunk)
        if chunk is not None and not pieces:
            self._rest_records = self._remove()
            view = memoryview(chunk)
            pieces.append(view[:max_bytes])
            self._rest = view[max_bytes:]
        return pieces, records

    def clear(self) -> None:
        """Forget all that waits, without counting it as dropped."""
        self._data.clear()
        self._responses.clear()
        self._data_size = self._response_size = 0
        self._rest = memoryview(b"")

    def _response_is_next(self) -> bool:
        return bool(self._responses) and (not self._data or self._responses[0][0] < self._data[0][0])

    def _next(self) -> bytes | None:
        if self._response_is_next():
            return self._responses[0][1]
        return self._data[0][1] if self._data else None

    def _remove(self) -> int:
        """Remove what `_next` shows and return its records."""
        if self._response_is_next():
            self._response_size -= len(self._responses.popleft()[1])
            return 0
        _, chunk, records = self._data.popleft()
        self._data_size -= len(chunk)
        return records
