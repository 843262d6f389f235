"""What every bus of frames promises, tested once and inherited by each kind of bus.

A kind of bus is a subclass of BusContract that says how its endpoints are made. Endpoints of one
test share a wire and hear each other. One that can be lost is a subclass of AdapterContract, too.
"""

from __future__ import annotations

from tests.contract.channels import IsotpContract, RawContract
from tests.contract.frames import FramesContract


class BusContract(FramesContract, IsotpContract, RawContract):
    """All that holds while the bus is there."""
