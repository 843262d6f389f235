"""`openxc-bridge run`: the daemon, from its arguments to its exit status."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import shtab

from bridge import config
from bridge.app import Bridge
from bridge.cli.arguments import Verbs
from bridge.cli.descriptors import allow_descriptors
from bridge.cli.log import log_to_stderr
from bridge.cli.serving import serve
from bridge.errors import ConfigurationError
from bridge.policy import GRANTS

_DESCRIPTION = """\
Own the vehicle's buses and serve OpenXC apps.

Without any option the vehicle is simulated, and apps find it on tcp://127.0.0.1:50001 and on the
pseudo-terminal /tmp/openxc-vi.
"""

_EPILOG = """\
buses (the n-th --bus is OpenXC bus n):
  simulated[?latency=SECONDS]      a vehicle that drives, with ECUs that answer: after 4 and 7 ms, or as you say
  virtual                          a bus with nobody on it
  replay:FILE[?speed=max][&loop][&wait]
                                   a recording: any log that python-can reads, or an OpenXC trace
  socketcan:CHANNEL[@BITRATE]      a CAN interface of Linux, CAN FD included; a bitrate is set by root only
  slcan:PORT[@BITRATE][?listen_only][&btr=XXYY][&dbitrate=2000000][&baudrate=115200]
                                   a USB-serial adapter, such as slcan:/dev/ttyACM0@500000
  openobd:ticket/NUMBER[@BITRATE][?pins=6/14][&raw=ID,ID...][&frames]
                                   a car far away, by an openOBD session; also connector/ID and session[/FILE]
  pcan:PCAN_USBBUS1@500000, ...
                                   INTERFACE:CHANNEL[@BITRATE] of any python-can interface

listeners:
  tcp://HOST:PORT                  port 0 takes a free one and prints it
  unix:PATH
  pty:LINK                         a pseudo-terminal, for apps that want a serial port
  serial:DEVICE@BAUD

openOBD scripts (--gateway HOST:PORT):
  The bridge serves openOBD on its own buses, and prints what to set for a script to find it. --ui says
  who answers the controls that scripts show: the terminal that the bridge runs in (terminal), rules in the
  configuration, [[gateway.answer]] (auto), or nobody, so that they fail (refuse, the default).

writing (--allow-write, words separated by commas):
  none, signals, read-diagnostics, diagnostics, raw, all
  The default is all where every bus is simulated or virtual, otherwise read-diagnostics.

Settings come from the file (-f), then OPENXC_BRIDGE_* variables, then these options.
Ctrl-C, SIGTERM and the end of its terminal (but for nohup) end it in good order.
"""


def add_parser(verbs: Verbs) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "run",
        help="serve OpenXC apps from the vehicle's buses",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    file = parser.add_argument("-f", "--file", type=Path, metavar="FILE.toml", help="configuration file")
    file.complete = shtab.FILE  # type: ignore[attr-defined]
    profile = parser.add_argument("--profile", metavar="NAME|PATH", help="a shipped firmware profile's name, or a file")
    profile.complete = shtab.FILE  # type: ignore[attr-defined]
    dbc = parser.add_argument("--dbc", metavar="FILE", help="signals from a DBC, KCD, SYM or ARXML database")
    dbc.complete = shtab.FILE  # type: ignore[attr-defined]
    parser.add_argument("--bus", action="append", metavar="SPEC", help="a vehicle connection (several: bus 1, 2, ...)")
    parser.add_argument("--listen", action="append", metavar="URL", help="where apps connect (several)")
    parser.add_argument("--allow-write", metavar="KINDS", help=f"what clients may write: {', '.join(GRANTS)}")
    parser.add_argument(
        "--payload-format", choices=("json", "protobuf"), help="of new connections, until they send something (json)"
    )
    parser.add_argument("--gateway", metavar="HOST:PORT", help="serve openOBD scripts here; port 0 takes a free one")
    parser.add_argument(
        "--ui", choices=("refuse", "terminal", "auto"), help="who answers openOBD scripts' controls (refuse)"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    settings = config.load(
        arguments.file,
        os.environ,
        {
            "profile": arguments.profile,
            "dbc": arguments.dbc,
            "bus": [{"spec": spec} for spec in arguments.bus] if arguments.bus else None,
            "listen": [{"url": url} for url in arguments.listen] if arguments.listen else None,
            "allow_write": arguments.allow_write,
            "payload_format": arguments.payload_format,
            "log_level": arguments.log_level,
            "gateway": _given(listen=arguments.gateway, ui=arguments.ui),
        },
    )
    if arguments.ui is not None and settings.gateway.listen is None:
        raise ConfigurationError("--ui is for openOBD scripts' controls; it needs --gateway HOST:PORT, too")
    log_to_stderr(settings.log_level)
    allow_descriptors(settings.limits.clients, gateway=settings.gateway.listen is not None)
    if settings.log_level != "debug":
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own lines; what they tell is an error's line here
    return asyncio.run(_serve(settings))


def _given(**values: str | None) -> dict[str, str] | None:
    """Those that are given; None where none is."""
    return {key: value for key, value in values.items() if value is not None} or None


async def _serve(settings: config.Settings) -> int:
    bridge = Bridge(settings)
    return await serve(bridge.start, bridge.describe, bridge.stop)
