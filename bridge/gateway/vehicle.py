"""What the gateway sees of the bridge it is part of: the buses, and who may write on them.

Must not know OpenXC's clients, profiles or records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.buses.bus import Bus
from bridge.policy import BusRules, Write

SignalValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Vehicle:
    """The bridge's buses, by OpenXC's bus numbers."""

    buses: Mapping[int, Bus]
    grants: Write  #: what openOBD sessions may write
    rules: Callable[[int], BusRules]  #: what a bus allows
    mute: Callable[[int, bool], None]  #: whether OpenXC clients are kept from writing on a bus
    signal: Callable[[str], SignalValue | None]  #: the last value of a published signal
