"""The in-process bus: a segment, and the endpoints that hear each other on it.

The simulated vehicle, tests and profiles without hardware use it. It must not know who sits on
the other endpoints. All endpoints of a segment belong to one event loop.
"""

from __future__ import annotations

import asyncio
import time

from bridge.buses.bus import BusListener, BusState
from bridge.buses.frame_bus import FrameBus, check_sendable
from bridge.frames import FLAGS_COLUMN, RECORD_SIZE, FrameBatch, FrameFlags

_BUS_COLUMN = slice(12, None, RECORD_SIZE)
_TIMESTAMPS = slice(0, None, RECORD_SIZE // 8)
_AS_OWN = bytes(flags | FrameFlags.OWN for flags in range(256))
_AS_FOREIGN = bytes(flags & ~FrameFlags.OWN for flags in range(256))


class Segment:
    """The wire: carries every frame to all endpoints but its sender (the sender too, with loopback).

    A frame arrives on a later turn of the loop, with the frames that were sent in the same turn.
    """

    def __init__(self) -> None:
        self._endpoints: list[VirtualBus] = []

    def attach(self, endpoint: VirtualBus) -> None:
        """From now on this endpoint hears the segment."""
        self._endpoints.append(endpoint)

    def detach(self, endpoint: VirtualBus) -> None:
        """It hears no more; no error if it never did."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)

    def carry(self, sender: VirtualBus, batch: FrameBatch) -> None:
        """Put frames on the wire."""
        now = time.time()
        for endpoint in self._endpoints:
            if endpoint is not sender:
                endpoint.hear(_as_heard(batch, endpoint.number, now, _AS_FOREIGN))
            elif endpoint.loopback:
                endpoint.hear(_as_heard(batch, endpoint.number, now, _AS_OWN))


def _as_heard(batch: FrameBatch, number: int, now: float, flags: bytes) -> bytes:
    """The records as a receiver has them: its bus number, a timestamp, the right OWN flag."""
    records = bytearray(batch.buffer)
    records[_BUS_COLUMN] = bytes([number]) * len(batch)
    records[FLAGS_COLUMN] = records[FLAGS_COLUMN].translate(flags)
    with memoryview(records).cast("d") as words:
        for position, timestamp in enumerate(words[_TIMESTAMPS].tolist()):
            if timestamp == 0:
                words[position * _TIMESTAMPS.step] = now
    return bytes(records)


class VirtualBus(FrameBus):
    """One endpoint of a segment.

    Args:
        number: the bus number of the frames that are heard here.
        name: what logs call it.
        segment: the wire, shared with the other endpoints.
        loopback: hear the own frames too, flagged OWN.
    """

    def __init__(self, number: int, name: str, segment: Segment, loopback: bool = False) -> None:
        super().__init__(number, name)
        self.loopback = loopback
        self._segment = segment

    async def open(self, listener: BusListener) -> None:
        """Attach to the segment. Raises BusError when it is open already."""
        self._attach(listener)
        self._segment.attach(self)
        self.state = BusState.UP

    async def close(self) -> None:
        """Detach; frames that have not arrived yet never will."""
        self._segment.detach(self)
        self._detach()

    def send(self, batch: FrameBatch) -> None:
        """Put frames on the wire; a timestamp of 0 becomes the time of sending, in Unix seconds."""
        self._require_up()
        check_sendable(batch)
        if batch:
            self._segment.carry(self, batch)
            self.frames_sent += len(batch)

    def hear(self, records: bytes) -> None:
        """Called by the segment: records for this endpoint, its bus number set."""
        if self._queue.put(records):
            asyncio.get_running_loop().call_soon(self._drain)
