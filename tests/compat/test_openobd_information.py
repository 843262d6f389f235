"""The real openOBD library against the services around the vehicle and the people, and sessions' lives with it."""

from __future__ import annotations

import logging

import pytest

from bridge.config import AnswerRule, ConnectionSettings, ProductSettings, VehicleSettings

from .openobd_client import OpenOBD, finished


def told(lines: list[str]) -> dict[str, str]:
    """What a script's lines say: NAME: VALUE."""
    return dict(line.split(": ", 1) for line in lines if ": " in line)


async def test_sessions_from_their_start_to_each_of_their_ends(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench()
    lines = await finished(openobd.script("sessions.py", bench.gateway.endpoint.port))
    assert told(lines) == {
        "started": "ticket=available connector=available unused=available",
        "claimed": "ticket=active connector=active unused=available",
        "second authenticate": "16",
        "no such session": "5",
        "ticket": "20260701 20260701",
        "interrupted": "interrupted",
        "its stream": "9",
        "its call": "16",
        "interrupted again": "9",
        "finished again": "16",
        "ended": "ticket=finished connector=interrupted unused=finished",
        "list": "finished finished interrupted",
    }
    assert not bench.gateway.core.sessions.open


async def test_a_script_outlives_its_tokens(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench(session_token_refresh=2.0, session_token_life=5.0)
    lines = await finished(openobd.script("patient.py", bench.gateway.endpoint.port))
    times = [float(line.split()[-1]) for line in lines if line.startswith("token after")]
    assert times == pytest.approx([2.0, 4.0, 6.0], abs=1.0)
    assert told(lines)["before"] == told(lines)["after"] == "7E00"
    assert told(lines)["call"] == "True"


RULES = (
    AnswerRule(label="ignition", answer=True),
    AnswerRule(label="hood", answer="no"),
    AnswerRule(label="cylinder", answer=3),
    AnswerRule(label="Mileage", answer="12345 km"),
    AnswerRule(label="fuel", answer="diesel"),
)


async def test_controls_answered_by_rule(open_bench, openobd: OpenOBD) -> None:
    bench = await open_bench(ui="auto", answer=RULES)
    lines = await finished(openobd.script("controls.py", bench.gateway.endpoint.port))
    assert "replaced" in lines
    said = told(lines)
    assert said.pop("no rule").startswith('9 no rule answers "What else?"; write a [[gateway.answer]]')
    assert said == {
        "label": "None",
        "label for a while": "None",
        "continue": "None",
        "yes or no": "True",
        "no": "False",
        "number": "3",
        "text": "12345 km",
        "option": "1",
        "forced": "True",
    }


async def test_the_vehicle_its_connection_and_the_log(open_bench, openobd: OpenOBD, caplog) -> None:
    caplog.set_level(logging.DEBUG, "openobd.script")
    product = ProductSettings(number=7, name="Diagnosis")
    connection = ConnectionSettings(vehicle=VehicleSettings(name="Bench 1.0", tecdoc_id=42), product=(product,))
    bench = await open_bench(connection=(connection,))
    lines = await finished(openobd.script("information.py", bench.gateway.endpoint.port))
    assert [line for line in lines if line.startswith("ecu: ")] == [
        "ecu: 7e0 7e8 6/14",
        "ecu: 7e1 7e9 6/14",
        "ecu: 18da10f1 18daf110 6/14",
        "ecu: 18da18f1 18daf118 6/14",
    ]
    said = told(lines)
    assert said["vehicle"] == "Bench 1.0 42 0XCBRDGE0R0000042"
    assert said["product"] == "7 Diagnosis"
    assert said["now"] == "True True True True"
    assert said["monitored"] == "True True"
    logged = [(each.levelname, each.getMessage().partition(": ")[2]) for each in caplog.records]
    assert logged == [
        ("DEBUG", "detail"),
        ("INFO", "VIN 0XCBRDGE0R0000042"),
        ("WARNING", r"two\nlines"),
        ("ERROR", "enough"),
    ]
