"""Bus: the one interface that every vehicle connection has.

A bus pushes what it reads into a BusListener, on the event loop's thread, a batch at a time.
It must not know profiles, clients or permissions.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.frames import FrameBatch


class BusState(enum.Enum):
    """What a vehicle connection is able to do (ISO 11898-1, 12.1.4, and an adapter that is gone)."""

    CLOSED = "closed"
    UP = "up"
    ERROR_PASSIVE = "error-passive"
    BUS_OFF = "bus-off"
    GONE = "gone"


class BusListener(Protocol):
    """Who hears a bus. Called on the event loop's thread; must not block."""

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        """Frames in the order of their arrival, all of this bus, their bus number set."""

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """The state is another one now; `reason` is one line for the log.

        What open() and close() themselves do to the state is not reported: their caller knows.
        """


class IsotpChannel(Protocol):
    """A channel of whole payloads, ISO 15765-2, between this bridge and one ECU."""

    def send(self, payload: bytes) -> None:
        """Send one payload, 1 to 4095 bytes. Raises BusError where that cannot be."""

    def close(self) -> None:
        """Forget the channel and whatever it was about to send."""


class Padding(enum.Enum):
    """Whether the frames of an ISO-TP channel are filled up to 8 bytes (ISO 15765-2, 10.4.2)."""

    PADDED = enum.auto()
    UNPADDED = enum.auto()
    DETECTED = enum.auto()  #: padded until the other side has sent a frame that was not


@dataclass(frozen=True, slots=True)
class IsotpLayout:
    """How the frames of an ISO-TP channel look beyond their ids (ISO 15765-2).

    With extended addressing each frame begins with an address byte, 0 to 255, before the protocol
    control information. Either direction has one or not, for itself.
    """

    request_address: int | None = None  #: begins what is sent
    response_address: int | None = None  #: begins what is heard; frames with another first byte are somebody else's
    padding: Padding = Padding.PADDED  #: of what is sent


NORMAL_LAYOUT = IsotpLayout()  #: normal addressing, padded: as ISO 15765-4 wants OBD-II


class RawChannel(Protocol):
    """Somebody hears the frames of one arbitration id."""

    def close(self) -> None:
        """Hear no more, not even what has been received already. Twice is fine."""


DataReceiver = Callable[[bytes], None]  #: gets each frame's data of a raw channel, on the loop's thread
PayloadReceiver = Callable[[bytes], None]  #: gets each whole payload of a channel, on the loop's thread
ChannelFailure = Callable[[str], None]  #: gets a line about a transfer that failed (time-out, overflow)
#: Hears that a longer payload gets on: parts of it came (first or consecutive frames), or, of a payload that this
#: very channel sends, consecutive frames left or flow control came.
ChannelProgress = Callable[[], None]


class Bus(abc.ABC):
    """One vehicle connection. Methods belong to the event loop's thread and do not block."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number  #: OpenXC's bus number
        self.name = name  #: what the user called it, for logs
        self.state = BusState.CLOSED
        self.frames_dropped = 0  #: lost between the adapter and the listener
        self.frames_received = 0
        self.frames_sent = 0
        self.frames_unsent = 0  #: taken by send(), then refused or lost by the adapter

    @property
    def delay(self) -> float:
        """Seconds that a request and its answer take on the way to the vehicle and back, at most.

        0 where the vehicle is here: then ISO-TP channels report the progress of long payloads, too.
        """
        return 0.0

    @abc.abstractmethod
    async def open(self, listener: BusListener) -> None:
        """Start. Raises BusError (one line, what to do) when the connection cannot be made."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Stop, and leave no task, thread or descriptor. Closing twice is fine."""

    @abc.abstractmethod
    def send(self, batch: FrameBatch) -> None:
        """Put frames on the bus, in order. Raises BusError when it can't take them."""

    def want_ids(self, ids: frozenset[tuple[int, bool]] | None) -> None:
        """Only frames of these (arbitration id, extended) are of use now; None: all are.

        A hint that lets an adapter leave the others out, so that they cost nothing. Every id is
        wanted until this is called. ISO-TP and raw channels hear their ids whatever it says.
        """
        return

    @abc.abstractmethod
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
        """A channel that sends on `request_id` and listens to `response_id`.

        With `response_id` None it only sends, single frames: a functional address. Any number
        of channels may be open at once; two with the same response id both hear it. `progress`
        is called when parts of a longer payload arrive, once for parts that arrive together, and
        while a longer payload of this channel's own is sent.

        Raises:
            BusError: ids that the format does not have, or that are the same; an address that
                is no byte.
        """

    @abc.abstractmethod
    def open_raw(self, arbitration_id: int, *, extended: bool, receiver: DataReceiver) -> RawChannel:
        """Hear the data of every data frame with this id that comes from the vehicle, in order.

        Remote and error frames are not heard, and neither is what this bridge sent itself. Any
        number of channels may be open for one id.

        Raises:
            BusError: an id that the format does not have.
        """
