"""`openxc-bridge profile`: look at firmware profiles without running them, and make them of databases."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shtab

from bridge.cli.arguments import Verbs
from bridge.errors import ConfigurationError
from bridge.profile import json_writer, loading
from bridge.profile.describe import describe, summary
from bridge.profile.errors import ProfileError
from bridge.profile.plan import Plan

_DESCRIPTION = """\
Look at firmware profiles without running them, and make them of CAN databases.

A profile says which messages a bus has, where their signals lie and under which names they are
published. Where it names Python functions these are imported, so check what you run.
"""

_CHECK = """\
Load each profile (a shipped one's name, or a file) and say on one line what it holds or what is
wrong with it: the file, the message, the signal and the key. Warnings are about what the bridge
understands but cannot do. The exit status is 1 if any profile cannot be used.
"""

_SHOW = """\
Print what the bridge makes of a profile or a database: buses, messages, and of each signal its
name and unit, position (most significant bit first, counted from the first byte's; of a
little-endian signal the least significant bit), scaling, range, rules and states.
"""

_FROM_DBC = """\
Write a database (DBC, KCD, SYM or ARXML) as a firmware profile, to be edited: to rename signals,
make them writable, limit their frequency or publish only changes. Without edits it publishes what
`openxc-bridge run --dbc FILE` does.
"""


def add_parser(verbs: Verbs) -> None:
    """Register the verb and its own verbs."""
    parser = _add(verbs, "profile", "check, show or make firmware profiles", _DESCRIPTION)
    parser.epilog = f"shipped profiles: {', '.join(loading.available())}"
    own = parser.add_subparsers(title="verbs", dest="profile_verb", required=True, metavar="VERB")

    check = _add(own, "check", "say whether profiles can be used", _CHECK)
    _add_file(check, "profiles", metavar="NAME|PATH", nargs="+", help="a shipped profile's name, or a file")
    check.set_defaults(run=_check)

    show = _add(own, "show", "print what a profile holds", _SHOW)
    _add_file(show, "profile", metavar="NAME|PATH", help="a shipped profile's name, a profile or a database")
    show.set_defaults(run=_show)

    from_dbc = _add(own, "from-dbc", "make a profile of a database", _FROM_DBC)
    _add_file(from_dbc, "file", metavar="FILE", help="the database; its suffix tells the format")
    _add_file(from_dbc, "-o", "--output", metavar="OUT", type=Path, help="where to write it (default: standard output)")
    from_dbc.add_argument(
        "--bus-speed",
        metavar="N",
        type=int,
        help=f"bit/s of the buses (default: the database's, else {json_writer.DEFAULT_SPEED})",
    )
    from_dbc.add_argument("--name", metavar="N", help="the profile's name (default: the file's)")
    from_dbc.set_defaults(run=_from_dbc)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-verb that has been parsed; the exit status."""
    status: int = arguments.run(arguments)
    return status


def _add(verbs: Verbs, name: str, help: str, description: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name, help=help, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_file(parser: argparse.ArgumentParser, *names: str, **options: object) -> None:
    argument = parser.add_argument(*names, **options)  # type: ignore[arg-type]
    argument.complete = shtab.FILE  # type: ignore[attr-defined]


def _check(arguments: argparse.Namespace) -> int:
    status = 0
    for name in arguments.profiles:
        try:
            plan = loading.load(name)
        except ProfileError as error:
            print(error, file=sys.stderr)
            status = 1
        else:
            print(f"{name}: ok: {summary(plan)}")
            _warn(plan)
    return status


def _show(arguments: argparse.Namespace) -> int:
    plan = loading.load(arguments.profile)
    print(describe(plan))
    _warn(plan)
    return 0


def _from_dbc(arguments: argparse.Namespace) -> int:
    if arguments.bus_speed is not None and not 0 < arguments.bus_speed <= 1_000_000:
        raise ConfigurationError(f"--bus-speed {arguments.bus_speed}: a CAN bus has 1 to 1000000 bit/s")
    plan = json_writer.as_profile(loading.load_database(arguments.file), arguments.name, arguments.bus_speed)
    text = json_writer.profile_text(plan)
    _warn(plan)
    if arguments.output is None:
        print(text, end="")
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    return 0


def _warn(plan: Plan) -> None:
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)
