"""A serial port on the event loop."""

from __future__ import annotations

import asyncio
import os

from bridge.buses.serial_line import SerialLine
from bridge.serial_port import open_serial_port

PATIENCE = 20.0  #: seconds; no test waits so long when all is well
PIECE = 4095  #: what a terminal gives at once


async def test_what_a_terminal_gives_in_pieces_is_taken_in_one_turn(monkeypatch) -> None:
    master, slave = os.openpty()
    line = SerialLine(open_serial_port(os.ttyname(slave), 115200))
    waiting = [bytes(PIECE), bytes(PIECE), bytes(10)]

    def read(fd: int, size: int) -> bytes:
        if not waiting:
            raise BlockingIOError
        return waiting.pop(0)

    monkeypatch.setattr("bridge.buses.serial_line.os.read", read)
    taken: list[int] = []
    done = asyncio.Event()

    def received(data: bytes) -> None:
        if not taken:
            asyncio.get_running_loop().call_soon(done.set)  # this turn's end
        taken.append(len(data))

    line.received = received
    line.start()
    os.write(master, b"x")
    try:
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        assert taken == [PIECE, PIECE, 10]
    finally:
        line.close()
        os.close(master)
        os.close(slave)
