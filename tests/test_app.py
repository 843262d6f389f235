"""How a bridge is put together: which plan and which buses the settings mean."""

import asyncio
import itertools
import json

import pytest

from bridge import config
from bridge.app import DEFAULT_LISTENERS, DEMO, Bridge, make_bus, make_plan
from bridge.buses.bus import BusState
from bridge.buses.python_can import PythonCanBus
from bridge.buses.replay import ReplayBus
from bridge.buses.slcan import SlcanBus
from bridge.buses.socketcan import SocketCanBus
from bridge.buses.spec import ReplaySpec, SimulatedSpec, SocketCanSpec, VirtualSpec, parse_bus_spec
from bridge.buses.virtual import VirtualBus
from bridge.config import load
from bridge.errors import BusError, ConfigurationError
from bridge.frames import Frame, FrameBatch
from bridge.interface import Peer
from bridge.openxc.messages import PassthroughCommand
from bridge.policy import Write
from bridge.profile.plan import PlanBus

DBC = """VERSION ""
BU_: ECU
BO_ 291 Body: 8 ECU
 SG_ Lights : 0|8@1+ (1,0) [0|0] "" ECU
"""


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_text(DBC)
    return str(path)


@pytest.fixture
def two_buses(tmp_path):
    """A profile with two buses, of which the second has loopback."""
    path = tmp_path / "car.json"
    buses = {
        "hs": {"controller": 1, "speed": 500000, "raw_writable": True},
        "ms": {"controller": 2, "speed": 125000, "loopback": True},
    }
    path.write_text(json.dumps({"name": "car", "buses": buses, "messages": {}}))
    return str(path)


def plan_of(*specs, **settings):
    """The plan and the kinds of its buses."""
    buses = [spec if isinstance(spec, dict) else {"spec": spec} for spec in specs]
    plan, found = make_plan(load(flags={"bus": buses or None, **settings}))
    assert len(plan.buses) == len(found)
    assert [bus.number for bus in plan.buses] == sorted({bus.number for bus in plan.buses})
    return plan, [type(spec) for spec in found]


# The plan


def test_without_any_setting_it_is_the_demo_on_a_simulated_vehicle():
    plan, specs = plan_of()
    assert plan.name == DEMO
    assert specs == [SimulatedSpec]
    assert plan.buses[0].raw_writable
    assert not plan.buses[0].passthrough


def test_a_simulated_bus_has_the_demo_s_signals():
    plan, specs = plan_of("simulated")
    assert plan.name == DEMO
    assert plan.messages
    assert specs == [SimulatedSpec]


@pytest.mark.parametrize("spec", ["virtual", "replay:car.log", "socketcan:can0", "udp_multicast:239.0.0.1"])
def test_a_plain_bus_gives_its_raw_frames_and_leaves_writing_to_the_listener(spec):
    plan, specs = plan_of(spec)
    assert plan.name == "raw"
    assert not plan.messages
    (bus,) = plan.buses
    assert (bus.number, bus.passthrough, bus.bypass_filter, bus.raw_writable) == (1, True, True, None)
    assert specs == [type(parse_bus_spec(spec))]


def test_the_n_th_bus_is_bus_n():
    plan, specs = plan_of("virtual", "replay:car.log", "socketcan:can0")
    assert [bus.number for bus in plan.buses] == [1, 2, 3]
    assert specs == [VirtualSpec, ReplaySpec, SocketCanSpec]


def test_a_database_gives_signals_and_no_raw_frames(dbc):
    plan, specs = plan_of("virtual", dbc=dbc)
    (message,) = plan.messages
    assert (message.bus, message.id) == (1, 0x123)
    assert [signal.name for signal in message.signals] == ["Lights"]
    assert plan.buses[0].raw_writable is None
    assert not plan.buses[0].passthrough
    assert plan.buses[0].bypass_filter  # so that the passthrough command gives all of them
    assert specs == [VirtualSpec]


def test_a_database_beside_a_profile_adds_its_messages(dbc):
    plan, _ = plan_of("virtual", profile="passthrough", dbc=dbc)
    assert plan.name == "passthrough"
    assert [message.id for message in plan.messages] == [0x123]
    assert plan.buses[0].passthrough
    assert plan.buses[0].raw_writable


def test_a_database_without_a_bus_gets_a_virtual_one_or_none(dbc):
    plan, specs = plan_of(dbc=dbc)
    assert plan.messages
    assert set(specs) <= {VirtualSpec}


def test_buses_of_a_profile_that_nobody_names_are_virtual(two_buses):
    plan, specs = plan_of(profile=two_buses)
    assert [bus.number for bus in plan.buses] == [1, 2]
    assert specs == [VirtualSpec, VirtualSpec]
    plan, specs = plan_of("socketcan:can0", profile=two_buses)
    assert specs == [SocketCanSpec, VirtualSpec]
    assert [bus.loopback for bus in plan.buses] == [False, True]


def test_the_demo_s_bus_is_simulated_unless_named():
    assert plan_of(profile="demo")[1] == [SimulatedSpec]
    assert plan_of("socketcan:can0", profile="demo")[1] == [SocketCanSpec]
    assert plan_of(profile="obd2")[1] == [VirtualSpec]


def test_a_bus_beyond_the_profile_s_own_is_undescribed(two_buses):
    plan, specs = plan_of("virtual", "virtual", "socketcan:can0", profile=two_buses)
    assert specs[2] is SocketCanSpec
    third = plan.buses[2]
    assert (third.number, third.raw_writable, third.passthrough, third.bypass_filter) == (3, None, False, True)


@pytest.mark.parametrize("key", ["loopback", "raw_writable", "passthrough", "bypass_filter"])
@pytest.mark.parametrize("value", [True, False])
def test_the_configuration_goes_before_the_profile(two_buses, key, value):
    plan, _ = plan_of("virtual", {"spec": "virtual", key: value}, profile=two_buses)
    unchanged, _ = plan_of("virtual", "virtual", profile=two_buses)
    assert getattr(plan.buses[1], key) is value
    assert plan.buses[0] == unchanged.buses[0]


@pytest.mark.parametrize(
    "settings", [{"profile": "nowhere.json"}, {"dbc": "nowhere.dbc"}, {"bus": [{"spec": "what is this"}]}]
)
def test_what_makes_no_sense_is_one_line(settings):
    with pytest.raises(ConfigurationError) as error:
        make_plan(load(flags=settings))
    assert "\n" not in str(error.value)


def test_every_shipped_profile_can_run():
    for name in ("demo", "functional", "obd2", "passthrough"):
        plan, specs = plan_of(profile=name)
        assert specs
        assert not plan.warnings


# Buses


async def test_a_bus_of_each_kind():
    described = PlanBus(2, "hs", speed=125000, loopback=True)
    virtual = make_bus(VirtualSpec(), described)
    assert isinstance(virtual, VirtualBus)
    assert (virtual.number, virtual.loopback) == (2, True)
    replay = make_bus(parse_bus_spec("replay:car.log?speed=max"), described)
    assert isinstance(replay, ReplayBus)
    assert replay.number == 2
    adapter = make_bus(parse_bus_spec("pcan:PCAN_USBBUS1"), described)
    assert isinstance(adapter, PythonCanBus)
    assert adapter.number == 2
    interface = make_bus(parse_bus_spec("socketcan:can0"), described)
    assert isinstance(interface, SocketCanBus)
    assert (interface.number, interface.loopback) == (2, True)
    serial = make_bus(parse_bus_spec("slcan:/dev/ttyACM0"), described)
    assert isinstance(serial, SlcanBus)
    assert (serial.number, serial.loopback) == (2, True)


def test_only_the_user_asks_for_a_bitrate(monkeypatch):
    made = []
    monkeypatch.setattr("bridge.app.SocketCanBus", lambda *arguments, **options: made.append((arguments, options)))
    described = PlanBus(1, "hs", speed=125000)
    for text in ("socketcan:can0", "socketcan:can0@500000?dbitrate=2000000"):
        make_bus(parse_bus_spec(text), described)
    assert [(arguments[2:], options) for arguments, options in made] == [
        (("can0", None, None), {"loopback": False}),
        (("can0", 500000, 2000000), {"loopback": False}),
    ]


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [("slcan:/dev/ttyACM0", "125001"), ("slcan:/dev/ttyACM0@33333", "33333"), ("slcan:/dev/ttyACM0?btr=0", "btr=0")],
)
async def test_a_bit_rate_that_slcan_does_not_have_is_said_before_anything_is_opened(spec, wrong):
    with pytest.raises(ConfigurationError, match=wrong) as caught:
        make_bus(parse_bus_spec(spec), PlanBus(1, "hs", speed=125001))
    assert str(caught.value).startswith(f"bus {spec!r}: ")


# A remote vehicle

REMOTE = {"client_id": "someone", "client_secret": "something"}


def test_a_remote_bus_passes_raw_frames_through_where_it_has_a_list():
    for spec, passes in (("openobd:ticket/1", False), ("openobd:ticket/1?raw=0x123", True)):
        plan, _ = plan_of(bus=[{"spec": spec}])
        assert plan.buses[0].passthrough is passes


async def test_a_remote_bus_names_the_profiles_ids_and_its_own():
    bridge = bridge_of(profile="demo", bus=[{"spec": "openobd:ticket/1?raw=0x123"}], openobd=REMOTE)
    named = bridge.buses[1]._named
    assert 0x123 in named
    assert {message.id for message in bridge.plan.messages} < named
    assert bridge.buses[1].delay > 0


async def test_a_write_on_a_remote_bus_is_as_real_as_any():
    bridge = bridge_of(bus=[{"spec": "openobd:ticket/1"}], openobd=REMOTE)
    assert bridge.listeners[0].grants is Write.READ_DIAGNOSTIC


async def test_a_remote_bus_without_a_list_refuses_passthrough():
    bridge = bridge_of(bus=[{"spec": "virtual"}, {"spec": "openobd:ticket/1"}], openobd=REMOTE)
    peer = Peer("client 1", Write.ALL)
    for number, status in ((1, True), (2, False)):
        command = PassthroughCommand(name="passthrough", bus=number, enabled=True)
        ((_, response),) = bridge.interface.handle(command, peer, 0.0).responses
        assert response.status is status
    assert response.message.startswith("bus 2 is a remote openOBD session, which hears only")


# Listeners


def bridge_of(**settings):
    return Bridge(config.load(flags=settings))


async def test_the_default_listeners_are_a_port_and_a_terminal():
    bridge = bridge_of()
    assert [listener.url for listener in bridge.listeners] == [listener.url for listener in DEFAULT_LISTENERS]
    assert bridge.listeners[0].url == "tcp://127.0.0.1:50001"
    assert "nc 127.0.0.1 50001" in bridge.describe()


async def test_a_listener_s_own_grants_go_before_the_bridge_s():
    bridge = bridge_of(
        allow_write="signals",
        listen=[
            {"url": "tcp://127.0.0.1:0"},
            {"url": "tcp://127.0.0.1:0", "allow_write": "none"},
            {"url": "tcp://127.0.0.1:0?allow-write=raw", "allow_write": "none"},
        ],
    )
    assert [listener.grants for listener in bridge.listeners] == [Write.SIGNAL, Write.NONE, Write.RAW]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"allow_write": "everything"}, "allow_write"),
        ({"listen": [{"url": "unix:a"}, {"url": "unix:b", "allow_write": "everything"}]}, "listen[1].allow_write"),
        ({"listen": [{"url": "unix:a?allow-write=everything"}]}, "--listen unix:a?allow-write=everything"),
        ({"gateway": {"listen": "127.0.0.1:0", "allow_write": "everything"}}, "gateway.allow_write"),
    ],
)
async def test_a_word_that_allows_nothing_is_said_with_its_place(settings, where):
    with pytest.raises(ConfigurationError) as caught:
        bridge_of(**settings)
    assert str(caught.value).startswith(f'{where}: "everything" cannot be allowed; use one or more of none, ')


async def test_a_gateway_that_is_described_but_does_not_listen_is_told(caplog):
    for gateway, told in (({}, False), ({"ui": "auto"}, True), ({"listen": "127.0.0.1:0", "ui": "auto"}, False)):
        caplog.clear()
        bridge = bridge_of(listen=[{"url": "tcp://127.0.0.1:0"}], gateway=gateway)
        await bridge.start()
        await bridge.stop()
        assert ("there is no openOBD server: gateway.listen is not set" in caplog.text) is told, gateway


async def test_the_description_says_what_and_where():
    bridge = bridge_of(bus=[{"spec": "virtual"}], listen=[{"url": "unix:/run/vi"}], allow_write="signals")
    lines = bridge.describe().splitlines()
    assert lines[1] == "  bus 1: virtual, no signals defined (raw frames on)"
    assert lines[2] == "  apps connect to unix:/run/vi (json), may write: signals"
    assert lines[3] == "try: openxc-bridge dump unix:/run/vi"
    assert len(lines) == 4


async def test_many_bridges_may_be_made_and_none_is_left_open():
    for _ in range(3):
        bridge = bridge_of(listen=[{"url": "tcp://127.0.0.1:0"}])
        await bridge.start()
        await bridge.stop()
        await bridge.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_bridge_that_cannot_start_closes_what_it_opened():
    bridge = bridge_of(bus=[{"spec": "replay:nowhere.log"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    with pytest.raises(BusError):
        await bridge.start()
    await bridge.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    port = int(bridge.listeners[0].url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_frame_that_a_closed_bus_cannot_send_is_a_line_in_the_log(caplog):
    bridge = bridge_of(profile="functional", listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        await bridge.buses[1].close()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.listeners[0].url.rpartition(":")[2]))
        writer.write(b'{"id":1,"data":"0x12"}\0{"command":"get_vin"}\0')
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"\0")
        assert b'"status":false' in answer
        assert "a frame was not sent" in caplog.text
        writer.close()
        await writer.wait_closed()
    finally:
        await bridge.stop()


async def test_a_bus_that_goes_to_and_fro_does_not_fill_the_log(caplog):
    caplog.set_level("INFO")
    bridge = bridge_of(bus=[{"spec": "virtual"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    bus = bridge.buses[1]
    for _ in range(100):
        bridge.bus_state_changed(bus, BusState.ERROR_PASSIVE, "too many errors")
        bridge.bus_state_changed(bus, BusState.UP, "fewer errors")
    bridge.bus_state_changed(bus, BusState.GONE, "unplugged")
    bridge.bus_state_changed(bus, BusState.UP, "back")
    bridge.bus_state_changed(bus, BusState.GONE, "unplugged again")
    assert [line.partition(" is ")[2] for line in caplog.messages] == [
        "error-passive: too many errors",
        "up: fewer errors",
        "gone: unplugged",
        "up: back",
        "gone: unplugged again",
    ]


@pytest.mark.parametrize(("spec", "answered"), [("simulated?latency=0", True), ("simulated?latency=60", False)])
async def test_the_simulated_ecus_answer_as_soon_as_the_user_says(spec, answered):
    bridge = bridge_of(bus=[{"spec": spec}], listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        assert f"  bus 1: {spec}, 33 signals" in bridge.describe()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.listeners[0].url.rpartition(":")[2]))
        writer.write(b'{"command":"get_vin"}\0')
        async with asyncio.timeout(10):
            while b"get_vin" not in (record := await reader.readuntil(b"\0")):
                pass
        assert json.loads(record[:-1])["status"] is answered
        writer.close()
        await writer.wait_closed()
    finally:
        await bridge.stop()


@pytest.mark.parametrize(
    ("frequency", "failures", "answers"),
    [
        (0, 1, [True]),  # the channel opens at the second try, which is that of the request itself
        (0, 2, [False]),
        (10, 4, [True, True]),
    ],
)
async def test_a_channel_that_could_not_be_opened_is_tried_again(monkeypatch, frequency, failures, answers):
    open_isotp, tries = VirtualBus.open_isotp, itertools.count(1)

    def failing(bus, request_id, *arguments, **options):
        if request_id == 0x7E1 and next(tries) <= failures:
            raise BusError("all pairs of ids are in use")
        return open_isotp(bus, request_id, *arguments, **options)

    monkeypatch.setattr(VirtualBus, "open_isotp", failing)
    bridge = bridge_of(bus=[{"spec": "simulated"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.listeners[0].url.rpartition(":")[2]))
        request = {"bus": 1, "id": 0x7E1, "mode": 1, "pid": 0, "frequency": frequency}
        command = {"command": "diagnostic_request", "action": "add", "request": request}
        writer.write(json.dumps(command).encode() + b"\0")
        successes: list[bool] = []
        async with asyncio.timeout(10):
            while len(successes) < len(answers):
                record = json.loads((await reader.readuntil(b"\0"))[:-1])
                if record.get("id") == 0x7E1:
                    successes.append(record["success"])
        assert successes == answers
        writer.close()
        await writer.wait_closed()
    finally:
        await bridge.stop()


async def test_a_bus_is_told_which_ids_are_of_use(dbc, monkeypatch):
    told = []
    monkeypatch.setattr(VirtualBus, "want_ids", lambda bus, ids: told.append(ids))
    bridge = bridge_of(dbc=dbc, bus=[{"spec": "virtual"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        defined = frozenset({(291, False), (0x40A, False)})  # the latter may carry the VIN
        assert told == [defined]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.listeners[0].url.rpartition(":")[2]))
        for command in ('"af_bypass","bypass":false', '"passthrough","enabled":true', '"af_bypass","bypass":true'):
            writer.write(f'{{"command":{command},"bus":1}}\0'.encode())
            async with asyncio.timeout(10):
                await reader.readuntil(b"\0")
        assert told[1:] == [defined, defined, None]
        writer.close()
        await writer.wait_closed()
    finally:
        await bridge.stop()


async def test_what_a_trace_has_besides_frames_is_published(tmp_path):
    trace = tmp_path / "drive.json"
    trace.write_text(
        '{"metadata":{"version":"1"}}\n'
        '{"timestamp":1.0,"name":"vehicle_speed","value":42}\n'
        '{"timestamp":1.1,"bus":1,"id":66,"data":"0x1234"}\n'
        '{"timestamp":1.2,"name":"door_status","value":"driver","event":true}\n'
    )
    bridge = bridge_of(bus=[{"spec": f"replay:{trace}?speed=max&wait"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.listeners[0].url.rpartition(":")[2]))
        async with asyncio.timeout(10):
            records = [await reader.readuntil(b"\0") for _ in range(3)]
        assert records == [
            b'{"name":"vehicle_speed","value":42}\0',
            b'{"bus":1,"id":66,"data":"0x1234"}\0',
            b'{"name":"door_status","value":"driver","event":true}\0',
        ]
        writer.close()
        await writer.wait_closed()
    finally:
        await bridge.stop()


async def test_the_ignition_is_heard_while_nobody_listens(dbc):
    bridge = bridge_of(
        dbc=dbc,
        bus=[{"spec": "virtual"}],
        listen=[{"url": "tcp://127.0.0.1:0"}],
        gateway={"listen": "127.0.0.1:0", "terminal15": "Lights"},
    )
    bridge.frames_received(bridge.buses[1], FrameBatch.of([Frame(id=291, data=b"\2")]))
    assert bridge.interface.signal("Lights") == 2
    await bridge.stop()


async def test_nothing_is_written_down_while_nobody_listens():
    bridge = bridge_of(bus=[{"spec": "virtual"}], listen=[{"url": "tcp://127.0.0.1:0"}])
    await bridge.start()
    try:
        batch = FrameBatch.of([Frame(id=1)])
        bridge.frames_received(bridge.buses[1], batch)
        assert bridge.interface.translator.formats == frozenset()
        assert not bridge.interface.frames(batch, 0.0).records
    finally:
        await bridge.stop()
