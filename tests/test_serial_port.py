from __future__ import annotations

import os
import termios

import pytest
import serial

from bridge.serial_port import open_serial_port
from tests.descriptors import descriptors


@pytest.fixture
def terminal():
    """A pseudo-terminal: the other end's descriptor, and its path."""
    master, slave = os.openpty()
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_silence_is_not_the_end_of_the_line() -> None:
    master, slave = os.openpty()
    with open_serial_port(os.ttyname(slave), 115200) as port:
        os.close(slave)
        with pytest.raises(BlockingIOError):
            os.read(port.fileno(), 1)
        os.close(master)
        assert os.read(port.fileno(), 1) == b""


def test_bytes_go_through_as_they_are(terminal) -> None:
    master, path = terminal
    everything = bytes(range(256))
    with open_serial_port(path, 115200) as port:
        assert os.write(port.fileno(), everything) == os.write(master, everything) == 256
        assert os.read(port.fileno(), 1000) == os.read(master, 1000) == everything


def test_one_program_at_a_time(terminal) -> None:
    _, path = terminal
    with open_serial_port(path, 9600) as port:
        with pytest.raises(serial.SerialException):
            open_serial_port(path, 115200)
        assert termios.tcgetattr(port.fileno())[4] == termios.B9600
    open_serial_port(path, 115200).close()


def test_what_fails_leaves_nothing_open(tmp_path) -> None:
    files = descriptors()
    for path in (tmp_path, tmp_path / "nothing", "/dev/null"):
        with pytest.raises(OSError):
            open_serial_port(str(path), 115200)
    assert descriptors() == files
