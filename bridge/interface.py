"""The vehicle interface: what OpenXC hardware was, without any wire on either side.

Frames, ISO-TP payloads and clients' messages go in with the time; records for all, responses
for one, frames and payloads for a bus come out. It composes codec, diagnostics and policy, and
asks policy before anything leaves for a vehicle. It must not know sockets, buses or the loop.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from msgspec import structs

from bridge import __version__
from bridge.codec import Records, Translator, published_value, signal_frame
from bridge.diagnostics.addressing import FUNCTIONAL_ID, ChannelAddress
from bridge.diagnostics.events import (
    CloseChannel,
    DecoderFailed,
    Event,
    Finished,
    InternalOwner,
    OpenChannel,
    Outcome,
    Publish,
    SendPayload,
)
from bridge.diagnostics.layout import lay_out
from bridge.diagnostics.manager import DiagnosticManager
from bridge.diagnostics.obd2 import CURRENT_DATA
from bridge.diagnostics.predefined import PredefinedObd2
from bridge.diagnostics.vin import BROADCAST_ID, ENGINE_ID, VEHICLE_INFORMATION, VinAnswer, VinReader
from bridge.errors import ClientError, ConfigurationError
from bridge.frames import EXTENDED_ID_MAX, STANDARD_ID_MAX, Frame, FrameBatch
from bridge.limits import DIAGNOSTIC_MAX_FREQUENCY
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    AcceptanceFilterCommand,
    CanMessage,
    Command,
    CommandName,
    CommandResponse,
    DiagnosticAction,
    DiagnosticCommand,
    DiagnosticRequest,
    DiagnosticResponse,
    FrameFormat,
    Incoming,
    InvalidCommand,
    ModemConfigurationCommand,
    Outgoing,
    PassthroughCommand,
    PayloadFormat,
    PayloadFormatCommand,
    PredefinedObd2Command,
    RtcConfigurationCommand,
    SimpleCommand,
    SimpleMessage,
    Value,
)
from bridge.openxc.multiframe import split
from bridge.policy import (
    BusRules,
    Write,
    WriteRefusedError,
    check_diagnostic,
    check_payload,
    check_raw,
    check_signal,
    muted_reason,
)
from bridge.profile.plan import CustomCommand, Message, Plan, PlanBus, RecurringRequest, Signal

#: Bytes in a part of a long diagnostic response, where parts are asked for: what one CAN frame carries.
PART_SIZE = 7

#: Where predefined OBD-II requests and get_vin go.
DIAGNOSTIC_BUS = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """What the vehicle interface says it is."""

    version: str = __version__
    platform: str = "openxc-bridge"
    device_id: str = "Unknown"


@dataclass(eq=False, slots=True)
class Peer:
    """A client, as far as the vehicle interface needs to know one."""

    name: str  #: for logs
    grants: Write


@dataclass(slots=True)
class Output:
    """What is to be done now, each list in its order; responses go out before anything else."""

    responses: list[tuple[Peer, CommandResponse]] = field(default_factory=list)
    formats: list[tuple[Peer, PayloadFormat]] = field(default_factory=list)  #: to be switched after the responses
    records: Records = field(default_factory=Records)  #: for all clients
    frames: list[Frame] = field(default_factory=list)
    channels: list[OpenChannel | CloseChannel | SendPayload] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  #: writes that did not pass, answered or not, for the log
    faults: list[str] = field(default_factory=list)  #: what the profile's own code did wrong, for the log


class VehicleInterface:
    """One vehicle interface for all clients. Every `now` is monotonic seconds."""

    def __init__(
        self,
        plan: Plan,
        *,
        identity: Identity | None = None,
        max_frequency: float = DIAGNOSTIC_MAX_FREQUENCY,
        parts: bool = False,
        uniform: Callable[[], float] = random.random,
        selective: Mapping[int, str] = MappingProxyType({}),
        delay: Callable[[int], float] = lambda bus: 0.0,
        asked: Iterable[str] = (),
    ) -> None:
        """`max_frequency` (Hz) is for recurring requests, `parts` publishes long diagnostic responses in parts.

        `uniform` gives numbers in [0, 1), to stagger recurring requests. `selective` names the buses
        that hear only the ids they are told to, each with the reason, which answers a passthrough command.
        `delay` gives the seconds that requests and answers take on the way to a bus's vehicle.
        `asked` are the names that signal() will be asked for.
        """
        self.plan = plan
        self.identity = identity or Identity()
        self.translator = Translator(plan, asked)
        self.writes_refused = 0
        self._parts = parts
        self._buses = {bus.number: bus for bus in plan.buses}
        self._first_bus = plan.buses[0].number if plan.buses else None
        self._selective = selective
        self._rules = {bus.number: _rules(plan, bus) for bus in plan.buses}
        self._clients_rules = dict(self._rules)  # the same, but for the muted buses
        self._writable = _written_signals(plan)
        self._pid_lengths = {
            recurring.request: recurring.pid_length for recurring in plan.diagnostics if recurring.pid_length
        }
        self._commands = {command.name: command for command in plan.commands}
        self._manager = DiagnosticManager(self._buses, uniform, max_frequency=max_frequency, delay=delay)
        self._predefined = PredefinedObd2(self._manager, DIAGNOSTIC_BUS)
        self._vin = VinReader(self._manager, DIAGNOSTIC_BUS)
        self._open: set[ChannelAddress] = set()
        self.translator.watch(DIAGNOSTIC_BUS, BROADCAST_ID, lambda data: self._vin.frame(BROADCAST_ID, data))

    # In from the vehicle

    def start(self, now: float) -> Output:
        """Begin what the profile itself asks for, as far as its buses allow it.

        Raises:
            ConfigurationError: a diagnostic message of the profile that cannot be.
        """
        output = Output()
        profile = Peer("the profile", Write.ALL)
        for recurring in self.plan.diagnostics:
            try:
                self._start_request(recurring, profile, output, now)
            except WriteRefusedError as refusal:
                output.refusals.append(f"{profile.name}: {refusal}")
            except ClientError as error:
                raise ConfigurationError(
                    f"profile {self.plan.name}: the diagnostic message to 0x{recurring.request.id:x}: {error}"
                ) from error
        if self.plan.predefined_obd2:
            try:
                self._predefined_obd2(True, profile, self._rules, output, now)
            except WriteRefusedError as refusal:
                output.refusals.append(f"{profile.name}: {refusal}")
        return output

    def _start_request(self, recurring: RecurringRequest, profile: Peer, output: Output, now: float) -> None:
        request = recurring.request
        self._check_request(request, profile, self._rules, recurring.pid_length)
        events = self._manager.add(request, None, now, decoder=recurring.decoder, pid_length=recurring.pid_length)
        self._collect(events, output, now)

    def frames(self, batch: FrameBatch, now: float) -> Output:
        """Frames that a bus received."""
        return Output(records=self.translator.translate(batch))

    def payload(self, address: ChannelAddress, payload: bytes, now: float) -> Output:
        """A whole ISO-TP payload that a channel received."""
        output = Output()
        self._collect(self._manager.received(address, payload, now), output, now)
        return output

    def progress(self, address: ChannelAddress, now: float) -> None:
        """A longer payload of a channel got on, in or out: whoever waits for it waits on."""
        self._manager.progress(address, now)

    def channel_failed(self, address: ChannelAddress, reason: str, now: float) -> Output:
        """A transfer on a channel failed."""
        output = Output()
        self._collect(self._manager.channel_failed(address, reason, now), output, now)
        return output

    def poll(self, now: float) -> Output:
        """Do what is due. To be called at next_wakeup()."""
        output = Output()
        self._collect(self._manager.poll(now), output, now)
        self._collect(self._predefined.poll(now), output, now)
        return output

    def next_wakeup(self) -> float | None:
        """When poll() has something to do; None while nothing is planned."""
        times = [time for time in (self._manager.next_wakeup(), self._predefined.next_wakeup()) if time is not None]
        return min(times, default=None)

    # Who has a bus

    def mute(self, bus: int, muted: bool) -> None:
        """Keep a bus of the plan free of writes but those of whoever holds it, or open it to the clients again.

        What has been sent is waited for. What the diagnostics have due on a muted bus fails: one-off
        requests are over, recurring ones go on with the bus.
        """
        self._clients_rules[bus] = replace(self._rules[bus], muted=muted)

    def rules(self, bus: int) -> BusRules:
        """What a bus of the plan allows whoever holds it: never muted."""
        return self._rules[bus]

    def signal(self, name: str) -> Value | None:
        """The last value of a signal that was asked for, as it is published; None until it was heard as a number."""
        state = self.translator.lookup(name)
        if state is None or not state.received:
            return None
        return published_value(state.signal, state.value)

    # In from the clients

    def handle(self, message: Incoming, peer: Peer, now: float) -> Output:
        """What a client sent. Never raises for anything a client can send."""
        output = Output()
        try:
            if isinstance(message, Command):
                self._command(message, peer, output, now)
            elif isinstance(message, SimpleMessage):
                self._write_signal(message, peer, output)
            else:
                self._write_raw(message, peer, output)
        except ClientError as error:
            said = ""
            if isinstance(message, Command):
                said = f"{message.name}: "
                output.responses.append(
                    (peer, CommandResponse(command_response=message.name, status=False, message=str(error)))
                )
            if isinstance(error, WriteRefusedError) or not isinstance(message, Command):
                self.writes_refused += 1
                output.refusals.append(f"{peer.name}: {said}{error}")
        return output

    def disconnect(self, peer: Peer, now: float) -> Output:
        """A client has gone, and what it asked for with it."""
        output = Output()
        self._collect(self._vin.forget(peer, now), output, now)
        self._collect(self._manager.cancel_owner(peer, now), output, now)
        return output

    def _command(self, command: Command, peer: Peer, output: Output, now: float) -> None:
        message = ""
        match command:
            case InvalidCommand(reason=reason):
                raise ClientError(reason)
            case SimpleCommand(name="get_vin"):
                self._get_vin(peer, output, now)
                return
            case SimpleCommand():
                message = self._simple_command(command.name)
            case PassthroughCommand(bus=bus, enabled=enabled):
                self._passthrough(self._known_bus(bus), enabled)
            case AcceptanceFilterCommand(bus=bus, bypass=bypass):
                self.translator.set_filter_bypass(self._known_bus(bus), bypass)
            case PayloadFormatCommand(format=payload_format):
                if payload_format is None:
                    raise ClientError("the payload formats are json and protobuf")
                output.formats.append((peer, payload_format))
            case PredefinedObd2Command(enabled=enabled):
                self._predefined_obd2(enabled, peer, self._clients_rules, output, now)
            case DiagnosticCommand():
                self._diagnostic(command, peer, output, now)
            case ModemConfigurationCommand():
                raise ClientError("this vehicle interface has no modem")
            case RtcConfigurationCommand():
                raise ClientError("this vehicle interface has no clock to set; it uses the computer's")
            case _:
                raise ClientError(f"{command.name} is not implemented")
        output.responses.insert(0, (peer, CommandResponse(command_response=command.name, status=True, message=message)))

    def _passthrough(self, bus: int, enabled: bool) -> None:
        if enabled and bus in self._selective:
            raise ClientError(self._selective[bus])
        self.translator.set_passthrough(bus, enabled)

    def _simple_command(self, name: str) -> str:
        """The message that answers a command without arguments."""
        if name == "version":
            return f"{self.identity.version} ({self.plan.name})"
        if name == "device_id":
            return self.identity.device_id
        if name == "platform":
            return self.identity.platform
        if name == "sd_mount_status":
            raise ClientError("this vehicle interface has no SD card")
        raise ClientError(f"{name} needs arguments")

    def _known_bus(self, number: int | None) -> int:
        """A command's bus, which must be named."""
        if number is None:
            raise ClientError(f"bus is missing; this vehicle interface has {self._bus_list()}")
        return self._bus(number).number

    def _bus(self, number: int | None) -> PlanBus:
        """A write's or a request's bus; the first where none is named."""
        if number is None:
            number = self._first_bus
        if number is None or number not in self._buses:
            raise ClientError(f"there is no bus {number}; this vehicle interface has {self._bus_list()}")
        return self._buses[number]

    def _bus_list(self) -> str:
        return "bus " + ", ".join(str(number) for number in self._buses) if self._buses else "no bus"

    def _diagnostic(self, command: DiagnosticCommand, peer: Peer, output: Output, now: float) -> None:
        if command.action is DiagnosticAction.ADD:
            self._check_request(command.request, peer, self._clients_rules)
            events = self._manager.add(command.request, peer, now)
        else:
            # It writes nothing, so it may be said of a muted bus, too, or the request would come back with the bus.
            self._check_request(command.request, peer, self._rules)
            events = self._manager.cancel(command.request, now)
        self._collect(events, output, now)

    def _check_request(
        self, request: DiagnosticRequest, peer: Peer, rules: Mapping[int, BusRules], pid_length: int | None = None
    ) -> None:
        bus = rules[self._bus(request.bus).number]
        payload = lay_out(request, pid_length).payload
        check_payload(peer.grants, bus, request.id, request.id > STANDARD_ID_MAX, payload)

    def _predefined_obd2(
        self, enabled: bool, peer: Peer, rules: Mapping[int, BusRules], output: Output, now: float
    ) -> None:
        if not enabled:
            self._collect(self._predefined.disable(now), output, now)
            return
        if DIAGNOSTIC_BUS not in rules:
            return  # nothing happens without that bus
        check_diagnostic(peer.grants, rules[DIAGNOSTIC_BUS], FUNCTIONAL_ID, False, CURRENT_DATA)
        self._collect(self._predefined.enable(now), output, now)

    def _get_vin(self, peer: Peer, output: Output, now: float) -> None:
        """Answer with the VIN: at once if it was overheard, else when the ECU has answered or not."""
        if self._vin.overheard is None:
            rules = self._clients_rules[self._bus(DIAGNOSTIC_BUS).number]
            check_diagnostic(peer.grants, rules, ENGINE_ID, False, VEHICLE_INFORMATION)
        self._collect(self._vin.get(peer, now), output, now)

    # Writes

    def _write_signal(self, message: SimpleMessage, peer: Peer, output: Output) -> None:
        """A simple write: of a signal, or by name of a command that the profile defines."""
        definition = self._writable.get(message.name)
        command = self._commands.get(message.name)
        if command is not None and (definition is None or not definition[1].writable):
            for name, value in _called(command, message):
                self._write_named(name, value, None, peer, output, forced=command.forced)
            return
        if message.value is None:
            raise ClientError(f"a write of {message.name} without a value")
        self._write_named(message.name, message.value, message.event, peer, output, forced=False)

    def _write_named(
        self, name: str, value: Value, event: Value | None, peer: Peer, output: Output, *, forced: bool
    ) -> None:
        if name not in self._writable:
            raise ClientError(f'the profile has no signal "{name}"')
        message, signal = self._writable[name]
        check_signal(peer.grants, self._clients_rules[message.bus], name, writable=signal.writable, forced=forced)
        output.frames.append(signal_frame(message, signal, value, event))

    def _write_raw(self, message: CanMessage, peer: Peer, output: Output) -> None:
        bus = self._bus(message.bus)
        extended = message.id > STANDARD_ID_MAX
        if message.frame_format is not None:
            extended = message.frame_format is FrameFormat.EXTENDED
        if not 0 <= message.id <= (EXTENDED_ID_MAX if extended else STANDARD_ID_MAX):
            raise ClientError(f"0x{message.id:x} is no {'extended' if extended else 'standard'} id")
        check_raw(peer.grants, self._clients_rules[bus.number], message.id, extended, message.data)
        output.frames.append(Frame(id=message.id, data=message.data, bus=bus.number, extended=extended, fd=message.fd))

    # Out

    def _collect(self, events: Sequence[Event | VinAnswer], output: Output, now: float) -> None:
        """Turn what the diagnostics want into output; what they are told may make them want more."""
        waiting = deque(events)
        while waiting:
            event = waiting.popleft()
            if isinstance(event, VinAnswer):
                if isinstance(event.client, Peer):
                    output.responses.append((event.client, _vin_response(event)))
                continue
            waiting.extend(self._predefined.handle(event, now))
            waiting.extend(self._vin.handle(event))
            match event:
                case Publish(owner=owner) if owner is not InternalOwner.VIN:
                    output.records += self.encode(self._published(event))
                case OpenChannel(address=address):
                    self._open.add(address)
                    output.channels.append(event)
                case CloseChannel(address=address):
                    self._open.discard(address)
                    output.channels.append(event)
                case SendPayload(address=address) if self._clients_rules[address.bus].muted:
                    # It is over at once: a one-off has failed, a recurring request goes round until it may.
                    waiting.extend(self._manager.channel_failed(address, muted_reason(address.bus), now))
                case SendPayload():
                    output.channels.append(event)
                case Finished(owner=Peer(), request=request, outcome=Outcome.FAILED):
                    # There is no answer, and there will be none: whoever waits for it should know.
                    bus = self._bus(request.bus).number
                    failed = DiagnosticResponse(
                        bus=bus, id=request.id, mode=request.mode, pid=request.pid, success=False
                    )
                    output.records += self.encode(failed)
                case DecoderFailed(error=error):
                    output.faults.append(error)
        self.translator.open_ids(
            (address.bus, address.response_id, address.extended)
            for address in self._open
            if address.response_id is not None
        )

    def _published(self, event: Publish) -> SimpleMessage | DiagnosticResponse:
        """A response as it goes out; one to the profile's own request has the PID's length that the profile says."""
        if event.owner is None and isinstance(event.message, DiagnosticResponse):
            return structs.replace(event.message, pid_length=self._pid_lengths.get(event.request))
        return event.message

    def encode(self, message: Outgoing) -> Records:
        """A message as records, in the wanted formats."""
        parts: Sequence[Outgoing] = [message]
        if self._parts and isinstance(message, DiagnosticResponse):
            parts = split(message, PART_SIZE)
        wanted = self.translator.formats
        return Records(
            b"".join(map(json_format.encode, parts)) if PayloadFormat.JSON in wanted else b"",
            b"".join(map(protobuf_format.encode, parts)) if PayloadFormat.PROTOBUF in wanted else b"",
            len(parts) if wanted else 0,
        )


def _called(command: CustomCommand, message: SimpleMessage) -> list[tuple[str, Value]]:
    """The writes that a profile's own command stands for; what it raises, or gives besides writes, refuses them all."""
    try:
        writes = [(name, value) for name, value in command.handler(message.name, message.value, message.event)]
    except Exception as error:
        raise ClientError(f"the command {command.name} raised {type(error).__name__}: {error}") from error
    for name, value in writes:
        if not isinstance(name, str) or not isinstance(value, Value):
            kinds = f"{type(name).__name__} and {type(value).__name__}"
            raise ClientError(f"the command {command.name} gave {kinds} for a signal's name and its value")
    return writes


def _vin_response(answer: VinAnswer) -> CommandResponse:
    return CommandResponse(command_response=CommandName.GET_VIN, status=answer.status, message=answer.message)


def _rules(plan: Plan, bus: PlanBus) -> BusRules:
    """What policy has to know of a bus."""
    requests = frozenset(recurring.request.id for recurring in plan.diagnostics if recurring.request.bus == bus.number)
    return BusRules(bus.number, bus.raw_writable, requests)


def _written_signals(plan: Plan) -> dict[str, tuple[Message, Signal]]:
    """What a simple write of a name writes: its first writable signal, else (to say so) its first."""
    found: dict[str, tuple[Message, Signal]] = {}
    for message in plan.messages:
        for signal in message.signals:
            if signal.name not in found or (signal.writable and not found[signal.name][1].writable):
                found[signal.name] = (message, signal)
    return found
