"""`openxc-bridge command`: say one thing to a running bridge and print the answer.

Must not know what the bridge does with a command; whether it may is the bridge's to say.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from bridge.cli import diagnostics
from bridge.cli.arguments import Verbs, arbitration_id, bus_number, hexadecimal, integer, seconds, switch, value
from bridge.cli.connection import ANSWER_TIMEOUT, URL_HELP, Connection, chosen_url, url_argument
from bridge.openxc import json_format
from bridge.openxc.messages import (
    AcceptanceFilterCommand,
    CanMessage,
    Command,
    CommandName,
    FrameFormat,
    Incoming,
    InvalidRecord,
    ModemConfigurationCommand,
    PassthroughCommand,
    PayloadFormat,
    PayloadFormatCommand,
    PredefinedObd2Command,
    RtcConfigurationCommand,
    SimpleCommand,
    SimpleMessage,
)
from bridge.openxc.ranges import CAN_DATA_MAX, PORT_MAX, UINT32_MAX, can_write

VIN_TIMEOUT = 7.0  #: s; an ECU may say for 5 s that it is busy

_DESCRIPTION = """\
Send one command to a running bridge and print the answer.
"""

_EPILOG = """\
exit status:
  0  the answer's status is true (a write has no answer: it is sent)
  1  the status is false, an ECU refused or did not answer, or no bridge answered; why is on stderr
  2  the command line makes no sense

examples:
  openxc-bridge command version
  openxc-bridge command passthrough 1 on
  openxc-bridge command diagnostics add 0x7df 1 --pid 0x0c
  openxc-bridge command --url unix:/run/openxc.sock get_vin
Each NAME has its own help: openxc-bridge command passthrough --help
"""

_WRITE_EPILOG = """\
VALUE and EVENT are true, false, a number, or else a text; a text that looks like a number goes in
JSON's quotes: '"5"'.

OpenXC has no answer to a write: the exit status is 0 once it is sent. A refused write is visible
only in the bridge's log.
"""

_WRITE_EXAMPLES = """
examples:
  openxc-bridge command write headlamp_status true
  openxc-bridge command write door_status driver true
"""

_WRITE_RAW_EPILOG = """\
OpenXC has no answer to a write: the exit status is 0 once it is sent. A refused write is visible
only in the bridge's log. The bridge needs --allow-write raw, and the bus to be raw_writable.

examples:
  openxc-bridge command write-raw 0x123 deadbeef
  openxc-bridge command write-raw 0x18ff50e5 0102030405060708 --bus 2
"""

_SIMPLE: dict[CommandName, tuple[str, ...]] = {  # and how else they may be called
    CommandName.VERSION: (),
    CommandName.PLATFORM: (),
    CommandName.DEVICE_ID: ("id",),
    CommandName.GET_VIN: ("vin",),
    CommandName.SD_MOUNT_STATUS: (),
}
_HELP = {
    CommandName.VERSION: "version of the bridge, and the profile's name",
    CommandName.PLATFORM: "what the bridge runs on",
    CommandName.DEVICE_ID: "which bridge it is",
    CommandName.GET_VIN: "the vehicle identification number; an ECU may take seconds for it",
    CommandName.SD_MOUNT_STATUS: "whether an SD card is mounted",
    CommandName.PASSTHROUGH: "publish a bus's raw frames, or not",
    CommandName.AF_BYPASS: "take all frames of a bus, or only those that the profile defines",
    CommandName.PAYLOAD_FORMAT: "change the payload format of this connection",
    CommandName.PREDEFINED_OBD2: "request the usual OBD-II values all the time, or not",
    CommandName.MODEM_CONFIGURATION: "where a cellular vehicle interface sends its data",
    CommandName.RTC_CONFIGURATION: "set the clock of a vehicle interface",
}

Make = Callable[[argparse.Namespace], Incoming]


def add_parser(verbs: Verbs) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "command",
        help="send a command to a running bridge",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, url=None, timeout=None, json=False, converse=_ask, follow=None)
    common = _common_options()
    _add_common(parser)
    names = parser.add_subparsers(title="commands", dest="command", required=True, metavar="NAME")
    for name, aliases in _SIMPLE.items():
        _add(names, name, _simple, common, aliases).set_defaults(name=name)
    _add_settings(names, common)
    _add_writes(names, common)
    diagnostics.add_parser(names, common)


def _common_options() -> argparse.ArgumentParser:
    """The options of every command, so that they may stand before or behind its name."""
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common)
    return common


def _add_common(parser: argparse.ArgumentParser) -> None:
    # Without defaults: those of the inner parser would overwrite what the outer one has read.
    absent = argparse.SUPPRESS
    parser.add_argument("--url", type=url_argument, default=absent, help=URL_HELP)
    wait = f"how long to wait for the answer (default: {ANSWER_TIMEOUT:g}; get_vin {VIN_TIMEOUT:g})"
    parser.add_argument("--timeout", type=seconds, default=absent, metavar="SECONDS", help=wait)
    parser.add_argument("--json", action="store_true", default=absent, help="print the answer as its raw record")


def _add(
    names: Verbs,
    name: CommandName,
    make: Make,
    common: argparse.ArgumentParser,
    aliases: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    text = _HELP[name]
    description = f"{text[0].upper()}{text[1:]}."
    parser = names.add_parser(name.value, parents=[common], aliases=aliases, help=text, description=description)
    parser.set_defaults(make=make, parser=parser)
    return parser


def _add_settings(names: Verbs, common: argparse.ArgumentParser) -> None:
    """The commands that change something."""
    for name, make in ((CommandName.PASSTHROUGH, _passthrough), (CommandName.AF_BYPASS, _af_bypass)):
        parser = _add(names, name, make, common)
        parser.add_argument("bus", type=bus_number, metavar="BUS", help="number of the bus: 1, 2, ...")
        parser.add_argument("enabled", type=switch, metavar="on|off")
    parser = _add(names, CommandName.PREDEFINED_OBD2, _predefined_obd2, common)
    parser.add_argument("enabled", type=switch, metavar="on|off")
    parser = _add(names, CommandName.PAYLOAD_FORMAT, _payload_format, common)
    parser.add_argument("format", choices=("json", "protobuf"))
    parser.epilog = "It goes with the connection: on a socket, this only shows that the bridge knows the format."
    parser = _add(names, CommandName.MODEM_CONFIGURATION, _modem_configuration, common)
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", type=integer(0, PORT_MAX), metavar="PORT")
    parser = _add(names, CommandName.RTC_CONFIGURATION, _rtc_configuration, common)
    parser.add_argument("unix_time", type=integer(0, UINT32_MAX), metavar="UNIX_TIME", help="in seconds")


def _add_writes(names: Verbs, common: argparse.ArgumentParser) -> None:
    """The writes, which are no commands and have no answer."""
    raw_text = argparse.RawDescriptionHelpFormatter
    write = names.add_parser(
        "write",
        parents=[common],
        help="write a signal of the profile",
        description="Write a signal that the profile calls writable.",
        epilog=_WRITE_EPILOG + _WRITE_EXAMPLES,
        formatter_class=raw_text,
    )
    write.add_argument("name", metavar="NAME", help="of the signal")
    write.add_argument("value", type=value, metavar="VALUE")
    write.add_argument("event", nargs="?", type=value, metavar="EVENT")
    write.set_defaults(make=_write, parser=write, converse=_tell)
    write_raw = names.add_parser(
        "write-raw",
        parents=[common],
        help="write a raw frame",
        description="Send a CAN frame.",
        epilog=_WRITE_RAW_EPILOG,
        formatter_class=raw_text,
    )
    write_raw.add_argument("id", type=arbitration_id, metavar="ID", help="2015 or 0x7df")
    write_raw.add_argument("data", type=hexadecimal, metavar="DATA", help="hexadecimal digits, up to 8 bytes")
    write_raw.add_argument("--bus", type=bus_number, metavar="N", help="default: the first")
    formats = tuple(known.value for known in FrameFormat)
    write_raw.add_argument("--frame-format", choices=formats, help="default: extended for an ID above 0x7ff")
    write_raw.set_defaults(make=_write_raw, parser=write_raw, converse=_tell)


def run(arguments: argparse.Namespace) -> int:
    """Say it, and print the answer."""
    try:
        message: Incoming = arguments.make(arguments)
    except InvalidRecord as error:
        arguments.parser.error(str(error))
    url = chosen_url(arguments.url, os.environ)
    # A payload_format command must be the only one of its connection, or there would be two answers.
    payload_format = None if isinstance(message, PayloadFormatCommand) else PayloadFormat.JSON
    with Connection(url, payload_format) as connection:
        status: int = arguments.converse(connection, message, arguments)
    return status


def _tell(connection: Connection, message: Incoming, arguments: argparse.Namespace) -> int:
    connection.send(message)
    connection.finish()
    return 0


def _ask(connection: Connection, command: Command, arguments: argparse.Namespace) -> int:
    default = VIN_TIMEOUT if command.name == CommandName.GET_VIN else ANSWER_TIMEOUT
    response = connection.ask(command, arguments.timeout or default)
    if arguments.json:
        print(json_format.encode(response)[:-1].decode(), flush=True)
    if not response.status:
        print(f"openxc-bridge: {command.name}: {response.message or 'refused'}", file=sys.stderr)
        return 1
    if arguments.follow is not None:
        status: int = arguments.follow(connection, command, arguments)
        return status
    if not arguments.json:
        print(response.message or "ok")
    return 0


def _simple(arguments: argparse.Namespace) -> SimpleCommand:
    return SimpleCommand(name=arguments.name)


def _passthrough(arguments: argparse.Namespace) -> PassthroughCommand:
    return PassthroughCommand(name=CommandName.PASSTHROUGH, bus=arguments.bus, enabled=arguments.enabled)


def _af_bypass(arguments: argparse.Namespace) -> AcceptanceFilterCommand:
    return AcceptanceFilterCommand(name=CommandName.AF_BYPASS, bus=arguments.bus, bypass=arguments.enabled)


def _predefined_obd2(arguments: argparse.Namespace) -> PredefinedObd2Command:
    return PredefinedObd2Command(name=CommandName.PREDEFINED_OBD2, enabled=arguments.enabled)


def _payload_format(arguments: argparse.Namespace) -> PayloadFormatCommand:
    return PayloadFormatCommand(name=CommandName.PAYLOAD_FORMAT, format=PayloadFormat(arguments.format))


def _modem_configuration(arguments: argparse.Namespace) -> ModemConfigurationCommand:
    return ModemConfigurationCommand(name=CommandName.MODEM_CONFIGURATION, host=arguments.host, port=arguments.port)


def _rtc_configuration(arguments: argparse.Namespace) -> RtcConfigurationCommand:
    return RtcConfigurationCommand(name=CommandName.RTC_CONFIGURATION, unix_time=arguments.unix_time)


def _write(arguments: argparse.Namespace) -> SimpleMessage:
    return SimpleMessage(name=arguments.name, value=arguments.value, event=arguments.event)


def _write_raw(arguments: argparse.Namespace) -> CanMessage:
    if len(arguments.data) > CAN_DATA_MAX:
        raise InvalidRecord(f"{len(arguments.data)} bytes of data; a frame has at most {CAN_DATA_MAX}")
    frame_format = FrameFormat(arguments.frame_format) if arguments.frame_format else None
    return can_write(arguments.id, arguments.data, arguments.bus or 0, frame_format, False)
