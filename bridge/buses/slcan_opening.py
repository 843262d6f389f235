"""The conversation that opens an slcan adapter's channel.

Adapters differ in how much of the protocol they answer: LAWICEL's all of it, the CANable's first
firmware its version and nothing else. So silence is an answer here, and only an adapter that never
says anything is none. Must not know buses and what becomes of frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bridge.buses.serial_line import SerialLine
from bridge.buses.slcan_adapter import VOID_LINE, ChannelSettings
from bridge.codec import parse_slcan
from bridge.codec.slcan import LINE_LIMIT
from bridge.errors import BusError

_END = re.compile(rb"[\r\a]")
_HEX = re.compile(rb"[0-9a-fA-F]+")  # what is left of a frame's line whose beginning is lost
_TEXT = re.compile(rb"[0-9A-Za-z][ -~]*")
_STATUS = re.compile(rb"F[0-9a-fA-F]{2}")
_LAWICEL_VERSION = re.compile(r"V[0-9a-fA-F]{4}")  # of hardware and software


class _Kind(enum.Enum):
    DONE = enum.auto()
    REFUSED = enum.auto()
    TEXT = enum.auto()
    FRAME = enum.auto()
    NOISE = enum.auto()


class _Reply(NamedTuple):
    kind: _Kind
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class OpenedChannel:
    """What the conversation found out."""

    version: str  #: as the adapter says it; empty where it does not
    serial_number: str
    stamps: bool  #: it stamps its frames
    status: bool  #: it tells its status flags
    unread: bytes  #: what came after the channel was opened: frames


class Opening:
    """Opens the channel of the adapter on a line, which is started and whose calls are for this alone.

    Args:
        line: the port.
        device: its name, for errors.
        settings: how.
        answer_timeout: seconds for each answer.
        start_timeout: seconds for an adapter that says nothing because it is just starting.
    """

    def __init__(
        self,
        line: SerialLine,
        device: str,
        settings: ChannelSettings,
        *,
        answer_timeout: float,
        start_timeout: float,
    ) -> None:
        self._line = line
        self._device = device
        self._settings = settings
        self._answer_timeout = answer_timeout
        self._start_timeout = start_timeout
        self._input = bytearray()
        self._frames = bytearray()  # lines of frames since the channel was opened
        self._news = asyncio.Event()
        self._loss: str | None = None
        self._opened = False
        self._heard = False  # anything that an adapter says
        self._acknowledges = False  # it tells commands that it carried out from others
        self._loop = asyncio.get_running_loop()
        line.received = self._received
        line.lost = self._lost

    async def run(self) -> OpenedChannel:
        """Hold it.

        Raises:
            BusError: one line that says why the channel is not open. It may be, all the same.
        """
        version = await self._identify()
        number = await self._ask(b"N", lambda reply: _is_serial_number(reply) and reply.text.decode() != version)
        for command in self._settings.commands():
            await self._set(command)
        stamps = (await self._order(b"Z1")) is _Kind.DONE
        await self._have_frames_sent(version)
        await self._open()
        if not self._heard:
            raise BusError(
                f"{self._device} answers nothing: is it an slcan adapter? A serial speed other than the "
                "default is written ?baudrate=N"
            )
        status = None
        if self._acknowledges:
            status = await self._ask(b"F", lambda reply: _is_acknowledgement(reply) or _is_status(reply))
        self._require_line()
        return OpenedChannel(
            version=version,
            serial_number=number.text[1:].decode() if number else "",
            stamps=stamps,
            status=status is not None and _is_status(status),
            unread=bytes(self._frames + self._input),
        )

    async def _identify(self) -> str:
        """Empty the adapter's line buffer, close its channel and ask its version, until it says anything.

        The answer may be to the void line already; then the other one is passed over later.
        """
        deadline = self._loop.time() + self._start_timeout
        while True:
            reply = await self._ask(VOID_LINE + b"C\rV", _is_version)
            if reply is not None:
                return reply.text.decode()
            if self._heard or self._loop.time() >= deadline:
                return ""

    async def _set(self, command: bytes) -> None:
        if await self._insist(command) is _Kind.REFUSED:
            raise BusError(f"{self._device} refuses {command.decode()}: its adapter does not have this bit rate")

    async def _have_frames_sent(self, version: str) -> None:
        """Tell an adapter of LAWICEL's kind to send frames when they come.

        The CAN232 keeps them until it is asked, as delivered; one that does not know the command
        refuses it. No other kind is told: the CANable's firmware reads X as a frame to be sent.
        """
        if self._acknowledges and _LAWICEL_VERSION.fullmatch(version):
            await self._order(b"X1")

    async def _open(self) -> None:
        if self._settings.listen_only:
            if await self._insist(b"L") is not _Kind.DONE and self._heard:
                # Firmware that does not know L may ignore it, or acknowledge the vehicle's frames.
                raise BusError(f"{self._device} does not confirm that it only listens: open it without listen_only")
        elif await self._insist(b"O") is _Kind.REFUSED:
            advice = "" if self._settings.commands() else "; it may need a bit rate: slcan:PORT@BITRATE"
            raise BusError(f"{self._device} refuses to open its channel{advice}")

    async def _insist(self, command: bytes) -> _Kind | None:
        """Give an order once more where it is refused.

        The channel may still be open, or the refusal may be of something before, come late: the
        channel is closed, and all that comes in answer is passed over.
        """
        kind = await self._order(command)
        if kind is _Kind.REFUSED:
            await self._ask(b"C", lambda reply: False)
            kind = await self._order(command)
        return kind

    async def _order(self, command: bytes) -> _Kind | None:
        """Give a command that is answered by its having been carried out, or not; None without an answer."""
        self._opened = command in (b"O", b"L")
        # The first frame of an adapter that acknowledges nothing says that it is open.
        frame_answers = command == b"O" and not self._acknowledges
        reply = await self._ask(
            command, lambda reply: _is_acknowledgement(reply) or (frame_answers and reply.kind is _Kind.FRAME)
        )
        if reply is None:
            return None
        self._acknowledges |= reply.kind is not _Kind.FRAME
        return reply.kind

    async def _ask(self, command: bytes, accept: Callable[[_Reply], bool]) -> _Reply | None:
        """The first acceptable reply; None where there is none in time. Others are passed over.

        A port that does not even take a command belongs to an adapter that does not answer.
        """
        self._line.write(command + b"\r")
        deadline = self._loop.time() + self._answer_timeout
        while True:
            while (reply := self._next()) is not None:
                self._heard |= reply.kind is not _Kind.NOISE
                if self._opened and reply.kind is _Kind.FRAME:
                    self._frames += reply.text + b"\r"
                if accept(reply):
                    return reply
            if self._loop.time() >= deadline:
                return None
            with contextlib.suppress(TimeoutError):  # what has come all the same is looked at first
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            self._news.clear()
            self._require_line()

    def _require_line(self) -> None:
        if self._loss is not None:
            raise BusError(f"{self._device} went away while it was opened: {self._loss}")

    def _next(self) -> _Reply | None:
        end = _END.search(self._input)
        if end is None:
            del self._input[: -LINE_LIMIT - 1]
            return None
        line = bytes(self._input[: end.start()]).strip(b"\n")
        is_bel = self._input[end.start()] == ord("\a")
        del self._input[: end.end()]
        if is_bel:
            return _Reply(_Kind.NOISE if line else _Kind.REFUSED)
        return _reply(line)

    def _received(self, data: bytes) -> None:
        self._input += data
        self._news.set()

    def _lost(self, reason: str) -> None:
        self._loss = reason
        self._news.set()


def _reply(line: bytes) -> _Reply:
    if line in (b"", b"z", b"Z"):
        return _Reply(_Kind.DONE)
    if parse_slcan(line + b"\r", 0, 0.0)[0]:
        return _Reply(_Kind.FRAME, line)
    if len(line) <= LINE_LIMIT and _TEXT.fullmatch(line):
        return _Reply(_Kind.TEXT, line)
    return _Reply(_Kind.NOISE)


def _is_version(reply: _Reply) -> bool:
    """In any form: a CANable does not answer with V and digits. But no echo, and no rest of a frame's line."""
    return reply.kind is _Kind.TEXT and reply.text.strip(b"V") != b"" and not _HEX.fullmatch(reply.text)


def _is_serial_number(reply: _Reply) -> bool:
    return reply.kind is _Kind.TEXT and reply.text[:1] == b"N"


def _is_acknowledgement(reply: _Reply) -> bool:
    return reply.kind in (_Kind.DONE, _Kind.REFUSED)


def _is_status(reply: _Reply) -> bool:
    return reply.kind is _Kind.TEXT and _STATUS.fullmatch(reply.text) is not None
