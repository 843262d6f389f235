"""How the daemon starts, ends and fails."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.openxc.messages import SimpleMessage

from .harness import PROJECT, SOON, Daemon, connect, counted

READ_AT_ONCE = 65536


def run_once(*arguments):
    """`openxc-bridge run` that is expected to fail: status and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "run", *map(str, arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def open_terminal(link):
    """Open a pseudo-terminal as a serial port: raw, and not as a controlling terminal."""
    return os.open(link, os.O_RDWR | os.O_NOCTTY)


def read_terminal(terminal, wanted):
    """Read until these bytes have come."""
    data = b""
    deadline = time.monotonic() + SOON
    while wanted not in data:
        assert time.monotonic() < deadline
        data += os.read(terminal, READ_AT_ONCE)
    return data


# Start


async def test_data_flows_soon_after_the_start(start, join):
    """Within a second, says the README; how long the computer takes for it is another matter."""
    daemon = start()
    app = await join(daemon.url)
    assert isinstance(await app.record(), SimpleMessage)
    assert time.monotonic() - daemon.began < 5


def test_what_is_printed(start, tmp_path):
    daemon = start("--listen", "tcp://127.0.0.1:0", "--listen", f"pty:{tmp_path}/vi", "--listen", f"unix:{tmp_path}/s")
    host, port = re.search(r"^try: nc (\S+) (\d+) \| tr '\\0' '\\n'$", daemon.printed, re.MULTILINE).groups()
    assert daemon.urls == [f"tcp://{host}:{port}", f"pty:{tmp_path}/vi", f"unix:{tmp_path}/s"]
    assert daemon.printed.count("may write: all") == 3
    assert "bus 1: simulated" in daemon.printed
    assert str((tmp_path / "vi").readlink()) in daemon.printed
    assert daemon.errors == ""


def test_an_app_on_the_pseudo_terminal(start, tmp_path):
    start("--listen", f"pty:{tmp_path}/vi")
    terminal = open_terminal(tmp_path / "vi")
    try:
        assert not termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON)
        os.write(terminal, b'{"command":"version"}\0')
        read_terminal(terminal, b'"command_response":"version"')
        read_terminal(terminal, b'{"name":"vehicle_speed"')
    finally:
        os.close(terminal)


# End


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_within_two_seconds_whatever_the_apps_do(start, join, tmp_path, number):
    """Fifty apps, of which half do not read what a recording at full speed says to them, one on the terminal."""
    recording = counted(tmp_path, 5000)
    link, path = tmp_path / "vi", tmp_path / "socket"
    daemon = start(
        "--profile", recording.profile, "--bus", f"replay:{recording.log}?speed=max&loop",
        "--listen", "tcp://127.0.0.1:0", "--listen", f"pty:{link}", "--listen", f"unix:{path}",
    )  # fmt: skip
    stuck = [connect(daemon.urls[0 if number % 2 else 2]) for number in range(25)]
    terminal = open_terminal(link)
    apps = [await join(daemon.urls[0 if number % 2 else 2]) for number in range(24)]
    reading = [asyncio.create_task(app.to_the_end()) for app in apps[:12]]
    for app in apps[12:]:
        await app.read()
    status, seconds = await asyncio.to_thread(daemon.end, number)
    assert status == 0
    assert seconds < 2
    assert "Traceback" not in daemon.errors
    assert not link.is_symlink() and not path.exists()
    assert not list(tmp_path.glob(".*"))  # no lock, nothing temporary
    await asyncio.gather(*reading)
    os.close(terminal)
    for sock in stuck:
        sock.close()


async def test_apps_that_read_get_all_that_was_said_before_the_end(start, join):
    daemon = start()
    app = await join(daemon.url)
    await app.records(20)
    end = asyncio.create_task(asyncio.to_thread(daemon.end))
    await app.to_the_end()
    status, _ = await end
    assert status == 0
    assert app.decoder.invalid == 0
    assert app.decoder.buffered == 0  # no half record


def test_a_second_signal_while_it_ends_does_no_harm(start, tmp_path):
    """It waits a moment for an app that does not read: time enough for an impatient user."""
    recording = counted(tmp_path, 5000)
    path = tmp_path / "socket"
    bus = f"replay:{recording.log}?speed=max&wait&loop"
    daemon = start("--profile", recording.profile, "--bus", bus, "--listen", f"unix:{path}")
    with connect(daemon.url) as stuck, connect(daemon.url) as reader:
        while "does not read fast enough" not in daemon.errors:
            assert reader.recv(READ_AT_ONCE)
        daemon.process.send_signal(signal.SIGTERM)
        while path.exists():
            pass
        status, seconds = daemon.end(signal.SIGINT)
        assert stuck.recv(1)
    assert status == 0
    assert seconds < 2
    assert "Traceback" not in daemon.errors


@pytest.mark.parametrize("interface", ["python-can", "slcan"])
async def test_an_adapter_that_takes_for_ever_to_open_does_not_delay_the_end(tmp_path, interface):
    """A serial adapter that python-can waits for, and one that does not answer."""
    master, slave = os.openpty()
    tty.setraw(slave)
    port = socket.create_server(("127.0.0.1", 0))
    path = tmp_path / "socket"
    spec = f"slcan:{os.ttyname(slave)}@500000"
    if interface == "python-can":
        spec = f"slcan:socket://127.0.0.1:{port.getsockname()[1]}?sleep_after_open=60"
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "bridge", "run", "--listen", f"unix:{path}", "--bus", spec],
        cwd=PROJECT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SOON):
            while not path.is_socket():  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, SOON) == 0
        assert time.monotonic() - began < 2
        assert not path.exists()
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
        port.close()


async def test_an_app_that_closes_its_half_gets_its_answer(start):
    """As `printf ... | nc -N` does."""
    sock = connect(start("--profile", "functional").url)
    sock.sendall(b'{"command":"version"}\0')
    sock.shutdown(socket.SHUT_WR)
    data = b""
    while piece := sock.recv(READ_AT_ONCE):
        data += piece
    sock.close()
    assert b'"command_response":"version"' in data


async def test_everybody_s_network_where_the_user_insists(start, join):
    daemon = start("--listen", "tcp://0.0.0.0:0?insecure")
    assert (await (await join(daemon.url.replace("0.0.0.0", "127.0.0.1"))).ask("version")).status


# Two bridges, and one that was killed


async def test_a_second_bridge_in_the_same_place_says_so_and_the_first_is_unharmed(start, join, tmp_path):
    daemon = start("--listen", "tcp://127.0.0.1:0", "--listen", f"pty:{tmp_path}/vi", "--listen", f"unix:{tmp_path}/s")
    app = await join(daemon.url)
    target = (tmp_path / "vi").readlink()
    for url in daemon.urls:
        status, errors = await asyncio.to_thread(run_once, "--listen", url)
        assert status == 1
        assert re.fullmatch(r"openxc-bridge: .* is in use; .*\n", errors)
        assert url in errors
    assert (await app.ask("version")).status
    assert (tmp_path / "vi").readlink() == target
    assert (await (await join(f"unix:{tmp_path}/s")).ask("version")).status
    terminal = open_terminal(tmp_path / "vi")
    read_terminal(terminal, b'{"name":')
    os.close(terminal)


async def test_one_that_fails_later_leaves_nothing_of_what_it_had_opened(tmp_path):
    status, errors = await asyncio.to_thread(
        run_once, "--bus", "replay:/nowhere.log", "--listen", f"pty:{tmp_path}/vi", "--listen", f"unix:{tmp_path}/s"
    )
    assert status == 1
    assert "/nowhere.log" in errors
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_bridge_left_is_replaced(start, join, tmp_path):
    listen = "--listen", f"pty:{tmp_path}/vi", "--listen", f"unix:{tmp_path}/s"
    killed = Daemon(tmp_path, *listen)
    killed.kill()
    assert (tmp_path / "vi").is_symlink() and (tmp_path / "s").is_socket()
    daemon = start(*listen)
    assert (await (await join(daemon.urls[1])).ask("version")).status
    terminal = open_terminal(tmp_path / "vi")
    read_terminal(terminal, b'{"name":')
    os.close(terminal)
    assert daemon.end()[0] == 0
    assert not list(tmp_path.glob("vi")) and not list(tmp_path.glob("s"))


async def test_the_port_of_a_killed_bridge_is_free_at_once(start, join, tmp_path):
    killed = Daemon(tmp_path, "--listen", "tcp://127.0.0.1:0")
    app = await join(killed.url)
    assert (await app.ask("version")).status
    killed.kill()
    daemon = start("--listen", killed.url)
    assert (await (await join(daemon.url)).ask("version")).status


# What the user did wrong

MISTAKES = {
    "no such profile": (["--profile", "dmeo"], ["dmeo", 'did you mean "demo"']),
    "no such profile's file": (["--profile", "/nowhere/car.json"], ["/nowhere/car.json"]),
    "a profile that is none": (["--profile", "{tmp}/text"], ["{tmp}/text"]),
    "no such database": (["--dbc", "/nowhere/car.dbc"], ["/nowhere/car.dbc"]),
    "a database that is none": (["--dbc", "{tmp}/bad.dbc"], ["{tmp}/bad.dbc"]),
    "no such configuration": (["-f", "/nowhere/bridge.toml"], ["/nowhere/bridge.toml", "-f"]),
    "a configuration that is no TOML": (["-f", "{tmp}/text"], ["{tmp}/text", "TOML"]),
    "a wrong key in it": (["-f", "{tmp}/key.toml"], ["{tmp}/key.toml", "lissten", 'did you mean "listen"']),
    "a wrong value in it": (["-f", "{tmp}/value.toml"], ["{tmp}/value.toml", "limits.clients"]),
    "no such recording": (["--bus", "replay:/nowhere.log"], ["/nowhere.log"]),
    "a recording that is none": (["--bus", "replay:{tmp}/text"], ["{tmp}/text"]),
    "a bus that is none": (["--bus", "nonsense"], ["nonsense"]),
    "an interface that is not there": (["--bus", "no_such_interface:0"], ["no_such_interface"]),
    "a channel that is not there": (["--bus", "socketcan:no_such_can"], ["socketcan"]),
    "an adapter that is not there": (["--bus", "slcan:/dev/no_such_adapter@500000"], ["/dev/no_such_adapter"]),
    "a bit rate that no slcan adapter has": (["--bus", "slcan:/dev/ttyACM0@33333"], ["33333", "500000", "btr"]),
    "an option that the recording has not": (["--bus", "replay:{tmp}/text?fast"], ["fast"]),
    "a listener that is none": (["--listen", "carrier-pigeon:1"], ["carrier-pigeon:1", "tcp://HOST:PORT"]),
    "a port out of range": (["--listen", "tcp://127.0.0.1:70000"], ["70000", "65535"]),
    "no port": (["--listen", "tcp://127.0.0.1"], ["tcp://127.0.0.1"]),
    "everybody's network": (["--listen", "tcp://0.0.0.0:0"], ["0.0.0.0", "insecure"]),
    "an unknown host": (["--listen", "tcp://no-such-host.invalid:1"], ["no-such-host.invalid"]),
    "an empty label in a host": (["--listen", "tcp://a..b:0"], ["a..b", "--listen"]),
    "a label that is too long": (["--listen", f"tcp://{'a' * 64}.b:0"], ["aaa.b", "--listen"]),
    "a host that is no text": (["--listen", "tcp://\udcff:0"], ["\\udcff", "--listen"]),
    "a port of many digits": (["--listen", f"tcp://127.0.0.1:{'9' * 5000}"], ["65535"]),
    "the root as a link": (["--listen", "pty:/"], ["pty:/", "choose another"]),
    "the root as a socket": (["--listen", "unix:/"], ["unix:/", "choose another"]),
    "a speed that no port has": (["--listen", "serial:/dev/null@4294967295"], ["4294967295", "@230400"]),
    "a speed of many digits": (["--listen", f"serial:/dev/null@{'9' * 5000}"], ["@230400"]),
    "a gateway's port of many digits": (["--gateway", f"127.0.0.1:{'9' * 5000}"], ["no port"]),
    "a gateway's host that is no text": (["--gateway", "\udcff:0"], [r"\udcff:0", "no HOST:PORT"]),
    "a gateway's host in colours": (["--gateway", "\x1b[31ma:0"], [r"\x1b[31ma:0", "no HOST:PORT"]),
    "no folder for a link": (["--listen", "pty:/nowhere/vi"], ["/nowhere/vi"]),
    "a link that is a file": (["--listen", "pty:{tmp}/text"], ["{tmp}/text"]),
    "a socket that is a file": (["--listen", "unix:{tmp}/text"], ["{tmp}/text"]),
    "the same place twice": (["--listen", "unix:{tmp}/s", "--listen", "unix:{tmp}/s"], ["{tmp}/s", "in use"]),
    "no such serial port": (["--listen", "serial:/dev/no_such_port@230400"], ["/dev/no_such_port"]),
    "an answerer for nobody": (["--ui", "auto"], ["--ui", "--gateway HOST:PORT"]),
    "writes of an unknown kind": (["--allow-write", "everything"], ["everything", "read-diagnostics"]),
    "writes of an unknown kind in a listener": (["--listen", "tcp://127.0.0.1:0?allow-write=some"], ["some"]),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_one_line(capfd, tmp_path, monkeypatch, arguments, named):
    for name in [name for name in os.environ if name.startswith(("OPENXC_", "CAN_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "text").write_text("just some text\n")
    (tmp_path / "bad.dbc").write_text("BO_ nonsense\n")
    (tmp_path / "key.toml").write_text('lissten = "tcp://127.0.0.1:0"\n')
    (tmp_path / "value.toml").write_text("[limits]\nclients = 0\n")
    words = [word.replace("{tmp}", str(tmp_path)) for word in arguments]
    if not {"--listen", "-f"} & set(words):
        words += ["--listen", "tcp://127.0.0.1:0"]
    assert main(["run", *words]) == 1
    printed, errors = capfd.readouterr()
    assert printed == ""
    assert re.fullmatch(r"openxc-bridge: [^\n]*\n", errors), errors
    for text in named:
        assert text.replace("{tmp}", str(tmp_path)) in errors


@pytest.mark.parametrize("kind", ["pty", "unix"])
def test_a_working_directory_that_is_gone(capfd, tmp_path, monkeypatch, kind):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["run", "--listen", f"{kind}:vi"]) == 1
    assert re.fullmatch(r"openxc-bridge: [^\n]* vi[^\n]* in full\n", capfd.readouterr().err)


@pytest.mark.parametrize(
    "arguments", [["--no-such-option"], ["--payload-format", "xml"], ["--log-level", "loud"], ["--ui", "voice"]]
)
def test_a_wrong_option_is_argparse_s_affair(capfd, arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["run", *arguments])
    assert exit_.value.code == 2
    assert "usage: openxc-bridge" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--profile", "no-such-profile"], ["--bus", "replay:/nowhere.log"], ["--bus", "socketcan:no_such_can"]],
)
def test_a_mistake_as_the_user_sees_it(arguments):
    status, errors = run_once(*arguments, "--listen", "tcp://127.0.0.1:0")
    assert status == 1
    assert re.fullmatch(r"openxc-bridge: [^\n]*\n", errors), errors


def test_ctrl_c_while_it_is_loaded_ends_it_without_a_word(tmp_path):
    (tmp_path / "shtab.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    foreground = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # whatever runs the tests may ignore it
    process = subprocess.Popen(
        [sys.executable, "-c", f"import runpy, signal; {foreground}; runpy.run_module('bridge', run_name='__main__')"],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SOON) == ("", "")
    assert process.returncode == -signal.SIGINT


def test_the_environment_counts(capfd, monkeypatch):
    monkeypatch.setenv("OPENXC_BRIDGE_PROFILE", "no-such-profile")
    assert main(["run"]) == 1
    assert "no-such-profile" in capfd.readouterr().err


def test_the_process_keeps_no_descriptor_of_its_terminal_link(start, tmp_path):
    """As many descriptors open after a hundred openings of the terminal as before."""
    daemon = start("--listen", f"pty:{tmp_path}/vi", "--listen", "tcp://127.0.0.1:0")
    folder = Path(f"/proc/{daemon.process.pid}/fd")
    terminal = open_terminal(tmp_path / "vi")
    read_terminal(terminal, b"}\0")
    before = len(list(folder.iterdir()))
    for _ in range(20):
        os.close(terminal)
        terminal = open_terminal(tmp_path / "vi")
        read_terminal(terminal, b"}\0")
    assert len(list(folder.iterdir())) == before
    os.close(terminal)
