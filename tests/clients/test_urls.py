"""Listen URLs: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.clients.pty import PtyListener
from bridge.clients.serial import SerialListener
from bridge.clients.tcp import TcpListener
from bridge.clients.unix import UnixListener
from bridge.clients.urls import PtyUrl, SerialUrl, TcpUrl, UnixUrl, make_listener, parse_listen_url
from bridge.errors import ConfigurationError
from bridge.openxc.messages import PayloadFormat


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("tcp://127.0.0.1:50001", TcpUrl(host="127.0.0.1", port=50001)),
        ("tcp://localhost:0", TcpUrl(host="localhost", port=0)),
        ("tcp://[::1]:50001", TcpUrl(host="::1", port=50001)),
        ("tcp://0.0.0.0:1776?insecure", TcpUrl(host="0.0.0.0", port=1776, insecure=True)),
        (
            "tcp://127.0.0.1:1?payload-format=protobuf&allow-write=signals,raw",
            TcpUrl(host="127.0.0.1", port=1, payload_format=PayloadFormat.PROTOBUF, allow_write="signals,raw"),
        ),
        ("unix:/run/openxc.sock", UnixUrl(path="/run/openxc.sock")),
        ("unix:///run/openxc.sock", UnixUrl(path="/run/openxc.sock")),
        ("unix:openxc.sock?allow-write=none", UnixUrl(path="openxc.sock", allow_write="none")),
        ("pty:/tmp/vehicle", PtyUrl(link="/tmp/vehicle")),
        ("pty:/tmp/vehicle?payload-format=json", PtyUrl(link="/tmp/vehicle", payload_format=PayloadFormat.JSON)),
        ("serial:/dev/ttyUSB0", SerialUrl(device="/dev/ttyUSB0")),
        ("serial:/dev/ttyUSB0@115200", SerialUrl(device="/dev/ttyUSB0", baudrate=115200)),
        ("serial:/dev/rfcomm0?no-rtscts", SerialUrl(device="/dev/rfcomm0", rtscts=False)),
    ],
)
def test_meaning(text, meaning):
    assert parse_listen_url(text) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must be tcp://HOST:PORT"),
        ("50001", "must be tcp://HOST:PORT"),
        ("udp://127.0.0.1:1", "must be tcp://HOST:PORT"),
        ("tcp:127.0.0.1:50001", "must be tcp://HOST:PORT"),
        ("tcp://127.0.0.1", "must be tcp://HOST:PORT"),
        ("tcp://:50001", "must be tcp://HOST:PORT"),
        ("tcp://127.0.0.1:", "from 0 to 65535"),
        ("tcp://127.0.0.1:65536", "from 0 to 65535"),
        ("tcp://127.0.0.1:-1", "from 0 to 65535"),
        ("tcp://127.0.0.1:٣", "from 0 to 65535"),
        ("tcp://127.0.0.1:" + "9" * 5000, "from 0 to 65535"),
        ("tcp://::1:50001", "in brackets"),
        ("pty:/tmp/a\0b", "NUL"),
        ("unix:", "a path is missing"),
        ("pty:?insecure", "a path is missing"),
        ("serial:@9600", "serial:DEVICE@BAUD"),
        ("serial:/dev/ttyUSB0@fast", "serial:DEVICE@BAUD"),
        ("serial:/dev/ttyUSB0@0", "serial:DEVICE@BAUD"),
        ("serial:/dev/ttyUSB0@2147483648", "serial:DEVICE@BAUD"),
        ("serial:/dev/ttyUSB0@" + "9" * 5000, "serial:DEVICE@BAUD"),
        ("pty:/tmp/v?insecure", "unknown option 'insecure'"),
        ("tcp://127.0.0.1:1?writes=all", "unknown option 'writes'"),
        ("tcp://127.0.0.1:1?insecure=yes", "has no value"),
        ("tcp://127.0.0.1:1?insecure&insecure", "twice"),
        ("tcp://127.0.0.1:1?allow-write", "needs a value"),
        ("tcp://127.0.0.1:1?payload-format=xml", "json or protobuf"),
    ],
)
def test_complaints(text, complaint):
    with pytest.raises(ConfigurationError, match=complaint.replace("?", r"\?")) as error:
        parse_listen_url(text)
    assert str(error.value).startswith(f"--listen {text}")


@given(st.one_of(st.text(), st.text().map("tcp://".__add__), st.text().map("serial:".__add__)))
def test_no_text_raises_anything_else(text):
    try:
        parse_listen_url(text)
    except ConfigurationError:
        return


async def test_listeners_of_each_kind():
    kinds = {
        "tcp://127.0.0.1:0": TcpListener,
        "unix:/tmp/a": UnixListener,
        "pty:/tmp/b": PtyListener,
        "serial:/dev/ttyUSB0@115200": SerialListener,
    }
    grants = object()
    for text, kind in kinds.items():
        listener = make_listener(parse_listen_url(text), grants=grants, payload_format=PayloadFormat.PROTOBUF)
        assert type(listener) is kind
        assert listener.url == text
        assert listener.grants is grants
        assert listener.payload_format is PayloadFormat.PROTOBUF


async def test_the_urls_own_format_goes_first_and_home_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    listener = make_listener(
        parse_listen_url("pty:~/vehicle?payload-format=json"), payload_format=PayloadFormat.PROTOBUF
    )
    assert listener.payload_format is PayloadFormat.JSON
    assert listener.url == f"pty:{Path('/home/somebody/vehicle')}"
    with pytest.raises(ConfigurationError, match="in full"):
        make_listener(parse_listen_url("pty:~nobody-of-that-name/vehicle"))
