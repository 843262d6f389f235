"""The daemon: builds the rooms from the settings and wires them together. Nothing else does.

Bus ──frames──▶ VehicleInterface ──records──▶ Hub ──▶ clients
client ──bytes──▶ StreamDecoder ──messages──▶ VehicleInterface ──▶ responses, frames, payloads
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from bridge import __version__, codec
from bridge.buses.bus import Bus, BusState, IsotpChannel
from bridge.buses.python_can import PythonCanBus
from bridge.buses.replay import ReplayBus
from bridge.buses.slcan import DEFAULT_BAUDRATE, SlcanBus
from bridge.buses.slcan_adapter import ChannelSettings
from bridge.buses.socketcan import SocketCanBus
from bridge.buses.spec import (
    BusSpec,
    OpenObdSpec,
    PythonCanSpec,
    ReplaySpec,
    SimulatedSpec,
    SlcanSpec,
    SocketCanSpec,
    VirtualSpec,
    parse_bus_spec,
)
from bridge.buses.virtual import Segment, VirtualBus
from bridge.clients.client import Client
from bridge.clients.hub import Hub
from bridge.clients.listener import ClientPlaces, Listener
from bridge.clients.urls import TcpUrl, make_listener, parse_listen_url
from bridge.config import BusSettings, GatewaySettings, ListenerSettings, OpenObdSettings, Settings
from bridge.diagnostics.addressing import ChannelAddress
from bridge.diagnostics.events import CloseChannel, OpenChannel, SendPayload
from bridge.errors import BusError, ConfigurationError
from bridge.frames import Frame, FrameBatch
from bridge.interface import Identity, Output, Peer, VehicleInterface
from bridge.limits import SHUTDOWN_TIMEOUT
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import CommandResponse, InvalidRecord, PayloadFormat
from bridge.openxc.protobuf_wire import BETWEEN_FORMATS
from bridge.openxc.stream import StreamDecoder
from bridge.policy import Write, default_grants, describe_grants, parse_grants
from bridge.profile import loading
from bridge.profile.plan import Plan, PlanBus
from bridge.seldom import SeldomLog
from bridge.simulator.node import SimulatedVehicle
from bridge.visible import one_line

if TYPE_CHECKING:
    from bridge.gateway.server import Gateway

_log = logging.getLogger(__name__)

DEMO = "demo"  #: the profile of the simulated vehicle
DEFAULT_LISTENERS = (
    ListenerSettings(url="tcp://127.0.0.1:50001"),
    ListenerSettings(url="pty:/tmp/openxc-vi"),
)

_ERROR_STATES = (BusState.ERROR_PASSIVE, BusState.BUS_OFF)
_ENCODERS = {PayloadFormat.JSON: json_format.encode, PayloadFormat.PROTOBUF: protobuf_format.encode}


@dataclass(eq=False, slots=True)
class _App:
    """One connected client and what the daemon keeps for it."""

    client: Client
    peer: Peer
    decoder: StreamDecoder
    detected: bool = False  #: its first bytes have shown its payload format


class Bridge:
    """The running daemon. Made and used on one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Check everything that can be checked without touching a device.

        Raises:
            ConfigurationError: one line that says what is wrong.
        """
        self._settings = settings
        self.plan, self._specs = make_plan(settings)
        harmless = [isinstance(spec, SimulatedSpec | VirtualSpec) for spec in self._specs]
        self._default_grants = default_grants(harmless)
        self._default_grants = self._parse_grants(settings.allow_write, "allow_write")
        self._loop = asyncio.get_running_loop()
        self._hub = Hub()
        self.interface = VehicleInterface(
            self.plan,
            identity=Identity(platform=settings.platform, device_id=settings.device_id),
            max_frequency=settings.diagnostics.max_frequency,
            parts=settings.diagnostics.responses == "frames",
            selective=_selective(self.plan, self._specs),
            delay=lambda bus: self.buses[bus].delay,
            asked=() if settings.gateway.terminal15 is None else (settings.gateway.terminal15,),
        )
        self.listeners = self._make_listeners(settings.listen or DEFAULT_LISTENERS)
        self._vehicles: list[SimulatedVehicle] = []
        self.buses = {bus.number: bus for bus in self._make_buses()}
        self.gateway = self._make_gateway() if settings.gateway.listen is not None else None
        self._apps: dict[int, _App] = {}
        self._by_peer: dict[Peer, _App] = {}
        self._channels: dict[ChannelAddress, IsotpChannel] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._profile_faults = SeldomLog(_log)
        self._refusals = SeldomLog(_log)
        self._send_failures = SeldomLog(_log)
        self._bus_states: dict[int, BusState] = {}  # as they were last reported
        self._unrest: dict[BusState, SeldomLog] = {state: SeldomLog(_log) for state in BusState}
        self._told_ids = -1  # the translator's wanted_changes when the buses were last told

    def _make_listeners(self, listen: Iterable[ListenerSettings]) -> list[Listener]:
        places = ClientPlaces(self._settings.limits.clients)
        listeners = []
        for index, listener in enumerate(listen):
            url = parse_listen_url(listener.url)
            if listener.insecure and isinstance(url, TcpUrl):
                url = replace(url, insecure=True)
            words, where = listener.allow_write, f"listen[{index}].allow_write"
            if url.allow_write is not None:
                words, where = url.allow_write, f"--listen {listener.url}"
            listeners.append(
                make_listener(
                    url,
                    grants=self._parse_grants(words, where),
                    payload_format=PayloadFormat(listener.payload_format or self._settings.payload_format),
                    places=places,
                    queue_limit=self._settings.limits.client_queue,
                )
            )
        return listeners

    def _parse_grants(self, words: str | None, where: str) -> Write:
        """What the words at that place of the settings grant; without any, what the whole bridge does."""
        if words is None:
            return self._default_grants
        try:
            return parse_grants(words)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None

    def _make_buses(self) -> Iterable[Bus]:
        for spec, described in zip(self._specs, self.plan.buses, strict=True):
            if isinstance(spec, SimulatedSpec):
                segment = Segment()
                vehicle = VirtualBus(described.number, "the simulated vehicle", segment)
                demo, seed = loading.load(DEMO), described.number
                self._vehicles.append(SimulatedVehicle(vehicle, demo, seed=seed, latency=spec.latency))
                yield VirtualBus(described.number, described.name, segment, described.loopback)
            elif isinstance(spec, OpenObdSpec):
                yield make_remote_bus(spec, described, self.plan, self._settings.openobd)
            else:
                yield make_bus(spec, described, self._hub.drained, self._replayed)

    def _make_gateway(self) -> Gateway:
        # Only who has a gateway pays for gRPC, in start-up time and in memory.
        from bridge.gateway.server import Gateway  # noqa: PLC0415
        from bridge.gateway.vehicle import Vehicle  # noqa: PLC0415

        settings = self._settings.gateway
        if settings.terminal15 is not None and self.interface.translator.lookup(settings.terminal15) is None:
            raise ConfigurationError(f'gateway.terminal15: the profile has no signal "{settings.terminal15}"')
        grants = self._parse_grants(settings.allow_write, "gateway.allow_write")
        interface = self.interface
        return Gateway(settings, Vehicle(self.buses, grants, interface.rules, interface.mute, interface.signal))

    # Life

    async def start(self) -> None:
        """Open the listeners, then the buses.

        Raises:
            ConfigurationError, BusError: one line; call stop() all the same.
        """
        for warning in self.plan.warnings:
            _log.warning("%s", warning)
        if self.gateway is None and self._settings.gateway != GatewaySettings():
            _log.warning("there is no openOBD server: gateway.listen is not set; set it, or use --gateway HOST:PORT")
        for listener in self.listeners:
            await listener.open(self)
        self._tell_wanted_ids()
        for bus in self.buses.values():
            await bus.open(self)
        for vehicle in self._vehicles:
            await vehicle.start()
        if self.gateway is not None:
            await self.gateway.start()
        self._carry_out(self.interface.start(self._loop.time()))

    async def stop(self) -> None:
        """Close everything, whatever hangs, within SHUTDOWN_TIMEOUT. Calling it twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        closing: list[Awaitable[None]] = [vehicle.stop() for vehicle in self._vehicles]
        closing += [listener.close() for listener in self.listeners]
        closing += [bus.close() for bus in self.buses.values()]
        if self.gateway is not None:
            closing.append(self.gateway.stop())
        try:
            results = await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), SHUTDOWN_TIMEOUT)
        except TimeoutError:
            _log.warning("something did not close within %g s and is left behind", SHUTDOWN_TIMEOUT)
            return
        for result in results:
            if isinstance(result, Exception):
                _log.error("while closing: %s", result)

    def describe(self) -> str:
        """What is served, where, what may be written and what to try, in a few lines."""
        lines = [f"openxc-bridge {__version__}, profile {self.plan.name}, codec in {codec.IMPLEMENTATION}"]
        for spec, described in zip(self._specs, self.plan.buses, strict=True):
            raw = " (raw frames on)" if described.passthrough else ""
            lines.append(f"  bus {described.number}: {spec.text}, {_counted(self.plan, described.number)}{raw}")
        for listener in self.listeners:
            lines.append(f"  apps connect to {listener.describe()}, may write: {describe_grants(_grants(listener))}")
        if self.gateway is not None:
            lines += self.gateway.describe()
        lines.append(self._hint())
        return "\n".join(lines)

    def _hint(self) -> str:
        for listener in self.listeners:
            kind, _, where = listener.url.partition(":")
            if kind == "tcp" and self._settings.payload_format == "json":
                host, _, port = where.removeprefix("//").rpartition(":")
                return f"try: nc {host.strip('[]')} {port} | tr '\\0' '\\n'"
        return f"try: openxc-bridge dump {self.listeners[0].url}" if self.listeners else "nobody can connect"

    # Buses (BusListener)

    def frames_received(self, bus: Bus, batch: FrameBatch) -> None:
        """Frames of a vehicle."""
        self._carry_out(self.interface.frames(batch, self._loop.time()))
        for fault in self.interface.translator.take_faults():
            self._profile_faults.warning("the profile's own code: %s", one_line(fault))

    def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
        """A vehicle connection came, went or fell ill."""
        before, self._bus_states[bus.number] = self._bus_states.get(bus.number), state
        if self.gateway is not None:
            self.gateway.bus_state_changed(bus.number, state)
        values = (bus.number, bus.name, state.value, reason)
        if state in _ERROR_STATES or before in _ERROR_STATES:
            # A controller on a bad wire goes to and fro, as often as it sees a frame.
            self._unrest[state].warning("bus %d (%s) is %s: %s", *values)
        else:
            level = logging.INFO if state is BusState.UP else logging.WARNING
            _log.log(level, "bus %d (%s) is %s: %s", *values)

    def _replayed(self, fields: dict[str, Any]) -> None:
        """A record of a trace that is no frame: published as it was recorded, without its time.

        Not so an answer to a command, which would be taken for the answer to somebody's command now.
        """
        try:
            message = json_format.outgoing_from_fields(fields)
        except InvalidRecord as error:
            self._profile_faults.warning("the trace has a record that makes no sense: %s", error)
            return
        if not isinstance(message, CommandResponse):
            self._carry_out(Output(records=self.interface.encode(msgspec.structs.replace(message, timestamp=None))))

    # Clients (ClientHandler)

    def client_connected(self, client: Client) -> None:
        """An app is there."""
        app = _App(client, Peer(repr(client), _grants(client)), StreamDecoder(can_writes=codec.can_writes))
        self._apps[client.id] = app
        self._by_peer[app.peer] = app
        self._hub.add(client)
        self._formats_changed()
        _log.info("%s connected", client)
        for bus in self.buses.values():
            if isinstance(bus, ReplayBus):
                bus.client_arrived()

    def client_data(self, client: Client, data: bytes) -> None:
        """An app said something."""
        app = self._apps[client.id]
        for message in app.decoder.feed(data):
            self._detect(app)
            self._carry_out(self.interface.handle(message, app.peer, self._loop.time()))
        self._detect(app)

    def client_gone(self, client: Client) -> None:
        """An app has left."""
        app = self._apps.pop(client.id)
        del self._by_peer[app.peer]
        self._hub.remove(client)
        self._formats_changed()
        self._carry_out(self.interface.disconnect(app.peer, self._loop.time()))
        _log.info("%s has gone%s", client, _losses(app))

    def _detect(self, app: _App) -> None:
        """The first bytes of a client show the payload format that it wants to be answered in, too."""
        if app.detected or app.decoder.payload_format is None:
            return
        app.detected = True
        if app.client.payload_format is not app.decoder.payload_format:
            self._set_format(app, app.decoder.payload_format)
            if app.decoder.payload_format is PayloadFormat.PROTOBUF:
                app.client.send_response(BETWEEN_FORMATS)

    def _set_format(self, app: _App, payload_format: PayloadFormat) -> None:
        self._hub.set_format(app.client, payload_format)
        self._formats_changed()

    def _formats_changed(self) -> None:
        self.interface.translator.want(self._hub.formats)

    # Carrying out what the vehicle interface decides

    def _carry_out(self, output: Output) -> None:
        for peer, response in output.responses:
            self._respond(peer, response)
        for peer, payload_format in output.formats:
            if peer in self._by_peer:
                self._set_format(self._by_peer[peer], payload_format)
        if output.records:
            records = output.records
            self._hub.publish(
                {PayloadFormat.JSON: records.json, PayloadFormat.PROTOBUF: records.protobuf}, records.count
            )
        for frame in output.frames:
            self._send(frame)
        for event in output.channels:
            self._operate(event)
        for refusal in output.refusals:
            self._refusals.warning("write refused: %s", one_line(refusal))
        for fault in output.faults:
            self._profile_faults.warning("the profile's own code: %s", one_line(fault))
        self._tell_wanted_ids()
        self._schedule()

    def _tell_wanted_ids(self) -> None:
        """Have each bus read only what makes a difference, whenever that is something else."""
        translator = self.interface.translator
        if self._told_ids != translator.wanted_changes:
            self._told_ids = translator.wanted_changes
            for bus in self.buses.values():
                bus.want_ids(translator.wanted_ids(bus.number))

    def _respond(self, peer: Peer, response: CommandResponse) -> None:
        app = self._by_peer.get(peer)
        if app is not None and (record := _ENCODERS[app.client.payload_format](response)):
            app.client.send_response(record)

    def _send(self, frame: Frame) -> None:
        try:
            self.buses[frame.bus].send(FrameBatch.of([frame]))
        except BusError as error:
            self._send_failures.warning("a frame was not sent: %s", error)

    def _operate(self, event: OpenChannel | CloseChannel | SendPayload) -> None:
        """Open, use or close an ISO-TP channel; what cannot be sent is reported back.

        A channel that could not be opened is tried again with each request, whatever has freed it since.
        """
        address = event.address
        try:
            if isinstance(event, OpenChannel):
                self._open_channel(address)
            elif isinstance(event, SendPayload):
                if address not in self._channels:
                    self._open_channel(address)
                self._channels[address].send(event.payload)
            elif address in self._channels:
                self._channels.pop(address).close()
        except BusError as error:
            self._send_failures.warning("diagnostics to 0x%x: %s", address.request_id, error)
            if isinstance(event, SendPayload):
                self._loop.call_soon(self._channel_failed, address, str(error))

    def _open_channel(self, address: ChannelAddress) -> None:
        self._channels[address] = self.buses[address.bus].open_isotp(
            address.request_id,
            address.response_id,
            extended=address.extended,
            receiver=partial(self._payload, address),
            failure=partial(self._channel_failed, address),
            progress=partial(self._progress, address),
        )

    def _payload(self, address: ChannelAddress, payload: bytes) -> None:
        self._carry_out(self.interface.payload(address, payload, self._loop.time()))

    def _progress(self, address: ChannelAddress) -> None:
        self.interface.progress(address, self._loop.time())

    def _channel_failed(self, address: ChannelAddress, reason: str) -> None:
        self._carry_out(self.interface.channel_failed(address, reason, self._loop.time()))

    def _schedule(self) -> None:
        """Have poll() called when the vehicle interface next wants it."""
        wakeup = self.interface.next_wakeup()
        if self._timer is not None:
            if self._timer.when() == wakeup:
                return
            self._timer.cancel()
            self._timer = None
        if wakeup is not None:
            self._timer = self._loop.call_at(wakeup, self._poll)

    def _poll(self) -> None:
        self._timer = None
        self._carry_out(self.interface.poll(self._loop.time()))


# Building


def make_plan(settings: Settings) -> tuple[Plan, tuple[BusSpec, ...]]:
    """The plan, and a bus for each of its buses, in the same order.

    Raises:
        ConfigurationError: a profile, a database or a bus makes no sense.
    """
    specs: list[BusSpec] = [parse_bus_spec(bus.spec) for bus in settings.bus]
    profile = settings.profile
    if profile is None and settings.dbc is None and all(isinstance(spec, SimulatedSpec) for spec in specs):
        profile = DEMO
    plain = profile is None and settings.dbc is None
    if profile is not None:
        plan = loading.load(profile, settings.dbc)
    elif settings.dbc is not None:
        plan = loading.load_database(settings.dbc)
    else:
        plan = Plan(name="raw")
    if not specs and plan.name == DEMO:
        specs = [SimulatedSpec()]
    described = {bus.number: bus for bus in plan.buses}
    by_number = dict(enumerate(specs, 1))
    for number, spec in by_number.items():
        raw = plain and _hears_more(spec)
        described.setdefault(number, PlanBus(number, spec.text, passthrough=raw, bypass_filter=True))
    for number, bus in enumerate(settings.bus, 1):
        described[number] = _overridden(described[number], bus)
    numbers = sorted(described)
    plan = replace(plan, buses=tuple(described[number] for number in numbers))
    return plan, tuple(by_number.get(number, VirtualSpec()) for number in numbers)


def _overridden(bus: PlanBus, settings: BusSettings) -> PlanBus:
    """A bus of the plan with what the user's configuration says of it."""
    changes = {
        key: value
        for key in ("loopback", "raw_writable", "passthrough", "bypass_filter")
        if (value := getattr(settings, key)) is not None
    }
    return replace(bus, **changes)


def make_bus(
    spec: BusSpec,
    described: PlanBus,
    ready: Callable[[], Awaitable[None]] | None = None,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> Bus:
    """The bus that a spec names, not yet open. A simulated one is just its wire.

    Args:
        spec: what the user wrote.
        described: what the plan says of the bus.
        ready: awaited by a recording at full speed before each batch.
        on_record: gets the records of a trace that are no frames.

    Raises:
        ConfigurationError: a bit rate that the adapter has no command for.
    """
    number = described.number
    match spec:
        case PythonCanSpec():
            return PythonCanBus(
                number,
                spec.text,
                spec.interface,
                spec.channel,
                spec.bitrate or described.speed,
                loopback=described.loopback,
                **spec.options,
            )
        case SocketCanSpec():
            # Only what the user asks for changes an interface; the profile's speed is no request.
            return SocketCanBus(
                number, spec.text, spec.channel, spec.bitrate, spec.data_bitrate, loopback=described.loopback
            )
        case SlcanSpec():
            return SlcanBus(
                number,
                spec.text,
                spec.device,
                _channel_settings(spec, described),
                baudrate=spec.baudrate or DEFAULT_BAUDRATE,
                loopback=described.loopback,
            )
        case ReplaySpec():
            return ReplayBus(
                number,
                spec.text,
                spec.path,
                speed=spec.speed,
                loop=spec.loop,
                wait=spec.wait,
                ready=ready,
                channel=spec.channel,
                on_record=on_record,
            )
    return VirtualBus(number, spec.text, Segment(), described.loopback)


def make_remote_bus(spec: OpenObdSpec, described: PlanBus, plan: Plan, settings: OpenObdSettings) -> Bus:
    """The bus of a remote openOBD session, not yet open.

    Raises:
        ConfigurationError: credentials are missing, or something makes no sense.
    """
    # Only who has a remote session pays for gRPC, in start-up time and in memory.
    from bridge.buses.openobd_making import make_openobd_bus  # noqa: PLC0415

    number = described.number
    named = frozenset(message.id for message in plan.messages if message.bus == number)
    return make_openobd_bus(number, spec, settings, speed=described.speed, named=named, loopback=described.loopback)


def _hears_more(spec: BusSpec) -> bool:
    """Whether a bus hears other ids than those that the profile names."""
    return not isinstance(spec, OpenObdSpec) or bool(spec.raw)


def _selective(plan: Plan, specs: Sequence[BusSpec]) -> dict[int, str]:
    """The buses whose raw frames cannot be passed through, and why."""
    return {
        bus.number: f"bus {bus.number} is a remote openOBD session, which hears only the ids that its --bus "
        "names, as in ?raw=0x123,0x456"
        for bus, spec in zip(plan.buses, specs, strict=True)
        if not _hears_more(spec)
    }


def _channel_settings(spec: SlcanSpec, described: PlanBus) -> ChannelSettings:
    try:
        return ChannelSettings(spec.bitrate or described.speed, spec.btr, spec.data_bitrate, spec.listen_only)
    except ConfigurationError as error:
        raise ConfigurationError(f"bus {spec.text!r}: {error}") from error


def _grants(holder: Listener | Client) -> Write:
    """What a listener's clients may write. The clients' room carries it without knowing what it is."""
    return holder.grants if isinstance(holder.grants, Write) else Write.NONE


def _losses(app: _App) -> str:
    """What went wrong with a client's records in either direction, for its last line in the log; mostly nothing."""
    counts = (
        (app.client.records_dropped, "records lost because it did not read"),
        (app.decoder.invalid, "of its records made no sense"),
        (app.decoder.oversized, "of its records were too long"),
    )
    return "".join(f", {count} {what}" for count, what in counts if count)


def _counted(plan: Plan, bus: int) -> str:
    messages: Sequence[object] = [message for message in plan.messages if message.bus == bus]
    signals = sum(len(message.signals) for message in plan.messages if message.bus == bus)
    return f"{signals} signals in {len(messages)} messages" if messages else "no signals defined"
