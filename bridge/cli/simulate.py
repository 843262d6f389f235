"""`openxc-bridge simulate`: the simulated vehicle on a bus, for whoever listens there."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

import shtab

from bridge.cli.arguments import Verbs
from bridge.cli.log import log_to_stderr
from bridge.cli.serving import serve
from bridge.errors import ConfigurationError
from bridge.profile import loading
from bridge.profile.plan import Plan
from bridge.simulator.node import SimulatedVehicle

_DESCRIPTION = """\
Drive a simulated vehicle on a bus: its messages come as a car sends them, and its ECUs answer
OBD-II and UDS requests. Ends with Ctrl-C, with SIGTERM or with its terminal.
"""

_EPILOG = """\
examples:
  openxc-bridge simulate --bus udp_multicast:239.0.0.1
  openxc-bridge simulate --bus socketcan:vcan0 --seed 7

and then, to serve it to OpenXC apps:
  openxc-bridge run --profile demo --bus udp_multicast:239.0.0.1
"""


def add_parser(verbs: Verbs) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="drive a simulated vehicle on a bus",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bus", required=True, metavar="SPEC", help="socketcan:CHANNEL, or INTERFACE:CHANNEL[@BITRATE] of python-can"
    )
    parser.add_argument("--seed", type=int, default=0, help="another number is another drive (default: 0)")
    profile = parser.add_argument(
        "--profile", default="demo", metavar="NAME|PATH", help="how values lie in frames (default: %(default)s)"
    )
    profile.complete = shtab.FILE  # type: ignore[attr-defined]
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Drive until a signal ends it."""
    log_to_stderr("info")
    return asyncio.run(_drive(arguments.bus, arguments.profile, arguments.seed))


async def _drive(spec: str, profile: str, seed: int) -> int:
    vehicle = make_vehicle(spec, loading.load(profile), seed)
    return await serve(vehicle.start, lambda: describe(vehicle, spec, profile), vehicle.stop)


def make_vehicle(spec: str, plan: Plan, seed: int) -> SimulatedVehicle:
    """The vehicle on the bus that a spec names.

    Raises:
        ConfigurationError: no bus, or none that anybody could listen on; a profile without buses.
    """
    # The daemon's parts are not needed to read the command line.
    from bridge.app import make_bus  # noqa: PLC0415
    from bridge.buses.spec import (  # noqa: PLC0415
        OpenObdSpec,
        ReplaySpec,
        SimulatedSpec,
        VirtualSpec,
        parse_bus_spec,
    )

    parsed = parse_bus_spec(spec)
    if isinstance(parsed, OpenObdSpec | ReplaySpec | SimulatedSpec | VirtualSpec):
        raise ConfigurationError(
            f"--bus {spec}: a simulated vehicle needs a bus that others can listen on, such as udp_multicast:239.0.0.1"
        )
    if not plan.buses:
        raise ConfigurationError(f"--profile: {plan.name} has no bus, so there is nothing to send")
    return SimulatedVehicle(make_bus(parsed, replace(plan.buses[0], loopback=False)), plan, seed=seed)


def describe(vehicle: SimulatedVehicle, spec: str, profile: str) -> str:
    """What is sent, who answers and what to try, in a few lines."""
    ecus = ", ".join(
        f"{ecu.description.name} at 0x{ecu.description.request_id:x} and 0x{ecu.description.request_id_extended:x}"
        for ecu in vehicle.ecus
    )
    count = len(vehicle.frames.messages)
    return "\n".join(
        (
            f"a simulated vehicle drives on {spec}: {count} messages of profile {profile}, "
            f"{vehicle.frames.rate:.0f} frames a second",
            f"  ECUs: {ecus}; all at 0x7df and 0x18db33f1",
            f"try: openxc-bridge run --profile {profile} --bus {spec}",
        )
    )
