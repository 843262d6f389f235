"""The client's side of a connection, against a socket that the test plays the bridge on."""

from __future__ import annotations

import os
import socket

import pytest

from bridge.cli.connection import (
    DEFAULT_URL,
    BridgeGone,
    Connection,
    NoAnswer,
    NoBridge,
    chosen_url,
    parse_url,
)
from bridge.clients.urls import PtyUrl, SerialUrl, TcpUrl, UnixUrl
from bridge.errors import ConfigurationError
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import CommandName, CommandResponse, PayloadFormat, SimpleCommand, SimpleMessage

VERSION = SimpleCommand(name=CommandName.VERSION)
ANSWER = CommandResponse(command_response="version", message="8.0", status=True)
SWITCHED = CommandResponse(command_response="payload_format", status=True)
SPEED = SimpleMessage(name="vehicle_speed", value=50)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tcp://127.0.0.1:50001", TcpUrl(host="127.0.0.1", port=50001)),
        ("tcp://[::1]:5", TcpUrl(host="::1", port=5)),
        ("unix:/run/x", UnixUrl(path="/run/x")),
        ("pty:/tmp/x", PtyUrl(link="/tmp/x")),
        ("serial:/dev/ttyUSB0@115200", SerialUrl(device="/dev/ttyUSB0", baudrate=115200)),
    ],
)
def test_urls_are_those_of_listen(text, parsed):
    assert parse_url(text) == parsed


@pytest.mark.parametrize("text", ["", "tcp://127.0.0.1:0", "127.0.0.1:50001", "unix:", "http://x"])
def test_an_impossible_url_is_named_without_an_option_that_nobody_wrote(text):
    with pytest.raises(ConfigurationError) as caught:
        parse_url(text)
    assert text in str(caught.value)
    assert "--listen" not in str(caught.value)


def test_the_url_comes_from_the_command_line_or_the_environment_or_is_the_default():
    assert chosen_url("unix:a", {"OPENXC_BRIDGE_URL": "unix:b"}) == "unix:a"
    assert chosen_url(None, {"OPENXC_BRIDGE_URL": "unix:b"}) == "unix:b"
    assert chosen_url(None, {}) == DEFAULT_URL
    with pytest.raises(ConfigurationError, match=r"^OPENXC_BRIDGE_URL: "):
        chosen_url(None, {"OPENXC_BRIDGE_URL": "b"})


def test_nobody_there(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (f"tcp://127.0.0.1:{port}", f"unix:{tmp_path}/none", f"pty:{tmp_path}/none"):
        with pytest.raises(NoBridge) as caught:
            Connection(url)
        assert str(caught.value) == f"no bridge answers at {url}; start one with: openxc-bridge run --listen {url}"


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\udcff"])
def test_what_is_no_host_name(host):
    with pytest.raises(NoBridge, match="no such host"):
        Connection(f"tcp://{host}:80")


def test_a_time_that_no_clock_has_is_waited_for_all_the_same(server, url):
    with Connection(url) as connection, server.accept()[0] as peer:
        peer.sendall(json_format.encode(SPEED))
        assert connection.receive(1e308) == SPEED


def test_the_default_url_needs_no_option_to_be_served(monkeypatch):
    def refuse(*_):
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(NoBridge) as caught:
        Connection(DEFAULT_URL)
    assert str(caught.value) == "no bridge answers at tcp://127.0.0.1:50001; start one with: openxc-bridge run"


def test_a_serial_device_that_is_not_there(tmp_path):
    with pytest.raises(NoBridge, match="No such file or directory; plug the device in"):
        Connection(f"serial:{tmp_path}/none")


def test_a_terminal_that_another_program_has_open(tmp_path):
    master, slave = os.openpty()
    link = tmp_path / "p"
    link.symlink_to(os.ttyname(slave))
    try:
        with Connection(f"pty:{link}"), pytest.raises(NoBridge, match="another program has it open"):
            Connection(f"pty:{link}")
    finally:
        os.close(slave)
        os.close(master)


def test_a_terminal_whose_bridge_goes(tmp_path):
    master, slave = os.openpty()
    link = tmp_path / "p"
    link.symlink_to(os.ttyname(slave))
    with Connection(f"pty:{link}") as connection:
        os.close(slave)
        os.write(master, json_format.encode(SPEED))
        assert connection.receive(5) == SPEED
        os.close(master)
        with pytest.raises(BridgeGone):
            connection.receive(5)


def test_records_cut_anywhere(server, url):
    with Connection(url) as connection, server.accept()[0] as peer:
        record = json_format.encode(SPEED)
        peer.sendall(record + record[:9])
        assert connection.receive(5) == SPEED
        assert connection.receive(0) is None
        peer.sendall(record[9:])
        assert connection.receive(5) == SPEED


def test_a_format_that_is_not_asked_for_is_found_out(server, url):
    with Connection(url) as connection, server.accept()[0] as peer:
        peer.sendall(protobuf_format.encode(SPEED) * 2)
        assert connection.receive(5) == SPEED


@pytest.mark.parametrize("wanted", PayloadFormat)
def test_a_format_asked_for_is_switched_to_whatever_the_bridge_spoke_before(server, url, wanted):
    encode = {PayloadFormat.JSON: json_format.encode, PayloadFormat.PROTOBUF: protobuf_format.encode}
    before = encode[next(other for other in PayloadFormat if other is not wanted)]
    with Connection(url, wanted) as connection, server.accept()[0] as peer:
        connection.send(VERSION)
        peer.sendall(before(SPEED) + encode[wanted](SWITCHED) + encode[wanted](ANSWER) + encode[wanted](SPEED))
        assert connection.receive(5) == ANSWER  # the switch is the connection's own affair
        assert connection.receive(5) == SPEED


def test_an_answer_among_data(server, url):
    other = CommandResponse(command_response="platform", status=True)
    with Connection(url) as connection, server.accept()[0] as peer:
        peer.sendall(b"".join(map(json_format.encode, (SPEED, other, ANSWER))))
        assert connection.ask(VERSION) == ANSWER
        assert peer.recv(100) == b'{"command":"version"}\0'


def test_no_answer(server, url):
    with Connection(url) as connection, pytest.raises(NoAnswer, match=r"within 0\.01 s"):
        connection.ask(VERSION, 0.01)


def test_a_bridge_that_goes(server, url):
    with Connection(url) as connection:
        with server.accept()[0] as peer:
            peer.sendall(json_format.encode(SPEED))
        assert connection.receive(5) == SPEED
        with pytest.raises(BridgeGone, match=f"^the bridge at {url} has gone$"):
            connection.receive(5)


def test_what_was_sent_last_arrives_although_nothing_was_read(server, url):
    with Connection(url) as connection, server.accept()[0] as peer:
        peer.sendall(json_format.encode(SPEED) * 1000)
        connection.send(VERSION)
        peer.shutdown(socket.SHUT_WR)
        connection.finish()
        assert peer.recv(100) == b'{"command":"version"}\0'
        assert peer.recv(100) == b""
