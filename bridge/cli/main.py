"""The command `openxc-bridge`: finds the verb, runs it, turns what the user did wrong into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import shtab

from bridge import __version__
from bridge.cli import command, dump, profile, run, simulate
from bridge.errors import BridgeError

_DESCRIPTION = """\
One daemon owns the connections to a vehicle; any number of OpenXC apps use it at once.
Without a vehicle, `openxc-bridge run` simulates one.
"""

_EPILOG = """\
examples:
  openxc-bridge run                                  a simulated vehicle
  openxc-bridge run --bus socketcan:vcan0            raw frames of a CAN interface
  openxc-bridge run --dbc car.dbc --bus socketcan:can0
  openxc-bridge dump                                 what a running bridge says
  openxc-bridge command version                      ask a running bridge
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="openxc-bridge",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"openxc-bridge {__version__}")
    shtab.add_argument_to(parser, "--print-completion", help="print a completion script for this shell and exit")
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    for module in (run, dump, command, profile, simulate):
        module.add_parser(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    try:
        try:
            parsed = make_parser().parse_args(arguments)
            status: int = parsed.run(parsed)
        finally:
            sys.stdout.flush()
    except BridgeError as error:
        print(f"openxc-bridge: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `openxc-bridge dump | head`
        _discard_output()
        return 0
    return status


def _discard_output() -> None:
    """Send what is still to be written nowhere, or the interpreter fails at its end when it flushes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
