"""Raw channels over a bus of frames: the data of single arbitration ids, for whoever asks.

It must not know what kind of bus carries the frames, nor what their data means.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.buses.bus import DataReceiver, RawChannel
from bridge.buses.heard_ids import HeardIds, check_id
from bridge.frames import FrameBatch


class RawChannels:
    """All raw channels of one bus."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after each change of `heard_ids`."""
        self._channels: HeardIds[_Channel] = HeardIds(changed)

    @property
    def heard_ids(self) -> frozenset[tuple[int, bool]]:
        """(arbitration id, extended) of the open ones."""
        return self._channels.ids

    def open(self, arbitration_id: int, *, extended: bool, receiver: DataReceiver) -> RawChannel:
        """A channel as Bus.open_raw promises it.

        Raises:
            BusError: an id that the format does not have.
        """
        check_id(arbitration_id, extended)
        channel = _Channel(self._channels, arbitration_id, extended, receiver)
        self._channels.add(arbitration_id, extended, channel)
        return channel

    def feed(self, batch: FrameBatch) -> None:
        """Give the channels what is theirs of frames that were received."""
        for channel, data in self._channels.find(batch):
            channel.hear(data)

    def close_all(self) -> None:
        """Close every channel."""
        for channel in self._channels.listeners():
            channel.close()


class _Channel:
    """One listener of one id."""

    def __init__(
        self, channels: HeardIds[_Channel], arbitration_id: int, extended: bool, receiver: DataReceiver
    ) -> None:
        self._channels = channels
        self._id = arbitration_id
        self._extended = extended
        self._receiver: DataReceiver | None = receiver

    def hear(self, data: bytes) -> None:
        if self._receiver is not None:  # else another receiver of the same frame has closed this channel
            self._receiver(data)

    def close(self) -> None:
        if self._receiver is not None:
            self._receiver = None
            self._channels.remove(self._id, self._extended, self)
