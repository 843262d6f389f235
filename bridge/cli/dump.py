"""`openxc-bridge dump`: what a running bridge says, a record a line.

Must not know commands: it only listens.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bridge.cli.arguments import Verbs, bus_number, count
from bridge.cli.connection import DEFAULT_URL, URL_HELP, Connection, chosen_url, url_argument
from bridge.codec import candump_lines
from bridge.frames import EXTENDED_ID_MAX, FrameFlags, pack
from bridge.openxc import json_format, trace
from bridge.openxc.messages import CanMessage, DiagnosticResponse, Outgoing, PayloadFormat, SimpleMessage
from bridge.openxc.ranges import is_extended
from bridge.visible import visible

HINT_DELAY = 2.0  #: s without a raw frame before --format candump says what may be the cause

_DESCRIPTION = """\
Print the records of a running bridge, one a line, until Ctrl-C or until the bridge goes.
"""

_EPILOG = """\
filters (each may be given several times; without one, everything is printed):
  --name PATTERN   named values: vehicle_speed, or a pattern such as 'tire_*'
  --id ID          raw frames and diagnostic responses. A bare number is read as the output writes
                   it, decimal with --format json and hexadecimal with --format candump; 0x7E8 is
                   always hexadecimal. As with candump, 7E0:7F0 takes the ids that equal 7E0 in the
                   bits of the mask 7F0, and 7E0~7F0 all others (both always hexadecimal).
  --bus N          raw frames and diagnostic responses of this bus
--name chooses among the named values; --id and --bus choose among the raw frames and diagnostic
responses; of two kinds, one that no filter speaks of is left out.

formats:
  json             the OpenXC record. With --timestamps, the output is an OpenXC trace, which
                   `openxc-bridge run --bus replay:FILE` plays.
  candump          raw frames as can-utils log them. Bus 1 is can0, bus 2 is can1, ...; --interface
                   names them otherwise: vcan%d, or vcan0 for all.
Raw frames are there after `openxc-bridge command passthrough 1 on`.

examples:
  openxc-bridge dump
  openxc-bridge dump tcp://192.168.1.20:50001 --name 'door_*' --name vehicle_speed
  openxc-bridge dump --timestamps > drive.json
  openxc-bridge dump --format candump --interface vcan%d | canplayer
  openxc-bridge dump --id 0x7e8 --count 1
"""

Formatter = Callable[[Outgoing, float], bytes | None]  #: a record and when it came (Unix seconds) as a line, or nothing


def add_parser(verbs: Verbs) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "dump",
        help="print what a running bridge says",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", type=url_argument, metavar="URL", help=URL_HELP)
    parser.add_argument("--name", action="append", default=[], metavar="PATTERN", help="only named values like this")
    parser.add_argument("--id", action="append", default=[], metavar="ID", help="only records with this id")
    parser.add_argument("--bus", type=bus_number, metavar="N", help="only records of this bus")
    parser.add_argument("--format", choices=("json", "candump"), default="json", help="of the output (json)")
    parser.add_argument(
        "--timestamps", action="store_true", help="put the time of arrival first (candump lines always have it)"
    )
    parser.add_argument(
        "--interface", default="can%d", metavar="NAME", help="with --format candump: %%d is the bus less one (can%%d)"
    )
    parser.add_argument("--count", type=count, metavar="N", help="end after so many records")
    parser.add_argument(
        "--payload-format",
        choices=("json", "protobuf"),
        help="ask the bridge for this format (default: take what comes)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print until there is a reason not to."""
    try:
        ids = tuple(
            IdFilter.parse(text, bare_base=16 if arguments.format == "candump" else 10) for text in arguments.id
        )
    except ValueError as error:
        print(visible(f"openxc-bridge dump: {error}"), file=sys.stderr)
        return 2
    url = chosen_url(arguments.url, os.environ)
    wanted = Filter(tuple(arguments.name), ids, arguments.bus)
    hint = _passthrough_hint(url, arguments.bus or 1) if arguments.format == "candump" else None
    payload_format = PayloadFormat(arguments.payload_format) if arguments.payload_format else None
    with Connection(url, payload_format) as connection:
        try:
            _print(connection, wanted, _formatter(arguments), arguments.count, hint)
        except KeyboardInterrupt:
            return 0  # the usual way to end it
    return 0


@dataclass(frozen=True, slots=True)
class IdFilter:
    """Ids that equal `value` in the bits of `mask`, or all but those."""

    value: int
    mask: int = EXTENDED_ID_MAX
    inverted: bool = False

    @classmethod
    def parse(cls, text: str, bare_base: int) -> IdFilter:
        """ID, or as candump has it ID:MASK or ID~MASK; `bare_base` is that of an ID without 0x.

        Raises:
            ValueError: one line for the user.
        """
        for separator in (":", "~"):
            value, found, mask = text.partition(separator)
            if found:
                # A mask may have SocketCAN's flag bits, which no id here has.
                return cls(_number(text, value, 16), _number(text, mask, 16) & EXTENDED_ID_MAX, separator == "~")
        identifier = _number(text, text, bare_base)
        if identifier > EXTENDED_ID_MAX:
            raise ValueError(f"--id {text}: an id has at most 29 bits")
        return cls(identifier)

    def matches(self, identifier: int) -> bool:
        """Whether the id is one of them."""
        return ((identifier ^ self.value) & self.mask == 0) is not self.inverted


def _number(text: str, digits: str, base: int) -> int:
    hexadecimal = digits[:2] in ("0x", "0X")
    try:
        if digits[:1] in "+-" or "_" in digits:
            raise ValueError
        return int(digits, 16 if hexadecimal else base)
    except ValueError:
        cure = "write an id as 2024 or 0x7E8, or with a mask as 7E8:7FF"
        raise ValueError(f"--id {text}: {cure}") from None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are asked for; without names, ids and bus all of them."""

    names: tuple[str, ...] = ()
    ids: tuple[IdFilter, ...] = ()
    bus: int | None = None

    def __call__(self, message: Outgoing) -> bool:
        """Whether the record is asked for."""
        by_id = bool(self.ids) or self.bus is not None
        if not by_id and not self.names:
            return True
        if isinstance(message, SimpleMessage):
            return any(fnmatchcase(message.name, pattern) for pattern in self.names)
        if not by_id or not isinstance(message, CanMessage | DiagnosticResponse):
            return False
        if self.bus is not None and self.bus != (message.bus or 1):
            return False
        return not self.ids or any(known.matches(message.id) for known in self.ids)


def candump_line(message: CanMessage, timestamp: float, interface: str) -> bytes:
    """A frame as a line of candump's log; a %d in the interface's name is the bus less one."""
    name = interface.replace("%d", str((message.bus or 1) - 1))
    # Whether an FD frame switched its bit rate is not in the record: no flag says so.
    flags = (FrameFlags.EXTENDED if is_extended(message) else 0) | (FrameFlags.FD if message.fd else 0)
    return candump_lines(pack(timestamp, message.id, message.bus or 1, flags, message.data), os.fsencode(name))


def _formatter(arguments: argparse.Namespace) -> Formatter:
    if arguments.format == "candump":
        interface = arguments.interface
        return lambda message, now: candump_line(message, now, interface) if isinstance(message, CanMessage) else None
    if arguments.timestamps:
        return lambda message, now: trace.write_line(message, round(now, 6))
    return lambda message, now: json_format.encode(message)[:-1] + b"\n"


def _print(connection: Connection, wanted: Filter, line: Formatter, limit: int | None, hint: str | None) -> None:
    """Print each batch as it came: a slow stream line by line, a fast one in large pieces."""
    hint_time = time.monotonic() + HINT_DELAY
    while True:
        batch = connection.receive_batch(None if hint is None else max(0.0, hint_time - time.monotonic()))
        now = time.time()
        lines = [text for message in batch if wanted(message) and (text := line(message, now)) is not None]
        if limit is not None:
            lines = lines[:limit]
            limit -= len(lines)
        if lines:
            hint = None
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
        elif hint is not None and time.monotonic() >= hint_time:
            print(hint, file=sys.stderr, flush=True)
            hint = None
        if limit == 0:
            return


def _passthrough_hint(url: str, bus: int) -> str:
    command = "openxc-bridge command" + ("" if url == DEFAULT_URL else f" --url {url}")
    return (
        f"openxc-bridge: no raw frames so far; if they are off, switch them on with: {command} passthrough {bus} on\n"
        f"openxc-bridge: those that the profile does not define, with: {command} af_bypass {bus} on"
    )
