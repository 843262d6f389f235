"""The examples, as the README has them typed."""

from __future__ import annotations

import re

from .openobd_client import OpenOBD, finished, shown
from .processes import ROOT


async def test_a_script_reads_the_vehicle(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    lines = await finished(openobd.run("examples/read_vehicle.py", bench.gateway.endpoint.port, directory=ROOT))
    assert re.fullmatch(r"VIN 0XCBRDGE0R0000042, engine at \d+(\.\d+)? 1/min", lines[-1])


async def test_a_script_calls_a_served_function(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    port = bench.gateway.endpoint.port
    await shown(openobd.serve("examples/functions", port, directory=ROOT), "registration was successful")
    lines = await finished(openobd.run("examples/count_trouble_codes.py", port, directory=ROOT))
    assert lines[-2:] == ["engine: 1 trouble codes", "transmission: 1 trouble codes"]
