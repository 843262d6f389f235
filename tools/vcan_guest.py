"""The inside of vcan-kernel's guest: its first process, and the packets that it and the host exchange.

Run as the init of a User-Mode Linux kernel, this mounts what a system needs, loads the CAN modules,
brings up the interfaces, runs one command, and switches the kernel off. The line to the host is the
first serial line. On it go packets, so that the command's standard input, its two outputs, signals
and its exit status each arrive as what they are. It must not know how the kernel was started.
"""

from __future__ import annotations

import ctypes
import enum
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MODULES = Path("/usr/lib/uml/modules")  #: where Debian's package has them, by the kernel's release
CAN_MODULES = (  # in the order of their dependencies
    "net/can/can",
    "drivers/net/can/dev/can-dev",
    "net/can/can-raw",
    "net/can/can-bcm",
    "net/can/can-gw",
    "drivers/net/can/vcan",
    "drivers/net/can/vxcan",
    "drivers/net/can/slcan/slcan",
)
INTERFACES = ("vcan0", "vcan1")
SET_UP_INTERFACES = "printf '%s\\n' {} | ip -batch -".format(  # mtu 72: classic CAN and CAN FD
    " ".join(
        f"'{line}'"
        for line in [
            "link set lo up",
            *(f"link add dev {name} type vcan" for name in INTERFACES),
            *(f"link set dev {name} mtu 72 up" for name in INTERFACES),
        ]
    )
)
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  #: where ip and insmod are; not in every user's PATH

CHUNK = 16 * 1024  #: one read, hence the longest content of a packet
GRACE = 2.0  #: seconds for what the command has left running to end
INPUT_LIMIT = 2048  #: bytes of one packet of input; the line loses what comes while it holds 4 KiB

STATUS_NOT_EXECUTABLE = 126  # as a shell has them
STATUS_NOT_FOUND = 127
STATUS_SIGNAL = 128

_PREFIX = struct.Struct("!BI")


class Packet(enum.IntEnum):
    """What goes over the line."""

    READY = 0  #: guest: the command starts
    INPUT = 1  #: host: bytes for its standard input; none: the end of it
    TAKEN = 2  #: guest: it has taken all of the last INPUT, the next may come
    OUTPUT = 3  #: guest: bytes of its standard output
    ERRORS = 4  #: guest: bytes of its standard error
    SIGNAL = 5  #: host: the number of a signal for its process group
    WINDOW = 6  #: host: the terminal's size, as the kernel has it (struct winsize)
    STATUS = 7  #: guest: its exit status; everything is on the disk, nothing comes after this


def packet(kind: Packet, content: bytes = b"") -> bytes:
    """One packet as bytes."""
    return _PREFIX.pack(kind, len(content)) + content


class PacketDecoder:
    """Packets from the bytes of the line."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Packet, bytes]]:
        """The packets that are complete with these bytes."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            kind, length = _PREFIX.unpack_from(self._buffer)
            end = _PREFIX.size + length
            if len(self._buffer) < end:
                return
            content = bytes(self._buffer[_PREFIX.size : end])
            del self._buffer[:end]
            yield Packet(kind), content


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however long that takes."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def read_some(descriptor: int) -> bytes | None:
    """The next bytes, b"" at the end, None if there are none now."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None
    except OSError:  # a terminal whose other end is gone
        return b""


class Command:
    """The command, and the ends of its input and outputs."""

    def __init__(self, arguments: list[str], environment: dict[str, str], window: bytes | None) -> None:
        """Start it, on a terminal of that window's size or, without one, on pipes."""
        self.outputs: dict[int, Packet] = {}
        self._waiting = bytearray()  # of its input
        self._terminal = window is not None
        if window is not None:
            terminal, end = os.openpty()
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, window)
            ends = (end, end, end)
            self.outputs[terminal] = Packet.OUTPUT
            self.input = terminal
        else:
            (stdin, self.input), (output, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
            ends = (stdin, stdout, stderr)
            self.outputs = {output: Packet.OUTPUT, errors: Packet.ERRORS}
        os.set_blocking(self.input, False)
        self._process = subprocess.Popen(
            arguments,
            env=environment,
            stdin=ends[0],
            stdout=ends[1],
            stderr=ends[2],
            start_new_session=not self._terminal,
            preexec_fn=(lambda: os.login_tty(0)) if self._terminal else None,
        )
        for descriptor in set(ends):
            os.close(descriptor)
        self.ended = os.pidfd_open(self._process.pid)  #: readable at its end

    @property
    def hungry(self) -> bool:
        """Whether there is input for it."""
        return bool(self._waiting)

    def take(self, kind: Packet, content: bytes) -> None:
        """What the host has for it."""
        match kind:
            case Packet.INPUT if content:
                self._waiting += content
            case Packet.INPUT if not self._terminal:  # a terminal has no end; who loses it gets a signal
                os.close(self.input)
            case Packet.SIGNAL if self._process.poll() is None:
                os.killpg(self._process.pid, content[0])
            case Packet.WINDOW if self._terminal:
                fcntl.ioctl(self.input, termios.TIOCSWINSZ, content)

    def feed(self) -> None:
        """Hand it as much as it takes now."""
        try:
            taken = os.write(self.input, self._waiting)
        except BlockingIOError:
            taken = 0
        except OSError:  # it reads no more
            taken = len(self._waiting)
        del self._waiting[:taken]

    def status(self) -> int:
        """Its exit status, as a shell has it."""
        status = self._process.wait()
        return status if status >= 0 else STATUS_SIGNAL - status


class Line:
    """The host's ear."""

    def __init__(self) -> None:
        self.descriptor = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.descriptor)
        self._decoder = PacketDecoder()

    def send(self, kind: Packet, content: bytes = b"") -> None:
        """Send one packet."""
        write_all(self.descriptor, packet(kind, content))

    def receive(self) -> Iterator[tuple[Packet, bytes]]:
        """What has come."""
        return self._decoder.feed(os.read(self.descriptor, CHUNK))

    def drain(self) -> None:
        """Wait until the host has everything."""
        termios.tcdrain(self.descriptor)


def make_system() -> None:
    """Mount, load and bring up what a command expects."""
    for kind, folder in (
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("devpts", "/dev/pts"),
        ("tmpfs", "/dev/shm"),
    ):
        Path(folder).mkdir(exist_ok=True)
        if not os.path.ismount(folder):  # the kernel itself may have mounted /dev
            subprocess.run(["mount", "-t", kind, kind, folder], check=True)
    modules = MODULES / os.uname().release / "kernel"
    for name in CAN_MODULES:
        subprocess.run(["insmod", *modules.glob(f"{name}.ko*")], check=True)
    subprocess.run(["sh", "-c", SET_UP_INTERFACES], check=True)


def relay(line: Line, command: Command) -> None:
    """Carry everything between the line and the command until that has ended."""
    running = True
    while running or command.outputs:
        watched = [*command.outputs, line.descriptor, *([command.ended] if running else [])]
        # What a command leaves behind may hold its outputs open for ever: take what is there, and no more.
        readable, writable, _ = select.select(
            watched, [command.input] if command.hungry and running else [], [], None if running else 0
        )
        outputs = [descriptor for descriptor in readable if descriptor in command.outputs]
        if not running and not outputs:
            return
        for descriptor in outputs:
            data = read_some(descriptor)
            if data:
                line.send(command.outputs[descriptor], data)
            elif data is not None:
                del command.outputs[descriptor]
        if writable:
            command.feed()
            if not command.hungry:
                line.send(Packet.TAKEN)
        if line.descriptor in readable:
            for kind, content in line.receive():
                command.take(kind, content)
        running = running and command.ended not in readable


def end_others() -> None:
    """Let what the command has left running end by itself; it may have files of the caller's to remove."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)  # all but this process, which is init
    deadline = time.monotonic() + GRACE
    with suppress(ChildProcessError):  # there is none any more
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def run(box: Path) -> None:
    """Make the system, run the command that the box names, tell its exit status."""
    settings = json.loads((box / "settings").read_text())
    window = settings["window"]
    make_system()
    line = Line()
    line.send(Packet.READY)
    try:
        os.chdir(settings["folder"])
        command = Command(settings["command"], settings["environment"], None if window is None else bytes(window))
    except OSError as error:
        line.send(Packet.ERRORS, f"vcan-kernel: {settings['command'][0]}: {error.strerror}\n".encode())
        status = STATUS_NOT_FOUND if isinstance(error, FileNotFoundError) else STATUS_NOT_EXECUTABLE
    else:
        relay(line, command)
        status = command.status()
    end_others()
    os.sync()  # until then the guest's own memory has what was written
    line.send(Packet.STATUS, bytes([status]))
    line.drain()


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()  # to the console, which the host shows
    ctypes.CDLL(None).reboot(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF; an init that returns is a panic
