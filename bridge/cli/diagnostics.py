"""`openxc-bridge command diagnostics`: ask ECUs, through a running bridge, and print what they answer.

Must not know ISO-TP or time-outs of ECUs: the bridge does the asking. Data goes to all clients
of a bridge, so answers to others come by here too; those that match are taken for ours.

Source of the negative response codes: ISO 14229-1, table A.1.
"""

from __future__ import annotations

import argparse
import sys
import time

from bridge.cli.arguments import Verbs, arbitration_id, bus_number, frequency, hexadecimal, mode, pid, seconds
from bridge.cli.connection import Connection
from bridge.diagnostics.addressing import is_functional, response_ids
from bridge.openxc import json_format
from bridge.openxc.messages import (
    CommandName,
    DecodedType,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
    Outgoing,
    SimpleMessage,
)

ONE_ANSWER_WAIT = 2.0  #: s
ALL_ANSWERS_WAIT = 1.0  #: s; nobody says which answer is the last
LAST_PART = -1

_NEGATIVE_RESPONSE_CODES = {
    0x10: "generalReject",
    0x11: "serviceNotSupported",
    0x12: "subFunctionNotSupported",
    0x13: "incorrectMessageLengthOrInvalidFormat",
    0x14: "responseTooLong",
    0x21: "busyRepeatRequest",
    0x22: "conditionsNotCorrect",
    0x24: "requestSequenceError",
    0x25: "noResponseFromSubnetComponent",
    0x26: "failurePreventsExecutionOfRequestedAction",
    0x31: "requestOutOfRange",
    0x33: "securityAccessDenied",
    0x34: "authenticationRequired",
    0x35: "invalidKey",
    0x36: "exceedNumberOfAttempts",
    0x37: "requiredTimeDelayNotExpired",
    0x70: "uploadDownloadNotAccepted",
    0x71: "transferDataSuspended",
    0x72: "generalProgrammingFailure",
    0x73: "wrongBlockSequenceCounter",
    0x78: "requestCorrectlyReceivedResponsePending",
    0x7E: "subFunctionNotSupportedInActiveSession",
    0x7F: "serviceNotSupportedInActiveSession",
    0x81: "rpmTooHigh",
    0x82: "rpmTooLow",
    0x83: "engineIsRunning",
    0x84: "engineIsNotRunning",
    0x85: "engineRunTimeTooLow",
    0x86: "temperatureTooHigh",
    0x87: "temperatureTooLow",
    0x88: "vehicleSpeedTooHigh",
    0x89: "vehicleSpeedTooLow",
    0x8A: "throttlePedalTooHigh",
    0x8B: "throttlePedalTooLow",
    0x8C: "transmissionRangeNotInNeutral",
    0x8D: "transmissionRangeNotInGear",
    0x8F: "brakeSwitchNotClosed",
    0x90: "shifterLeverNotInPark",
    0x91: "torqueConverterClutchLocked",
    0x92: "voltageTooHigh",
    0x93: "voltageTooLow",
}

_ADD_EPILOG = """\
ID, MODE and --pid are decimal (2015) or hexadecimal (0x7df); --payload is always hexadecimal.
ID 0x7df (and 0x18db33f1) asks every ECU; each answers with its own id.

A single request prints the response, or with 0x7df and --multiple-responses all that come in time.
With --frequency, responses are printed until Ctrl-C, which ends the request as well: a request
goes with the connection that made it. Responses to other clients' equal requests are printed too.

exit status: 0 when an ECU answered, 1 when it refused (the negative response is printed and named),
when none answered, or when the bridge refused; 2 when the command line makes no sense.

examples:
  openxc-bridge command diagnostics add 0x7df 1 --pid 0x0c       engine speed, of whoever knows it
  openxc-bridge command diagnostics add 0x7e0 0x22 --pid 0xf190  the VIN by UDS
  openxc-bridge command diagnostics add 0x7e0 1 --pid 5 --frequency 1 --name coolant
  openxc-bridge command diagnostics add 0x7e0 0x14 --payload ffffff --wait 6
"""


def add_parser(names: Verbs, common: argparse.ArgumentParser) -> None:
    """Register the command; `common` has the options that every command takes."""
    text = "ask an ECU, once or again and again"
    parser = names.add_parser("diagnostics", help=text, description="Diagnostic requests to ECUs.")
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    add = actions.add_parser(
        "add",
        parents=[common],
        help="make a request and print the responses",
        description="Make a diagnostic request and print the responses.",
        epilog=_ADD_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_key(add)
    add.add_argument("--payload", type=hexadecimal, default=b"", metavar="HEX", help="what follows mode and PID")
    add.add_argument("--frequency", type=frequency, default=0.0, metavar="HZ", help="repeat it so often")
    add.add_argument("--name", help="have positive responses published as a named value")
    add.add_argument("--multiple-responses", action="store_true", help="more than one ECU may answer")
    types = tuple(known.value for known in DecodedType)
    add.add_argument("--decoded-type", choices=types, help="default: obd2 for mode 1, else just the payload")
    add.add_argument(
        "--wait",
        type=seconds,
        metavar="SECONDS",
        help=f"for responses (default: {ONE_ANSWER_WAIT:g} for one, {ALL_ANSWERS_WAIT:g} for all; without end if "
        "repeated); an ECU that says it is busy may take 6",
    )
    add.set_defaults(make=_make_add, parser=add, follow=_print_responses)
    cancel = actions.add_parser(
        "cancel",
        parents=[common],
        help="end a repeated request",
        description="End the repeated request that has this id, mode, PID and bus, whichever client made it.",
    )
    _add_key(cancel)
    cancel.set_defaults(make=_make_cancel, parser=cancel)


def _add_key(parser: argparse.ArgumentParser) -> None:
    """What tells one request from another."""
    parser.add_argument("id", type=arbitration_id, metavar="ID", help="arbitration id that the ECU listens to")
    parser.add_argument("mode", type=mode, metavar="MODE", help="service, from 1 to 0xff")
    parser.add_argument("--pid", type=pid, metavar="PID", help="PID or data identifier (default: none)")
    parser.add_argument("--bus", type=bus_number, metavar="N", help="default: the first")


def _make_add(arguments: argparse.Namespace) -> DiagnosticCommand:
    decoded_type = DecodedType(arguments.decoded_type) if arguments.decoded_type else None
    request = DiagnosticRequest(
        id=arguments.id,
        mode=arguments.mode,
        bus=arguments.bus,
        pid=arguments.pid,
        payload=arguments.payload,
        multiple_responses=arguments.multiple_responses,
        frequency=arguments.frequency,
        name=arguments.name,
        decoded_type=decoded_type,
    )
    return DiagnosticCommand(name=CommandName.DIAGNOSTIC_REQUEST, action=DiagnosticAction.ADD, request=request)


def _make_cancel(arguments: argparse.Namespace) -> DiagnosticCommand:
    request = DiagnosticRequest(id=arguments.id, mode=arguments.mode, bus=arguments.bus, pid=arguments.pid)
    return DiagnosticCommand(name=CommandName.DIAGNOSTIC_REQUEST, action=DiagnosticAction.CANCEL, request=request)


def _print_responses(connection: Connection, command: DiagnosticCommand, arguments: argparse.Namespace) -> int:
    """Print what answers the request until it is answered, or the time is over, or Ctrl-C."""
    request = command.request
    single = not (request.frequency or request.multiple_responses or is_functional(request.id))
    wait: float | None = arguments.wait
    if wait is None and not request.frequency:
        wait = ONE_ANSWER_WAIT if single else ALL_ANSWERS_WAIT
    end = None if wait is None else time.monotonic() + wait
    answered = accepted = False
    try:
        while (message := connection.receive(None if end is None else max(0.0, end - time.monotonic()))) is not None:
            if not answers(message, request):
                continue
            print(json_format.encode(message)[:-1].decode() if arguments.json else describe(message), flush=True)
            answered = True
            accepted = accepted or not isinstance(message, DiagnosticResponse) or message.success
            if single and is_whole(message):
                break
    except KeyboardInterrupt:
        return 0 if request.frequency else 130
    if not answered:
        print(f"openxc-bridge: no ECU answered within {wait:g} s", file=sys.stderr)
    return 0 if accepted else 1


def answers(message: Outgoing, request: DiagnosticRequest) -> bool:
    """Whether a record may be the response to a request."""
    if isinstance(message, SimpleMessage):
        return request.name is not None and message.name == request.name
    if not isinstance(message, DiagnosticResponse):
        return False
    ids = response_ids(request.id) if is_functional(request.id) else (request.id,)
    return (
        message.id in ids
        and (message.mode, message.pid) == (request.mode, request.pid)
        and request.bus in (None, message.bus)
    )


def is_whole(message: Outgoing) -> bool:
    """Whether nothing of the response is missing after this record."""
    return not isinstance(message, DiagnosticResponse) or message.frame in (None, LAST_PART)


def describe(message: Outgoing) -> str:
    """A response as a line for people."""
    if isinstance(message, SimpleMessage):
        return f"{message.name}: {message.value}"
    assert isinstance(message, DiagnosticResponse)
    where = f"bus {message.bus} id {message.id:#x} mode {message.mode:#04x}"
    if message.pid is not None:
        where += f" pid {message.pid:#04x}"
    if not message.success:
        code = message.negative_response_code
        if code is None:
            return f"{where}: failed, the bridge could not send it or lost the answer"
        return f"{where}: refused, {_NEGATIVE_RESPONSE_CODES.get(code, 'code')} ({code:#04x})"
    if message.frame is not None:
        where += " last part" if message.frame == LAST_PART else f" part {message.frame}"
    found = []
    if message.payload:
        found.append(f"0x{message.payload.hex()}")
        text = message.payload.strip(b"\0 ").decode("latin-1")
        if len(text) > 3 and text.isascii() and text.isprintable():
            found.append(f'"{text}"')
    if message.value is not None:
        found.append(json_format.number_text(message.value))
    return f"{where}: {' '.join(found) or 'ok'}"
