"""The command `openxc-bridge`: finds the verb, runs it, turns what the user did wrong into one line."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

import shtab

from bridge import __version__
from bridge.cli import command, dump, profile, run, simulate
from bridge.errors import BridgeError
from bridge.visible import visible

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

#: What a write to a full disk, a terminal that is gone or a descriptor that is open for reading only fails with.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


class _Parser(argparse.ArgumentParser):
    """Quotes what it refuses on one line, whatever characters are in it. Each verb's parser is of the same class."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = _Parser(
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
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `openxc-bridge dump | head`
        _discard(sys.stdout)
        _discard(sys.stderr)
        return 0
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _discard(sys.stdout)
        _complain(f"cannot write: {error.strerror}")
        return 1
    return status


def _complain(text: str) -> None:
    """One line on stderr, whatever is quoted in it; nobody can be told that there is no stderr."""
    for handler in logging.getLogger().handlers:
        handler.flush()  # what led to it comes first
    try:
        print(f"openxc-bridge: {visible(text)}", file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Send what is still to be written nowhere, or the interpreter fails at its end when it flushes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
