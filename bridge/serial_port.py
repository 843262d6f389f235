"""A serial port, opened the one way in which the bridge uses them: exclusively, raw, never blocking.

Must not know what is at the other end of the cable.
"""

from __future__ import annotations

import termios

import serial


def open_serial_port(device: str, baudrate: int, *, rtscts: bool = False) -> serial.Serial:
    """Open a port. Another program's exclusive use of it is found before anything is changed.

    Reading its descriptor gives b"" only where the line is gone, and BlockingIOError where it is
    merely silent.

    Raises:
        OSError, ValueError, termios.error: as pyserial and the system say it; nothing is left open.
    """
    port = serial.Serial(device, baudrate, timeout=0, rtscts=rtscts, exclusive=True)
    try:
        # pyserial's VMIN of 0 makes silence and a hang-up look the same.
        settings = termios.tcgetattr(port.fileno())
        settings[6][termios.VMIN] = 1
        termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    except BaseException:
        port.close()
        raise
    return port
