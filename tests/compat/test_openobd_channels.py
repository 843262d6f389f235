"""The real openOBD library's sockets against a gateway on the simulated vehicle."""

from __future__ import annotations

from .openobd_client import OpenOBD, finished

SERIAL_NUMBERS = ("62F18C" + b"E-0000042".hex().upper(), "62F18C" + b"T-0000042".hex().upper())


async def test_uds_requests_and_raw_frames(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    lines = await finished(openobd.script("channels.py", bench.gateway.endpoint.port))
    said = dict(line.rsplit(" ", 1) for line in lines if " " in line and not line.startswith("configuration"))
    assert len(said.pop("long")) == 2 * 4095
    assert said == {
        "single": "7E00",
        "multi": "62F190" + b"0XCBRDGE0R0000042".hex().upper(),
        "lower": SERIAL_NUMBERS[0],
        "negative": "ServiceNotSupportedException",
        "pending": "62FD10" + bytes((7 * number + 3) & 0xFF for number in range(8)).hex().upper(),
        "busy": "62F190" + b"0XCBRDGE0R0000042".hex().upper(),
        "extended session": "5003003201F4",
        "write": "SecurityAccessDeniedException",
        "silent": "7F2F11",
        "functional": "490401" + b"OXCB-TRM-11.3".ljust(16, b"\0").hex().upper(),
        "nobody": "NoResponseException",
        "raw": "027E000000000000",
    }
    assert "configuration 1 4" in lines
    assert not bench.gateway.core.sessions.open


async def test_twenty_sessions_with_four_streams_each(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    lines = await finished(openobd.script("crowd.py", bench.gateway.endpoint.port))
    assert f"answers 20 {' '.join(SERIAL_NUMBERS)}" in lines
    assert "states finished" in lines
    assert not bench.buses[1].channels.heard_ids
