from __future__ import annotations

from pathlib import Path

import pytest

from bridge.buses.spec import (
    BusSpec,
    OpenObdOrigin,
    OpenObdSpec,
    PythonCanSpec,
    ReplaySpec,
    SimulatedSpec,
    SlcanSpec,
    SocketCanSpec,
    VirtualSpec,
    parse_bus_spec,
)
from bridge.errors import ConfigurationError


def replay(text: str, path: str, **fields: object) -> ReplaySpec:
    return ReplaySpec(text=text, path=Path(path), **fields)


def python_can(text: str, *fields: object, **options: object) -> PythonCanSpec:
    return PythonCanSpec(text, *fields, options=options)


IPV6 = "ff15:7079:7468:6f6e:6465:6d6f:6d63:6173"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("simulated", SimulatedSpec()),
        ("simulated?latency=0", SimulatedSpec("simulated?latency=0", 0.0)),
        (" simulated?latency=2.5e-3\n", SimulatedSpec("simulated?latency=2.5e-3", 0.0025)),
        (" virtual\n", VirtualSpec()),
        ("replay:a.log", replay("replay:a.log", "a.log")),
        ("replay:a.log?speed=2.5", replay("replay:a.log?speed=2.5", "a.log", speed=2.5)),
        ("replay:/x/a.log?speed=max&wait", replay("replay:/x/a.log?speed=max&wait", "/x/a.log", speed=None, wait=True)),
        ("replay:a.log?loop&wait=true", replay("replay:a.log?loop&wait=true", "a.log", loop=True, wait=True)),
        ("replay:a.log?loop=false", replay("replay:a.log?loop=false", "a.log")),
        ("replay:a.log?channel=can1", replay("replay:a.log?channel=can1", "a.log", channel="can1")),
        ("replay:100%25%3F.log", replay("replay:100%25%3F.log", "100%?.log")),
        ("replay:a@b:c.log", replay("replay:a@b:c.log", "a@b:c.log")),
        ("socketcan:vcan0", SocketCanSpec("socketcan:vcan0", "vcan0")),
        ("socketcan:can0@250000\n", SocketCanSpec("socketcan:can0@250000", "can0", 250000)),
        ("socketcan:a%40b%3F", SocketCanSpec("socketcan:a%40b%3F", "a@b?")),
        (
            "socketcan:can0@500000?dbitrate=2000000",
            SocketCanSpec("socketcan:can0@500000?dbitrate=2000000", "can0", 500000, 2000000),
        ),
        ("openobd:ticket/123", OpenObdSpec("openobd:ticket/123", OpenObdOrigin.TICKET, "123")),
        (
            "openobd:connector/4f-2a@250000?pins=3/11&raw=0x123,0x18DAF110,5&frames",
            OpenObdSpec(
                "openobd:connector/4f-2a@250000?pins=3/11&raw=0x123,0x18DAF110,5&frames",
                OpenObdOrigin.CONNECTOR,
                "4f-2a",
                bitrate=250000,
                pins=(3, 11),
                raw=(0x123, 0x18DAF110, 5),
                frames=True,
            ),
        ),
        ("openobd:session", OpenObdSpec("openobd:session", OpenObdOrigin.SESSION)),
        (
            "openobd:session//run/a%40b.session",
            OpenObdSpec("openobd:session//run/a%40b.session", OpenObdOrigin.SESSION, "/run/a@b.session"),
        ),
        ("pcan", python_can("pcan", "pcan")),
        ("pcan@250000", python_can("pcan@250000", "pcan", None, 250000)),
        ("virtual:shared", python_can("virtual:shared", "virtual", "shared")),
        (
            "slcan:/dev/ttyACM0@500000",
            SlcanSpec("slcan:/dev/ttyACM0@500000", "/dev/ttyACM0", 500000),
        ),
        (
            "slcan:/dev/x%40115200@500000",
            SlcanSpec("slcan:/dev/x%40115200@500000", "/dev/x", 500000, baudrate=115200),
        ),
        ("slcan:/dev/x%40y", SlcanSpec("slcan:/dev/x%40y", "/dev/x@y")),
        ("slcan:/dev/x", SlcanSpec("slcan:/dev/x", "/dev/x")),
        (
            "slcan:/dev/x?btr=001C&listen_only&baudrate=2000000",
            SlcanSpec(
                "slcan:/dev/x?btr=001C&listen_only&baudrate=2000000",
                "/dev/x",
                btr="001C",
                listen_only=True,
                baudrate=2000000,
            ),
        ),
        (
            "slcan:/dev/x@500000?dbitrate=2000000&listen_only=false",
            SlcanSpec("slcan:/dev/x@500000?dbitrate=2000000&listen_only=false", "/dev/x", 500000, data_bitrate=2000000),
        ),
        ("udp_multicast:239.0.0.1", python_can("udp_multicast:239.0.0.1", "udp_multicast", "239.0.0.1")),
        (f"udp_multicast:{IPV6}", python_can(f"udp_multicast:{IPV6}", "udp_multicast", IPV6)),
        (
            "slcan:socket://localhost:3000",
            python_can("slcan:socket://localhost:3000", "slcan", "socket://localhost:3000"),
        ),
        (
            "pcan:PCAN_USBBUS1@500000?fd=true&data_bitrate=2000000&f_clock_mhz=0x10&x=1.5&mode=iso&quiet",
            python_can(
                "pcan:PCAN_USBBUS1@500000?fd=true&data_bitrate=2000000&f_clock_mhz=0x10&x=1.5&mode=iso&quiet",
                "pcan",
                "PCAN_USBBUS1",
                500000,
                fd=True,
                data_bitrate=2000000,
                f_clock_mhz=16,
                x=1.5,
                mode="iso",
                quiet=True,
            ),
        ),
        (
            "pcan:a?b=false&c=-1&d=nan&e=1_0&f=1e3",
            python_can("pcan:a?b=false&c=-1&d=nan&e=1_0&f=1e3", "pcan", "a", b=False, c=-1, d="nan", e="1_0", f=1000.0),
        ),
    ],
)
def test_specs(text: str, spec: BusSpec) -> None:
    assert parse_bus_spec(text) == spec


def test_options_keep_their_types() -> None:
    options = parse_bus_spec("pcan:a?a=1&b=true&c=1.0&d=text&e=007").options
    assert {name: type(value) for name, value in options.items()} == {
        "a": int,
        "b": bool,
        "c": float,
        "d": str,
        "e": int,
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing"),
        (":vcan0", "missing"),
        ("?fd=true", "missing"),
        ("soc ket:x", "no interface"),
        ("pcan:", "channel of pcan is missing"),
        ("pcan:a@fast", "'fast' is no bitrate"),
        ("socketcan", "channel of socketcan is missing"),
        ("socketcan:", "channel of socketcan is missing"),
        ("socketcan@250000", "channel of socketcan is missing"),
        ("socketcan:can0?fd=true", "leave fd out"),
        ("socketcan:can0?fd", "leave fd out"),
        ("socketcan:can0?receive_own_messages=true", "no option receive_own_messages, only dbitrate"),
        ("socketcan:can0?dbitrate=2000000", "dbitrate needs a bitrate"),
        ("socketcan:can0@500000?dbitrate=250000", "dbitrate needs a bitrate"),
        ("socketcan:can0@500000?dbitrate", "'' is no bitrate"),
        ("socketcan:can0@500000?dbitrate=0", "'0' is no bitrate"),
        ("socketcan:vcan0@fast", "'fast' is no bitrate"),
        ("socketcan:vcan0@0", "no bitrate"),
        ("socketcan:vcan0@", "no bitrate"),
        ("simulated:x", "no channel"),
        ("simulated?loop", "no option loop, only latency"),
        ("simulated?latency=0&seed=1", "no option seed, only latency"),
        ("simulated@500000", "no bitrate"),
        ("simulated@500000?latency=0", "no bitrate"),
        ("simulated?latency", "latency is a number of seconds"),
        ("simulated?latency=", "latency is a number of seconds"),
        ("simulated?latency=-0.001", "latency is a number of seconds"),
        ("simulated?latency=inf", "latency is a number of seconds"),
        ("simulated?latency=nan", "latency is a number of seconds"),
        ("simulated?latency=4ms", "latency is a number of seconds"),
        ("simulated?latency=0&latency=0", "twice"),
        ("virtual?loop", "no options"),
        ("virtual@500000", "no bitrate"),
        ("openobd", "takes ticket/NUMBER, connector/ID"),
        ("openobd:7", "takes ticket/NUMBER, connector/ID"),
        ("openobd@500000:ticket/1", "no bitrate"),
        ("openobd:ticket", "needs its number or id"),
        ("openobd:ticket/@500000", "needs its number or id"),
        ("openobd:connector/", "needs its number or id"),
        ("openobd:session/", "needs a file"),
        ("openobd:ticket/1@", "no bitrate"),
        ("openobd:ticket/1?pins", "pins are two"),
        ("openobd:ticket/1?pins=6-14", "pins are two"),
        ("openobd:ticket/1?pins=6/17", "pins are two"),
        ("openobd:ticket/1?raw", "'' is no arbitration id"),
        ("openobd:ticket/1?raw=0x123,", "'' is no arbitration id"),
        ("openobd:ticket/1?raw=7E8", "'7E8' is no arbitration id"),
        ("openobd:ticket/1?raw=0x20000000", "'0x20000000' is no arbitration id"),
        ("openobd:ticket/1?frames=some", "frames is given or not"),
        ("openobd:ticket/1?fd", "no option fd, only pins, raw and frames"),
        ("replay", "needs a file"),
        ("replay:", "needs a file"),
        ("replay:a?speed=0", "speed"),
        ("replay:a?speed=-1", "speed"),
        ("replay:a?speed=inf", "speed"),
        ("replay:a?speed=nan", "speed"),
        ("replay:a?speed", "speed"),
        ("replay:a?fast", "no option fast"),
        ("replay:a?loop=maybe", "loop"),
        ("replay:a?channel=", "channel"),
        ("replay:a?channel", "channel"),
        ("replay:a?loop&loop", "twice"),
        ("replay:a?&", "no option"),
        ("pcan:a?bitrate=5", "@BITRATE"),
        ("pcan:a?channel=b", ":CHANNEL"),
        ("pcan:a?loopback=true", "loopback is the profile's"),
        ("pcan:a?=b", "no option"),
        ("slcan", "needs a serial port"),
        ("slcan:", "needs a serial port"),
        ("slcan:@500000", "needs a serial port"),
        ("slcan:/dev/x@fast", "no bitrate"),
        ("slcan:/dev/x@0", "no bitrate"),
        ("slcan:/dev/x?sleep_after_open=2", "no option sleep_after_open, only btr, dbitrate, listen_only and baudrate"),
        ("slcan:/dev/x?baudrate", "baudrate"),
        ("slcan:/dev/x?baudrate=0", "baudrate"),
        ("slcan:/dev/x?dbitrate=2M", "dbitrate"),
        ("slcan:/dev/x?btr", "hex digits"),
        ("slcan:/dev/x@500000?btr=001C", "cannot be both"),
        ("slcan:/dev/x?listen_only=maybe", "listen_only"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_bus_spec(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
