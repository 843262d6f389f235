"""Much at once on vcan0: a real car's recording, and a bus as full as can-utils make it. Nothing is lost."""

from __future__ import annotations

import pytest

from bridge.openxc.messages import CanMessage
from tests.contract.harness import room_for_a_burst
from tests.daemon.harness import App, counted
from tests.daemon.test_recording import Drive, check

from .can_utils import run

#: Frames: more than a second of a saturated bus of 1 Mbit/s. The daemon's socket has room for all of them, and its
#: queue for each app has room for their records, however late anybody reads.
FLOOD = 10_000

needs_room = pytest.mark.skipif(
    not room_for_a_burst(FLOOD), reason="sockets may not hold a burst: sudo sysctl net.core.rmem_max=8388608"
)


def lost(daemon):
    """What the daemon says of losses, of frames or of records."""
    return [line for line in daemon.errors.splitlines() if "lost" in line]


@needs_room
async def test_every_signal_of_a_real_car_as_cantools_says(start, drive):
    log, dbc = drive
    said = Drive(log, dbc)
    daemon = start("--dbc", dbc, "--bus", "socketcan:vcan0")
    async with await App.connect(daemon.url) as app:
        assert (await app.ask("version")).status
        run("canplayer", "-I", log, "vcan0=can0")
        await check(app, said)
    daemon.end()
    assert not lost(daemon)


@needs_room
async def test_a_recording_at_full_speed_loses_no_signal_for_any_app(start, join, tmp_path):
    recording = counted(tmp_path, FLOOD)
    daemon = start("--profile", recording.profile, "--bus", "socketcan:vcan0")
    apps = [await join(daemon.url) for _ in range(3)]
    for app in apps:
        assert (await app.ask("version")).status
    run("canplayer", "-t", "-I", recording.log, "vcan0=can0")
    for app in apps:
        values = [record.value for record in await app.records(FLOOD)]
        assert values == list(range(FLOOD))
    daemon.end()
    assert not lost(daemon)


@needs_room
async def test_a_bus_that_is_always_busy_loses_no_frame(start, join):
    daemon = start("--bus", "socketcan:vcan0")
    app = await join(daemon.url)
    assert (await app.ask("version")).status
    run("cangen", "vcan0", "-g", "0", "-I", "2A", "-L", "8", "-D", "i", "-n", FLOOD)
    records = await app.records(FLOOD)
    numbers = [int.from_bytes(record.data, "little") for record in records if isinstance(record, CanMessage)]
    assert numbers == list(range(numbers[0], numbers[0] + FLOOD))
    daemon.end()
    assert not lost(daemon)
