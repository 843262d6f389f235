"""The firmware's configuration JSON, compiled to a plan at run time.

Puts files together: parents under the profile, databases under mappings, mappings and the
profile's own messages by id. Must not know how files are read (loading).

Source: the OpenXC firmware configuration, as openxc-generate-firmware-code accepts it.
`predefined_obd2` is the bridge's own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bridge.frames import EXTENDED_ID_MAX
from bridge.openxc.messages import DecodedType, DiagnosticRequest
from bridge.profile import schema
from bridge.profile.candb_xml import CandbDatabase
from bridge.profile.document import JsonObject, ReadText, beside, merged, with_parents
from bridge.profile.errors import quoted
from bridge.profile.json_message import build_message, extended_of, function
from bridge.profile.plan import CustomCommand, Message, Plan, PlanBus, RecurringRequest, message_order
from bridge.profile.plugins import Kind
from bridge.profile.schema import Section, parse_id

_RAW_MODES = ("off", "filtered", "unfiltered")
_CPLUSPLUS = ("initializers", "loopers", "extra_sources")
_BUS_LIMIT = 255  # bus numbers are one byte in a frame record
_SPEED_LIMIT = 1_000_000  # bit/s, of a CAN bus or an FD bus's arbitration phase
_OBD2_BUS = 1
_CURRENT_DATA = 1  # the service whose answers are decoded unless a request says otherwise

#: A message that is defined twice mixes, but for these: the later definition says them whole.
_WHOLE = frozenset(("states", "multiplexer"))


def build_plan(file: PurePath, read: ReadText) -> Plan:
    """Compile a profile and the files that it names.

    Args:
        file: the profile.
        read: gives a file's text; raises ProfileError where it cannot.

    Raises:
        ProfileError: the first fault found.
    """
    return _ProfileBuilder(Section(with_parents(file, read)), read).plan()


@dataclass(frozen=True, slots=True)
class _Definition:
    """One message as far as it is defined, not yet built."""

    key: str  #: its id as the profile writes it
    identifier: int
    bus: str
    extended: bool | None
    data: JsonObject


class _ProfileBuilder:
    """Builds one plan; keeps what the parts need of each other."""

    def __init__(self, profile: Section, read: ReadText) -> None:
        self.profile = profile
        self.read = read
        self.warnings: list[str] = profile.unknown(schema.PROFILE)
        self.buses: dict[str, PlanBus | None] = {}  #: None: the bus is disabled
        self.definitions: dict[tuple[str, int], list[_Definition]] = {}  #: by bus and id: one, or one per format
        self.diagnostics: list[RecurringRequest] = []
        self.commands: dict[str, CustomCommand] = {}
        self.left_out: Counter[str] = Counter()  #: messages of disabled buses
        self.inverted = profile.boolean("bit_numbering_inverted", False)
        self.databases: dict[PurePath, CandbDatabase] = {}

    def plan(self) -> Plan:
        profile = self.profile
        self._read_buses()
        for mapping in profile.listed("mappings", "mapping"):
            self._read_mapping(mapping)
        for key, section in profile.named("messages", "message"):
            self._define(key, section)
        self._read_parts(profile, {})
        messages = self._build_messages()
        predefined_obd2 = profile.boolean("predefined_obd2", False)
        buses = sorted(filter(None, self.buses.values()), key=lambda bus: bus.number)
        if predefined_obd2 and not any(bus.number == _OBD2_BUS and bus.raw_writable for bus in buses):
            text = f'"predefined_obd2" asks on bus {_OBD2_BUS}, which is missing or not raw_writable'
            self.warnings.append(profile.at(text, "predefined_obd2"))
        self.warnings.extend(self._disabled_buses())
        return Plan(
            name=profile.text("name", "generic"),
            buses=tuple(buses),
            messages=messages,
            diagnostics=tuple(self.diagnostics),
            commands=tuple(self.commands.values()),
            predefined_obd2=predefined_obd2,
            warnings=tuple(self.warnings),
        )

    # Buses

    def _read_buses(self) -> None:
        mode = self.profile.choice("raw_can_mode", _RAW_MODES, "off")
        frequency = self.profile.number("max_message_frequency", 0.0, 0)
        users: dict[int, str] = {}
        for name, section in self.profile.named("buses", "bus"):
            section.check(schema.BUS)
            bus = self._bus(name, section, mode, frequency)
            self.buses[name] = bus
            if bus is not None and users.setdefault(bus.number, name) != name:
                raise section.error(
                    f'"controller" {bus.number} is already that of bus {users[bus.number]}', "controller"
                )

    def _bus(self, name: str, section: Section, mode: str, frequency: float) -> PlanBus | None:
        speed = section.integer("speed", 1, _SPEED_LIMIT)
        mode = section.choice("raw_can_mode", _RAW_MODES, mode)
        bus = PlanBus(
            number=section.integer("controller", 1, _BUS_LIMIT, 1),
            name=name,
            speed=speed,
            passthrough=mode != "off",
            bypass_filter=mode == "unfiltered",
            raw_writable=section.boolean("raw_writable", False),
            max_message_frequency=section.number("max_message_frequency", frequency, 0),
            force_send_changed=section.boolean("force_send_changed", True),
            loopback=section.boolean("loopback", False),
        )
        return bus if section.has("controller") else None

    def _disabled_buses(self) -> list[str]:
        warnings = []
        for name, section in self.profile.named("buses", "bus"):
            if self.buses[name] is None:
                text = f'no "controller": the bus and its messages ({self.left_out[name]}) are left out'
                warnings.append(section.at(text, "controller"))
        return warnings

    def _bus_of(self, section: Section) -> str:
        """The bus that a part names, or its mapping for it."""
        name = section.text("bus")
        if name not in self.buses:
            known = ", ".join(self.buses) or "none"
            raise section.error(f'"bus": the profile has no bus {quoted(name)}; its buses: {known}', "bus")
        return name

    # Mappings

    def _read_mapping(self, mapping: Section) -> None:
        mapping.check(schema.MAPPING)
        place = Section(mapping.data, f"mapping {mapping.text('mapping')}")
        if place.has("bus"):
            self._bus_of(place)
        document = schema.read_mapping_file(place, self.read)
        section = Section(document)
        self.warnings.extend(section.unknown(schema.MAPPING_FILE))
        defaults = {key: mapping.data[key] for key in ("bus", "enabled") if place.has(key)}
        place.boolean("enabled", True)
        inverted = {}
        if place.has("database") or place.has("bit_numbering_inverted"):
            inverted["bit_numbering_inverted"] = place.boolean("bit_numbering_inverted", True)
        database = self._database(place) if place.has("database") else None
        for key, message in section.named("messages", "message"):
            filled = _with_defaults(message, defaults | inverted)
            self._define(key, filled if database is None else self._backed(key, filled, database))
        self._read_parts(section, defaults)

    def _database(self, mapping: Section) -> CandbDatabase:
        file = beside(mapping.data.file_of("database"), mapping.text("database"))
        if file not in self.databases:
            self.databases[file] = CandbDatabase(self.read(file), file)
        return self.databases[file]

    def _backed(self, key: str, message: Section, database: CandbDatabase) -> Section:
        """A message over what the database says of it; the mapping's own values win."""
        signals = list(message.object("signals"))
        found = database.message(_identifier(key, message), signals)
        if found is None:
            self.warnings.append(message.at(f"{database.file} has no such message"))
            return message
        for name in signals:
            if name not in found["signals"]:
                self.warnings.append(message.at(f"{database.file} has no signal {quoted(name)} in this message"))
        return Section(merged(found, message.data), message.place)

    def _read_parts(self, section: Section, defaults: dict[str, Any]) -> None:
        """What a profile and a mapping's file both may have, besides messages."""
        for key in _CPLUSPLUS:
            names = section.texts(key)
            if names and defaults.get("enabled", True):
                text = f'"{key}" are C++ and are not used ({", ".join(names)}); decoders and handlers in Python are'
                self.warnings.append(section.at(text, key))
        for command in section.listed("commands", "command"):
            self._read_command(_with_defaults(command, {key: defaults[key] for key in defaults if key == "enabled"}))
        for request in section.listed("diagnostic_messages", "diagnostic message"):
            self._read_diagnostic(_with_defaults(request, defaults))

    # Messages

    def _define(self, key: str, section: Section) -> None:
        """Add a definition to what is known of the message."""
        section.check(schema.MESSAGE)
        identifier = _identifier(key, section)
        bus = self._bus_of(section)
        extended = extended_of(section, identifier)
        definitions = self.definitions.setdefault((bus, identifier), [])
        for index, known in enumerate(definitions):
            if known.extended == extended or None in (known.extended, extended):
                data = merged(known.data, section.data, whole=_WHOLE)
                extended = known.extended if extended is None else extended
                definitions[index] = _Definition(key, identifier, bus, extended, data)
                return
        definitions.append(_Definition(key, identifier, bus, extended, section.data))

    def _build_messages(self) -> tuple[Message, ...]:
        messages = []
        for definition in itertools.chain.from_iterable(self.definitions.values()):
            section = Section(definition.data, f"message {definition.key}")
            if not section.boolean("enabled", True):
                continue
            bus = self.buses[definition.bus]
            if bus is None:
                self.left_out[definition.bus] += 1
                continue
            messages.append(build_message(section, definition.identifier, bus, self.inverted, self.warnings))
        return tuple(sorted(messages, key=message_order))

    # Commands and diagnostics

    def _read_command(self, section: Section) -> None:
        section.check(schema.COMMAND)
        name = section.text("name")
        if not section.boolean("enabled", True):
            return
        if name in self.commands:
            raise section.error('"name": there is a command of this name already', "name")
        handler = function(section, "handler", Kind.COMMAND)
        self.commands[name] = CustomCommand(name, handler, forced=handler in Kind.COMMAND.value.builtin.values())

    def _read_diagnostic(self, section: Section) -> None:
        section.check(schema.DIAGNOSTIC)
        name = self._bus_of(section)
        if not section.boolean("enabled", True):
            return
        bus = self.buses[name]
        if bus is None:
            self.warnings.append(section.at(f"bus {name} is disabled: the request is never sent"))
            return
        request = _recurring_request(section, bus.number)
        if section.has("callback"):
            self.warnings.append(
                section.at(f'"callback" is C++ and is not called: {section.text("callback")}', "callback")
            )
        if not bus.raw_writable:
            self.warnings.append(section.at(f"bus {name} is not raw_writable: the request is never sent"))
            return
        self.diagnostics.append(request)


def _with_defaults(section: Section, defaults: dict[str, Any]) -> Section:
    """A part with a mapping's defaults for what it does not say."""
    missing = [(key, value) for key, value in defaults.items() if not section.has(key)]
    if not missing:
        return section
    return Section(merged(section.data, JsonObject(missing, section.data.file)), section.place)


def _identifier(key: str, section: Section) -> int:
    identifier = parse_id(key)
    if identifier is None or identifier > EXTENDED_ID_MAX:
        raise section.error(f'the id must be text like "0x49" or "73", up to 0x{EXTENDED_ID_MAX:x}')
    return identifier


def _recurring_request(section: Section, bus: int) -> RecurringRequest:
    """A diagnostic request of the profile.

    Without a decoder the payload is published (named: as an integer), which for mode 1 has to be
    said, since requests of mode 1 are decoded otherwise.
    """
    mode = section.integer("mode", 1, 0xFF)
    frequency = section.number("frequency", None, 0)
    if frequency == 0:
        raise section.error('"frequency" must be greater than 0', "frequency")
    pid = section.integer("pid", 0, 0xFFFF) if section.has("pid") else None
    pid_length = section.integer("pid_length", 1, 2) if section.has("pid_length") else None
    if pid is not None and pid_length == 1 and pid > 0xFF:
        raise section.error(f'"pid" 0x{pid:x} does not fit "pid_length" 1', "pid")
    decoder = function(section, "decoder", Kind.DIAGNOSTIC_DECODER) if section.has("decoder") else None
    decoded_type = decoder if isinstance(decoder, DecodedType) else None
    if decoder is None and mode == _CURRENT_DATA:
        decoded_type = DecodedType.NONE
    return RecurringRequest(
        DiagnosticRequest(
            id=section.identifier("id"),
            mode=mode,
            bus=bus,
            pid=pid,
            multiple_responses=section.boolean("multiple_responses", False),
            frequency=frequency,
            name=section.text("name") if section.has("name") else None,
            decoded_type=decoded_type,
        ),
        decoder=None if isinstance(decoder, DecodedType) else decoder,
        pid_length=pid_length,
    )
