"""From a spec and the settings to a remote bus, or to a line that says what is missing."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest

from bridge.buses.openobd import OpenObdBus
from bridge.buses.openobd_making import make_openobd_bus
from bridge.buses.openobd_origin import HandedOver, Partner, read_session_info
from bridge.buses.spec import parse_bus_spec
from bridge.config import OpenObdSettings, ResultName, UserFeedbackName
from bridge.errors import ConfigurationError
from bridge.openobd.messages import CanBitRate, CanProtocol, Result, SessionInfo, UserFeedback

WHO = {"client_id": "someone", "client_secret": "a secret"}
INFO = SessionInfo(id="7f", grpc_endpoint="127.0.0.1", grpc_port=50051, authentication_token="secret")
TEXT = base64.b64encode(INFO.SerializeToString()).decode()


def made(spec: str, speed: int | None = None, **settings) -> OpenObdBus:
    return make_openobd_bus(1, parse_bus_spec(spec), OpenObdSettings(**settings), speed=speed)


def configured(bus: OpenObdBus):
    (configuration,) = bus._session._configuration
    return configuration.can_bus


async def test_a_bus_on_a_ticket() -> None:
    bus = made("openobd:ticket/12", **WHO)
    assert (bus.number, bus.name) == (1, "openobd:ticket/12")
    can = configured(bus)
    assert (can.pin_plus, can.pin_min) == (6, 14)
    assert (can.can_protocol, can.can_bit_rate) == (CanProtocol.CAN_PROTOCOL_ISOTP, CanBitRate.CAN_BIT_RATE_500)
    assert list(bus.result.result) == [Result.RESULT_SUCCESS]


@pytest.mark.parametrize(
    ("spec", "speed", "rate"),
    [
        ("openobd:ticket/1", 125_000, CanBitRate.CAN_BIT_RATE_125),
        ("openobd:ticket/1@250000", 125_000, CanBitRate.CAN_BIT_RATE_250),
        ("openobd:ticket/1@83333", None, CanBitRate.CAN_BIT_RATE_83_3),
        ("openobd:ticket/1@33300", None, CanBitRate.CAN_BIT_RATE_33_3),
    ],
)
async def test_the_bit_rate_is_the_specs_then_the_profiles(spec, speed, rate) -> None:
    assert configured(made(spec, speed, **WHO)).can_bit_rate == rate


async def test_every_result_has_its_name_in_the_protocol() -> None:
    for name in ResultName.__args__:
        (value,) = made("openobd:ticket/1", result=name, **WHO).result.result
        assert Result.Name(value) == f"RESULT_{name.upper().replace('-', '_')}"
    for name in UserFeedbackName.__args__:
        value = made("openobd:ticket/1", user_feedback=name, **WHO).result.user_feedback
        assert UserFeedback.Name(value) == f"USER_FEEDBACK_{name.upper().replace('-', '_')}"


async def test_a_session_comes_from_a_variable_or_a_file(tmp_path) -> None:
    file = tmp_path / "a@b.session"
    file.write_text(f"{TEXT[:20]}\n{TEXT[20:]}\n")
    for bus in (
        made("openobd:session", session_info=TEXT),
        made(f"openobd:session/{str(file).replace('@', '%40')}"),
    ):
        origin = bus._session._origin
        assert isinstance(origin, HandedOver)
        assert await origin.obtain() == INFO


@pytest.mark.parametrize(
    ("spec", "settings", "says"),
    [
        ("openobd:ticket/1", {}, "set OPENOBD_PARTNER_CLIENT_ID, or openobd.client_id"),
        ("openobd:ticket/1", {"client_id": "x"}, "set OPENOBD_PARTNER_CLIENT_SECRET"),
        ("openobd:ticket/1", WHO | {"port": 50051}, "grpc.openobd.com:50051 would be talked to in the clear"),
        ("openobd:ticket/1", WHO | {"ca": "/nowhere/ca.pem"}, "openobd.ca: /nowhere/ca.pem: No such file"),
        ("openobd:ticket/1", WHO | {"ca": __file__}, "test_openobd_making.py: there is no certificate in PEM in it"),
        (
            "openobd:ticket/1",
            WHO | {"ca": __file__, "tls": False},
            "openobd.ca: it is for TLS, and openobd.tls is false",
        ),
        ("openobd:ticket/1@500001", WHO, "openOBD has no bit rate 500001; it has 1000000, 500000,"),
        ("openobd:session", {}, "OPENOBD_SESSION_INFO: no SessionInfo"),
        ("openobd:session", {"session_info": "?"}, "OPENOBD_SESSION_INFO: no SessionInfo"),
        ("openobd:session//nowhere/x", {}, "bus 'openobd:session//nowhere/x': No such file"),
    ],
)
async def test_what_is_missing_is_said_in_one_line(spec, settings, says) -> None:
    with pytest.raises(ConfigurationError) as error:
        made(spec, **settings)
    line = str(error.value)
    assert says in line
    assert "\n" not in line
    assert "a secret" not in line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "äöü",
        base64.b64encode(b"\xff\xff\xff").decode(),
        base64.b64encode(SessionInfo(id="7f").SerializeToString()).decode(),
        base64.b64encode(SessionInfo(id="7f", grpc_endpoint="x").SerializeToString()).decode(),
    ],
)
def test_what_is_no_session_info(text) -> None:
    with pytest.raises(ConfigurationError, match="here: no SessionInfo"):
        read_session_info(text, "here")


def test_secrets_are_not_shown() -> None:
    bus = made("openobd:ticket/1", **WHO)
    origin = bus._session._origin
    assert isinstance(origin, Partner)
    assert "a secret" not in repr(origin._account)


def test_who_has_no_remote_session_does_not_load_grpc() -> None:
    """It would cost every user start-up time and memory."""
    code = (
        "import sys, bridge.app, bridge.buses.spec as spec; spec.parse_bus_spec('openobd:ticket/1'); "
        "sys.exit('grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
