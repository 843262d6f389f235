"""FrameBus: what every bus that carries all of a CAN bus's frames has in common: ISO-TP made of frames.

This module must not know adapters.
"""

from __future__ import annotations

from bridge.buses.bus import (
    NORMAL_LAYOUT,
    ChannelFailure,
    ChannelProgress,
    IsotpChannel,
    IsotpLayout,
    PayloadReceiver,
)
from bridge.buses.delivery import DeliveringBus
from bridge.buses.isotp import IsotpChannels
from bridge.errors import BusError
from bridge.frames import (
    EXTENDED_ID_MAX,
    FD_LENGTHS,
    FLAGS_COLUMN,
    ID_WORDS,
    LENGTH_COLUMN,
    STANDARD_ID_MAX,
    FrameBatch,
    FrameFlags,
)

CLASSIC_DATA_LIMIT = 8


class FrameBus(DeliveringBus):
    """A bus of frames: ISO-TP channels are made of them, before the raw channels hear a frame."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, name)
        self.channels = IsotpChannels(self.send, number, changed=self._needed_ids_changed)

    def open_isotp(
        self,
        request_id: int,
        response_id: int | None,
        *,
        extended: bool,
        receiver: PayloadReceiver,
        failure: ChannelFailure,
        progress: ChannelProgress | None = None,
        layout: IsotpLayout = NORMAL_LAYOUT,
    ) -> IsotpChannel:
        """See Bus.open_isotp. The channels end when the bus is closed."""
        return self.channels.open(
            request_id,
            response_id,
            extended=extended,
            receiver=receiver,
            failure=failure,
            progress=progress,
            layout=layout,
        )

    def _close_channels(self) -> None:
        self.channels.close_all()
        super()._close_channels()

    @property
    def _needed_ids(self) -> frozenset[tuple[int, bool]] | None:
        needed = super()._needed_ids
        return None if needed is None else needed | self.channels.heard_ids

    def _feed_channels(self, batch: FrameBatch) -> None:
        self.channels.feed(batch)
        super()._feed_channels(batch)


def check_sendable(batch: FrameBatch) -> None:
    """Refuse what no CAN bus can carry, before the first of the frames is sent.

    Raises:
        BusError: a data length that the frame's format does not have, or an id that does not fit
            (ISO 11898-1).
    """
    if not batch:
        return
    lengths = batch.buffer[LENGTH_COLUMN]
    identifiers = memoryview(batch.buffer).cast("I")[ID_WORDS].tolist()
    if max(lengths) <= CLASSIC_DATA_LIMIT and max(identifiers) <= STANDARD_ID_MAX:
        return
    for identifier, length, flags in zip(identifiers, lengths, batch.buffer[FLAGS_COLUMN], strict=True):
        fd = flags & FrameFlags.FD
        if length not in FD_LENGTHS or (length > CLASSIC_DATA_LIMIT and not fd):
            kind = "CAN FD" if fd else "classic CAN"
            raise BusError(f"a {kind} frame cannot carry {length} data bytes (id 0x{identifier:x})")
        limit = EXTENDED_ID_MAX if flags & (FrameFlags.EXTENDED | FrameFlags.ERROR) else STANDARD_ID_MAX
        if identifier > limit:
            raise BusError(f"0x{identifier:x} does not fit an arbitration id of {29 if limit > 0x7FF else 11} bits")
