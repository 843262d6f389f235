"""What is particular to one kind of listener: addresses, files, permissions, terminals, cables."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from pathlib import Path

import pytest
import serial

from bridge.clients.listener import ClientPlaces, ListenError
from bridge.clients.pty import PtyListener
from bridge.clients.serial import SerialListener
from bridge.clients.tcp import TcpListener
from bridge.clients.unix import UnixListener
from bridge.errors import ConfigurationError
from bridge.limits import LOG_ONCE_PERIOD

SOON = 20.0


class Echo:
    """Answers each piece of data with the same bytes."""

    def __init__(self) -> None:
        self.clients = []
        self.changed = asyncio.Event()

    def client_connected(self, client) -> None:
        self.clients.append(client)
        self.changed.set()

    def client_data(self, client, data) -> None:
        client.send_response(data)

    def client_gone(self, client) -> None:
        self.clients.remove(client)
        self.changed.set()

    async def until(self, count) -> None:
        async with asyncio.timeout(SOON):
            while len(self.clients) != count:
                self.changed.clear()
                await self.changed.wait()


async def refusal(listener) -> str:
    with pytest.raises(ListenError) as error:
        await listener.open(Echo())
    await listener.close()
    text = str(error.value)
    assert isinstance(error.value, ConfigurationError)
    assert text.startswith(listener.url)
    assert "\n" not in text
    return text


# How many.


def test_refusals_are_logged_once_a_second(caplog, clock):
    places = ClientPlaces(limit=2, clock=clock)
    assert places.take("a")
    assert places.take("b")
    for _ in range(10):
        assert not places.take("c")
    assert len(caplog.records) == 1
    clock.advance(LOG_ONCE_PERIOD)
    assert not places.take("d")
    assert len(caplog.records) == 2
    assert "(9 more of the kind before)" in caplog.text
    assert places.refused == 11
    places.give_back()
    assert places.take("e")


# TCP


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]")])
async def test_tcp_addresses(host, shown):
    if host == "::1" and not ipv6():
        pytest.skip("no IPv6 on this machine")
    echo = Echo()
    listener = TcpListener(host, 0)
    await listener.open(echo)
    port = int(listener.url.removeprefix(f"tcp://{shown}:"))
    assert port > 0
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), SOON) == b"hello"
    writer.close()
    await writer.wait_closed()
    await echo.until(0)
    await listener.close()


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_tcp_sends_small_writes_at_once_and_notices_dead_peers():
    listener = TcpListener("127.0.0.1", 0)
    made = []
    admit = listener.admit

    def spy(transport):
        client = admit(transport)
        made.append(transport.get_extra_info("socket"))
        return client

    listener.admit = spy
    echo = Echo()
    await listener.open(echo)
    _, writer = await asyncio.open_connection("127.0.0.1", int(listener.url.rpartition(":")[2]))
    await echo.until(1)
    assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, interval, count = (
        made[0].getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + interval * count <= 60
    writer.close()
    await writer.wait_closed()
    await listener.close()


async def test_tcp_serves_strangers_only_if_the_user_insists():
    text = await refusal(TcpListener("0.0.0.0", 0))
    assert "tcp://0.0.0.0:0?insecure" in text
    listener = TcpListener("0.0.0.0", 0, insecure=True)
    await listener.open(Echo())
    await listener.close()


@pytest.mark.parametrize(
    ("host", "complaint"), [("192.0.2.1", "no address of this machine"), ("no-such-host.invalid", "is not known")]
)
async def test_tcp_hosts_that_cannot_be(host, complaint):
    assert complaint in await refusal(TcpListener(host, 50001, insecure=True))


def test_a_resolver_that_takes_for_ever_does_not_delay_the_end(monkeypatch):
    """As one whose server does not answer; the loop's own threads would be waited for."""
    answered = threading.Event()

    def look_up(*_, flags, **__):
        if not flags & socket.AI_NUMERICHOST:
            answered.wait(SOON)
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    async def open_for_a_moment():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await TcpListener("somewhere", 0).open(Echo())

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    began = time.monotonic()
    asyncio.run(open_for_a_moment())
    assert time.monotonic() - began < SOON / 2
    answered.set()


async def test_a_tcp_app_that_closes_its_half_without_reading_is_gone():
    echo = Echo()
    listener = TcpListener("127.0.0.1", 0)
    await listener.open(echo)
    _, writer = await asyncio.open_connection("127.0.0.1", int(listener.url.rpartition(":")[2]), limit=1)
    await echo.until(1)
    for _ in range(100):
        echo.clients[0].send_data(b"x" * 100_000, 1)
    writer.write_eof()
    await echo.until(0)
    writer.transport.abort()
    await listener.close()


# Unix


async def test_a_unix_socket_is_the_users_own_and_a_given_mode_is_kept(tmp_path):
    for options, mode in (({}, 0o600), ({"mode": 0o660}, 0o660)):
        listener = UnixListener(str(tmp_path / "s"), **options)
        await listener.open(Echo())
        assert (tmp_path / "s").stat().st_mode & 0o777 == mode
        await listener.close()
        assert list(tmp_path.iterdir()) == []


async def test_a_unix_socket_goes_with_whoever_is_cancelled_while_opening_it(tmp_path):
    """Ctrl-C in the first moments."""
    listener = UnixListener(str(tmp_path / "s"))
    opening = asyncio.ensure_future(listener.open(Echo()))
    await asyncio.sleep(0)
    assert not opening.done()
    opening.cancel()
    await asyncio.wait((opening,))
    await listener.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_unix_socket_that_nobody_answers_is_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    listener = UnixListener(str(tmp_path / "s"))
    await listener.open(Echo())
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), SOON) == b"hello"
    writer.close()
    await writer.wait_closed()
    await listener.close()


async def test_a_unix_socket_of_another_program_stays(tmp_path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        assert "in use" in await refusal(UnixListener(str(tmp_path / "s")))
        assert (tmp_path / "s").is_socket()


async def test_a_file_that_is_no_socket_stays(tmp_path):
    (tmp_path / "s").write_text("precious")
    assert "stays as it is" in await refusal(UnixListener(str(tmp_path / "s")))
    assert (tmp_path / "s").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


async def test_a_unix_path_that_cannot_be(tmp_path):
    assert "cannot be made" in await refusal(UnixListener(str(tmp_path / "missing" / "s")))
    assert "too long" in await refusal(UnixListener(str(tmp_path / ("x" * 108))))


@pytest.mark.parametrize("kind", [UnixListener, PtyListener])
@pytest.mark.parametrize("method", ["unlink", "lstat"])
async def test_a_folder_that_nothing_can_be_removed_from_any_more_keeps_no_app_connected(
    tmp_path, monkeypatch, caplog, kind, method
):
    listener, echo = kind(str(tmp_path / "s")), Echo()
    await listener.open(echo)
    if kind is UnixListener:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        await echo.until(1)

    def refuse(*_, **__):
        raise PermissionError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, refuse)
        await listener.close()
    if kind is UnixListener:
        assert await reader.read() == b""
        writer.close()
    assert echo.clients == []
    if method == "unlink":
        assert f"{tmp_path}/s stays behind: Read-only file system" in caplog.text


async def test_a_unix_socket_that_became_anothers_is_not_removed(tmp_path):
    listener = UnixListener(str(tmp_path / "s"))
    await listener.open(Echo())
    (tmp_path / "s").unlink()
    (tmp_path / "s").write_text("somebody else's")
    await listener.close()
    assert (tmp_path / "s").exists()


# Pseudo-terminals


@pytest.fixture
async def terminal(tmp_path):
    echo = Echo()
    listener = PtyListener(str(tmp_path / "vehicle"))
    await listener.open(echo)
    yield tmp_path / "vehicle", echo
    await listener.close()
    assert list(tmp_path.iterdir()) == []


def open_terminal(link) -> int:
    return os.open(link, os.O_RDWR | os.O_NOCTTY)


async def test_nobody_is_a_client_while_nobody_has_the_terminal_open(terminal):
    link, echo = terminal
    assert link.is_symlink()
    await asyncio.sleep(0)
    assert echo.clients == []


async def test_a_terminal_is_raw_and_does_not_echo(terminal):
    link, echo = terminal
    for _ in range(2):
        fd = open_terminal(link)
        await echo.until(1)
        local_flags = termios.tcgetattr(fd)[3]
        assert not local_flags & (termios.ECHO | termios.ICANON | termios.ISIG)
        # What an app changes is set right for the next.
        termios.tcsetattr(fd, termios.TCSANOW, cooked(fd))
        os.close(fd)
        await echo.until(0)


def cooked(fd):
    settings = termios.tcgetattr(fd)
    settings[3] |= termios.ECHO | termios.ICANON
    return settings


async def test_the_next_app_does_not_read_what_the_last_one_left(terminal):
    link, echo = terminal
    for _ in range(3):
        fd = open_terminal(link)
        await echo.until(1)
        assert select.select([fd], [], [], 0)[0] == []
        echo.clients[0].send_data(b"for the last one", 1)
        select.select([fd], [], [], SOON)
        os.close(fd)
        await echo.until(0)


async def test_an_app_may_write_and_leave_at_once(tmp_path):
    heard = asyncio.get_running_loop().create_future()
    echo = Echo()
    echo.client_data = lambda client, data: heard.set_result(data)
    listener = PtyListener(str(tmp_path / "vehicle"))
    await listener.open(echo)
    fd = open_terminal(tmp_path / "vehicle")
    os.write(fd, b"command")
    os.close(fd)
    assert await asyncio.wait_for(heard, SOON) == b"command"
    await echo.until(0)
    await listener.close()


async def test_pyserial_opens_it_as_openxc_apps_do_again_and_again(terminal):
    link, echo = terminal

    def app(number: int) -> bytes:
        with serial.Serial(str(link), 230400, rtscts=True, timeout=SOON) as port:
            port.write(b"%04d" % number)
            return port.read(4)

    for number in range(10):
        assert await asyncio.to_thread(app, number) == b"%04d" % number
        await echo.until(0)


async def test_cat_reads_it(terminal):
    link, echo = terminal
    cat = await asyncio.create_subprocess_exec("cat", str(link), stdout=subprocess.PIPE)
    await echo.until(1)
    echo.clients[0].send_data(b"record\0", 1)
    assert await asyncio.wait_for(cat.stdout.readexactly(7), SOON) == b"record\0"
    cat.terminate()
    await cat.communicate()
    await echo.until(0)


async def test_an_app_that_is_cut_off_learns_it_and_may_come_back(terminal):
    link, echo = terminal
    fd = open_terminal(link)
    await echo.until(1)
    first = echo.clients[0]
    first.abort()
    await echo.until(0)
    with pytest.raises(OSError):
        os.write(fd, b"x")
    os.close(fd)
    fd = open_terminal(link)
    await echo.until(1)
    assert echo.clients[0] is not first
    os.close(fd)
    await echo.until(0)


@pytest.mark.parametrize("make", ["file", "directory", "link"])
async def test_what_is_not_ours_stays(tmp_path, make):
    link = tmp_path / "vehicle"
    if make == "file":
        link.write_text("precious")
    elif make == "directory":
        link.mkdir()
    else:
        link.symlink_to("/dev/ttyUSB0")
    assert "stays as it is" in await refusal(PtyListener(str(link)))
    assert list(tmp_path.iterdir()) == [link]


async def test_a_link_that_cannot_be(tmp_path):
    assert "cannot be made" in await refusal(PtyListener(str(tmp_path / "missing" / "vehicle")))


async def test_a_link_that_became_anothers_is_not_removed(tmp_path):
    link = tmp_path / "vehicle"
    listener = PtyListener(str(link))
    await listener.open(Echo())
    link.unlink()
    link.symlink_to("/dev/null")
    await listener.close()
    assert link.is_symlink()


KILLED = """
import asyncio, sys
from bridge.clients.pty import PtyListener
from bridge.clients.unix import UnixListener

async def main():
    await PtyListener(sys.argv[1]).open(None)
    await UnixListener(sys.argv[2]).open(None)
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_bridge_left_is_replaced(tmp_path):
    paths = [str(tmp_path / "vehicle"), str(tmp_path / "socket")]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, *paths, stdout=subprocess.PIPE)
    assert await asyncio.wait_for(process.stdout.readline(), SOON) == b"open\n"
    listeners = [PtyListener(paths[0]), UnixListener(paths[1])]
    for listener in listeners:
        assert "in use" in await refusal(listener)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert len(list(tmp_path.iterdir())) == 4
    for listener in listeners:
        await listener.open(Echo())
    for listener in listeners:
        await listener.close()
    assert list(tmp_path.iterdir()) == []


# Serial ports


def cable(device: Path) -> int:
    """Put one end of a cable at `device`, and return the other end."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    device.unlink(missing_ok=True)
    device.symlink_to(os.ttyname(slave))
    os.close(slave)
    return master


async def test_a_serial_port_has_one_client_as_long_as_it_is_there(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    device = tmp_path / "ttyUSB0"
    echo = Echo()
    master = cable(device)
    listener = SerialListener(str(device), 115200, reopen_delay=0.001)
    await listener.open(echo)
    assert listener.url == f"serial:{device}@115200"
    seen = set()
    for _ in range(5):
        await echo.until(1)
        seen.add(echo.clients[0].id)
        device.unlink()
        os.close(master)
        await echo.until(0)
        master = cable(device)
    await echo.until(1)
    assert len(seen) == 5
    assert caplog.text.count("has gone") == caplog.text.count("is back") == 5
    await listener.close()
    os.close(master)


async def test_a_serial_port_that_is_gone_is_looked_for_until_the_listener_closes(tmp_path):
    device = tmp_path / "ttyUSB0"
    master = cable(device)
    echo = Echo()
    listener = SerialListener(str(device), reopen_delay=0.001)
    await listener.open(echo)
    device.unlink()
    os.close(master)
    await echo.until(0)
    await asyncio.sleep(0)
    await listener.close()
    master = cable(device)
    assert listener.clients == ()
    os.close(master)


async def test_serial_devices_that_cannot_be(tmp_path):
    assert "is not there" in await refusal(SerialListener(str(tmp_path / "ttyUSB0")))
    (tmp_path / "file").write_text("no terminal")
    assert "cannot be opened as a serial port" in await refusal(SerialListener(str(tmp_path / "file")))


async def test_a_serial_device_without_permission(tmp_path, monkeypatch):
    def refused(*args, **options):
        raise serial.SerialException(13, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", refused)
    assert "dialout" in await refusal(SerialListener("/dev/ttyUSB0"))


async def test_a_client_that_is_closed_while_it_lags_gets_the_rest_and_goes_once(tmp_path):
    """asyncio must not be told to close from within its own resuming: it would lose the connection twice."""
    troubles = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    for _ in range(20):
        handler, listener = Echo(), UnixListener(str(tmp_path / "socket"))
        await listener.open(handler)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"), limit=1 << 22)
        await handler.until(1)
        client = handler.clients[0]
        sent = 0
        while not client.backlogged:
            client.send_data(b"x" * 50_000, 1)
            sent += 50_000
        client.close()
        assert len(await asyncio.wait_for(reader.read(), SOON)) == sent
        await handler.until(0)
        writer.close()
        await listener.close()
    assert troubles == []
