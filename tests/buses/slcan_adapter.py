"""An slcan adapter for tests, on a pseudo-terminal: LAWICEL's protocol with its state, joined to others by a wire.

It lives on the test's event loop. What it is unable to do, as some clones are, is left out of `knows`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
import tty
from collections.abc import Callable

FRAME = re.compile(rb"[tr][0-7][0-9A-F]{2}[0-8][0-9A-F]*|[TR][01][0-9A-F]{7}[0-8][0-9A-F]*")
FD_FRAME = re.compile(rb"[db][0-7][0-9A-F]{2}[0-9A-F]+|[DB][01][0-9A-F]{7}[0-9A-F]+")
COMMANDS = {
    "C": "close",
    "V": "version",
    "N": "serial_number",
    "S": "set_bitrate",
    "s": "set_registers",
    "Y": "set_data_bitrate",
    "Z": "set_stamps",
    "X": "set_auto_poll",
    "O": "open",
    "L": "open_listening",
    "F": "tell_status",
}
EVERYTHING = "".join(COMMANDS)
CANABLE_VERSION = b"b158aa7 github.com/normaldotcom/canable2.git"


class Wire:
    """Carries a line to every adapter but the one that it comes from."""

    def __init__(self) -> None:
        self.adapters: list[SlcanAdapter] = []

    def carry(self, sender: SlcanAdapter, line: bytes) -> None:
        for adapter in self.adapters:
            if adapter is not sender:
                adapter.hear(line)

    def close(self) -> None:
        for adapter in self.adapters:
            adapter.unplug()


class SlcanAdapter:
    """One adapter, plugged in.

    Args:
        wire: the CAN bus.
        knows: the commands that it knows; to others it answers `unknown`. With X it is one of those that keep
            their frames until they are asked for them, or told to send them by themselves.
        acknowledges: it answers commands that have nothing to tell, with CR; else not at all.
        unknown: its answer to what it does not know.
        clock: seconds, of which its stamps are made.
    """

    def __init__(
        self,
        wire: Wire | None = None,
        *,
        knows: str = EVERYTHING,
        acknowledges: bool = True,
        unknown: bytes = b"\a",
        version: bytes = b"V1013",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wire = wire or Wire()
        self.wire.adapters.append(self)
        self.commands: list[bytes] = []  #: what it was told, but for frames; an empty line is one, too
        self.frames: list[bytes] = []  #: what it sent
        self.is_open = False
        self.listen_only = False
        self.bitrate = b""
        self.data_bitrate = b""
        self.stamps = False
        self.auto_poll = "X" not in knows  #: as delivered, it keeps its frames until it is asked for them
        self.status = 0
        self.refuses_frames = False
        self._knows = knows
        self._acknowledges = acknowledges
        self._unknown = unknown
        self._version = version
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._output = bytearray()
        self.news = asyncio.Event()  #: set with whatever it is told
        self.master = -1
        self.plug_in()

    # Its two ends.

    def plug_in(self) -> None:
        """A new pseudo-terminal; `path` is another one each time."""
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        os.set_blocking(self.master, False)
        self.is_open = self.stamps = False
        self._input.clear()
        self._output.clear()
        self._loop.add_reader(self.master, self._read)

    def unplug(self) -> None:
        if self.master >= 0:
            self._loop.remove_reader(self.master)
            self._loop.remove_writer(self.master)
            os.close(self._slave)
            os.close(self.master)
            self.master = -1

    def hear(self, line: bytes) -> None:
        """A frame of the vehicle's."""
        if self.is_open and self.auto_poll:
            self.say(line + (b"%04X" % self.counter() if self.stamps else b"") + b"\r")

    def counter(self) -> int:
        return int(self._clock() * 1000) % 60_000

    def say(self, data: bytes) -> None:
        """Any bytes, to the computer."""
        self._output += data
        self._write()

    def stop_reading(self) -> None:
        """From now on the terminal's buffer fills."""
        self._loop.remove_reader(self.master)

    def read_on(self) -> None:
        self._loop.add_reader(self.master, self._read)

    async def until(self, condition: Callable[[], object], patience: float = 20.0) -> None:
        async with asyncio.timeout(patience):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def _write(self) -> None:
        if self.master < 0:
            return
        with contextlib.suppress(BlockingIOError):
            del self._output[: os.write(self.master, self._output[:65536])]
        if self._output:
            self._loop.add_writer(self.master, self._write)
        else:
            self._loop.remove_writer(self.master)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._input += os.read(self.master, 65536)
        *lines, rest = self._input.split(b"\r")
        self._input = bytearray(rest)
        answers = b"".join([self._answer(bytes(line)) for line in lines])
        if answers:
            self.say(answers)
        self.news.set()

    # The protocol.

    def _answer(self, line: bytes) -> bytes:
        if line[:1] in b"tTrRdDbB" and line:
            return self._send(line)
        self.commands.append(line)
        command = line[:1].decode()
        if command == "" or command not in self._knows:
            return self._unknown if command else self._done()
        return getattr(self, COMMANDS[command])(line[1:])

    def _done(self, well: bool = True) -> bytes:
        if not self._acknowledges:
            return b""
        return b"\r" if well else b"\a"

    def _send(self, line: bytes) -> bytes:
        well_formed = FRAME.fullmatch(line) or (self.data_bitrate and FD_FRAME.fullmatch(line))
        if not well_formed or not self.is_open or self.listen_only or self.refuses_frames:
            return self._done(False)
        self.frames.append(line)
        self.wire.carry(self, line)
        if not self._acknowledges:
            return b""
        return b"Z\r" if line[:1].isupper() else b"z\r"

    def close(self, _: bytes) -> bytes:
        was_open, self.is_open = self.is_open, False
        return self._done(was_open)

    def version(self, _: bytes) -> bytes:
        return self._version + b"\r"

    def serial_number(self, _: bytes) -> bytes:
        return b"NA123\r"

    def set_bitrate(self, code: bytes) -> bytes:
        if self.is_open or not re.fullmatch(rb"[0-8]", code):
            return self._done(False)
        self.bitrate = b"S" + code
        return self._done()

    def set_registers(self, registers: bytes) -> bytes:
        if self.is_open or not re.fullmatch(rb"[0-9A-F]{4}", registers):
            return self._done(False)
        self.bitrate = b"s" + registers
        return self._done()

    def set_data_bitrate(self, code: bytes) -> bytes:
        if self.is_open or code not in (b"2", b"5"):
            return self._done(False)
        self.data_bitrate = b"Y" + code
        return self._done()

    def set_stamps(self, code: bytes) -> bytes:
        if self.is_open or code not in (b"0", b"1"):
            return self._done(False)
        self.stamps = code == b"1"
        return self._done()

    def set_auto_poll(self, code: bytes) -> bytes:
        if self.is_open or code not in (b"0", b"1"):
            return self._done(False)
        self.auto_poll = code == b"1"
        return self._done()

    def open(self, _: bytes) -> bytes:
        return self._start(listen_only=False)

    def open_listening(self, _: bytes) -> bytes:
        return self._start(listen_only=True)

    def _start(self, listen_only: bool) -> bytes:
        if self.is_open or not self.bitrate:
            return self._done(False)
        self.is_open, self.listen_only = True, listen_only
        return self._done()

    def tell_status(self, _: bytes) -> bytes:
        if not self.is_open:
            return self._done(False)
        return b"F%02X\r" % self.status


class Canable(SlcanAdapter):
    """Firmware that answers its version only, and checks no line: what a line lacks is left of those before.

    So an empty line is the one before once more, as in the CANable's firmware.
    """

    def __init__(self, wire: Wire | None = None) -> None:
        self._line = b""
        super().__init__(wire, knows="CVSYO", acknowledges=False, unknown=b"", version=CANABLE_VERSION)

    def plug_in(self) -> None:
        super().plug_in()
        self._line = b""

    def _answer(self, line: bytes) -> bytes:
        self._line = line + self._line[len(line) :]
        dlc = {b"t": 4, b"r": 4, b"T": 9, b"R": 9}.get(self._line[:1])
        if dlc is None:
            return super()._answer(self._line[: max(1, len(line))])
        if self.is_open and self._line[dlc : dlc + 1] in b"012345678":
            self.frames.append(self._line[: dlc + 1 + 2 * int(self._line[dlc : dlc + 1] or b"0")])
        return b""
