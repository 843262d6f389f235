"""ISO-TP channels over a bus of frames (ISO 15765-2), on the event loop, without threads.

This module gives each open channel the frames that are its own; `isotp_link` does what ISO 15765-2
has to say about them. It must not know what kind of bus carries the frames, nor what the payloads
mean.

Channels with the same ids and the same layout share one link, however many there are. Links that
share only the response id are independent: both hear it and each sends flow control on its own
request id.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.buses.bus import (
    NORMAL_LAYOUT,
    ChannelFailure,
    ChannelProgress,
    IsotpChannel,
    IsotpLayout,
    Padding,
    PayloadReceiver,
)
from bridge.buses.heard_ids import HeardIds, check_id
from bridge.buses.isotp_link import FRAME_LENGTH, PADDING, FrameSender, IsotpTimeouts, Link, LinkKey, address_byte
from bridge.errors import BusError
from bridge.frames import EXTENDED, FrameBatch, pack
from bridge.limits import SINGLE_FRAME_LIMIT


class IsotpChannels:
    """All ISO-TP channels of one bus."""

    def __init__(
        self,
        send: FrameSender,
        number: int,
        timeouts: IsotpTimeouts | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Channels that send with `send`; `changed` is called after each change of `heard_ids`."""
        self.timeouts = timeouts or IsotpTimeouts()  #: of the channels that are opened from now on
        self._send = send
        self._number = number
        self._links: dict[LinkKey, Link] = {}
        self._listening: HeardIds[Link] = HeardIds(changed)

    def __len__(self) -> int:
        """How many links have a channel open."""
        return len(self._links)

    @property
    def heard_ids(self) -> frozenset[tuple[int, bool]]:
        """(response id, extended) of the open ones."""
        return self._listening.ids

    def open(
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
        """A channel as Bus.open_isotp promises it.

        Raises:
            BusError: ids that the format does not have, or that are the same; an address that
                is no byte.
        """
        check_addressing(request_id, response_id, extended, layout)
        if response_id is None:
            return _FunctionalChannel(self._send, self._number, request_id, extended, layout)
        key = LinkKey(request_id, response_id, extended, layout)
        link = self._links.get(key)
        if link is None:
            link = Link(self._send, self._number, key, self.timeouts, self._forget)
            self._links[key] = link
            self._listening.add(response_id, extended, link)
        return link.join(receiver, failure, progress)

    def feed(self, batch: FrameBatch) -> None:
        """Give the channels what is theirs of frames that were received."""
        heard: dict[Link, None] = {}
        for link, data in self._listening.find(batch):
            if link.hear(data):
                heard[link] = None
        for link in heard:
            link.advance()

    def close_all(self) -> None:
        """Close every channel: their transfers and timers end without a word."""
        for link in list(self._links.values()):
            link.close()

    def _forget(self, link: Link) -> None:
        if self._links.pop(link.key, None) is not None:
            self._listening.remove(link.key.response_id, link.key.extended, link)


def check_addressing(request_id: int, response_id: int | None, extended: bool, layout: IsotpLayout) -> None:
    """Refuse what no ISO-TP channel can have.

    Raises:
        BusError: as Bus.open_isotp does.
    """
    check_id(request_id, extended)
    for address in (layout.request_address, layout.response_address):
        if address is not None and not 0 <= address <= 0xFF:
            raise BusError(f"{address} is not an address of extended addressing, which is one byte")
    if response_id is not None:
        check_id(response_id, extended)
    if request_id == response_id:
        raise BusError(f"an ISO-TP channel needs two ids, not 0x{request_id:x} twice")


class _FunctionalChannel:
    """Sends single frames to whom it may concern and hears nobody."""

    def __init__(self, send: FrameSender, number: int, request_id: int, extended: bool, layout: IsotpLayout) -> None:
        self._send = send
        self._number = number
        self._id = request_id
        self._flags = EXTENDED if extended else 0
        self._address = address_byte(layout.request_address)
        self._length = 0 if layout.padding is Padding.UNPADDED else FRAME_LENGTH
        self._open = True

    def send(self, payload: bytes) -> None:
        """One single frame; BusError for more than it takes, which needs flow control from one peer."""
        if not self._open:
            raise BusError(f"the ISO-TP channel of 0x{self._id:x} is closed")
        limit = SINGLE_FRAME_LIMIT - len(self._address)
        if not 1 <= len(payload) <= limit:
            raise BusError(
                f"{len(payload)} bytes to the functional address 0x{self._id:x}; one frame takes 1 to {limit}"
            )
        data = (self._address + bytes([len(payload)]) + payload).ljust(self._length, PADDING)
        self._send(FrameBatch(pack(0.0, self._id, self._number, self._flags, data)))

    def close(self) -> None:
        self._open = False
