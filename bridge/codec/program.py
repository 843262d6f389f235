"""A plan compiled: one generated Python function per CAN message, for the formats that are wanted.

Each function takes a frame (timestamp, length, 64 data bytes) and appends the records that the
frame's signals make to two lists, JSON text and protobuf bytes. Everything that the plan fixes
is decided here: shifts, scaled-integer arithmetic, ready-made keys and state names, which rules
a signal has at all. What varies lives in SignalState objects, shared by all programs of a
translator, so that a change of formats forgets nothing.

Must not know batches, passthrough or clients; `reference.Translator` is its only user.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bridge.codec.encoding import from_bits
from bridge.codec.numbers import (
    FRACTIONS,
    LAST_DECIMALS,
    LAST_DIGITS,
    LEADING_DIGITS,
    Scaling,
    decimal_text,
    scaling_of,
)
from bridge.codec.translator import clock_period, compares, json_head
from bridge.openxc.json_format import number_text
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.protobuf_wire import simple_boolean, simple_number, simple_prefix, simple_string
from bridge.profile.decoding import SignalState
from bridge.profile.plan import BuiltinDecoder, ByteOrder, Field, Message, RawType, Signal, SignalDecoder

FrameFunction = Callable[[float, int, bytes], None]

_INT64 = 2**63  #: no state lies beyond a signed 64-bit integer, and int() of what is no number raises
_DOUBLE = struct.Struct("<d")
_BIG_WORD = struct.Struct(">Q")
_LITTLE_WORD = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the functions of one program share."""

    states: Mapping[str, SignalState]  #: by published name
    formats: frozenset[PayloadFormat]
    json: Callable[[str], None]  #: takes the text of whole records
    protobuf: Callable[[bytes], None]  #: takes one record
    decode: Callable[[SignalDecoder, SignalState, int | float], None]  #: runs a signal's Python decoder
    handle: Callable[[Message, int, bytes], None]  #: runs a message's handlers on a frame
    kept: frozenset[str]  #: the published names whose last values matter


@dataclass
class _Source:
    """Lines of Python being written, with the objects that they name."""

    environment: Environment
    lines: list[str] = field(default_factory=list)
    names: dict[str, object] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)  #: f-string source of JSON records not yet written
    depth: int = 1

    def line(self, code: str) -> None:
        self.flush()
        self.lines.append("    " * self.depth + code)

    def expression(self, code: str) -> None:
        """A line that has no effect but its value, so pending text may wait."""
        self.lines.append("    " * self.depth + code)

    def constant(self, prefix: str, value: object) -> str:
        """A name for an object in the generated code."""
        name = f"{prefix}_{len(self.names)}"
        self.names[name] = value
        return name

    def record(self, text: str, binary: str) -> None:
        """Write a record: its f-string source for JSON, an expression for protobuf."""
        if PayloadFormat.JSON in self.environment.formats:
            self.text.append(text)
        if PayloadFormat.PROTOBUF in self.environment.formats:
            self.expression(f"protobuf({binary})")

    def flush(self) -> None:
        if self.text:
            self.lines.append("    " * self.depth + f"json(f'{''.join(self.text)}')")
            self.text.clear()

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self.depth += 1
        before = len(self.lines)
        yield
        self.flush()
        if len(self.lines) == before:
            self.lines.append("    " * self.depth + "pass")
        self.depth -= 1


def compile_message(message: Message, environment: Environment) -> FrameFunction | None:
    """The function of one message; None where it has nothing to do."""
    source = _Source(environment)
    if message.handlers:
        source.line(
            f"{source.constant('handle', environment.handle)}({source.constant('message', message)}, length, data)"
        )
    words: set[str] = set()
    for number, signal in enumerate(message.signals):
        _SignalWriter(source, message, signal, number, words).write()
    source.flush()
    if not source.lines:
        return None
    header = [f"    {name}, = unpack_{name}(data)" for name in sorted(words)]
    code = "\n".join(["def frame(timestamp, length, data):", *header, *source.lines])
    namespace = source.names | {
        "json": environment.json,
        "protobuf": environment.protobuf,
        "from_bytes": int.from_bytes,
        "decimal_text": decimal_text,
        "number_text": number_text,
        "unpack_big": _BIG_WORD.unpack_from,
        "unpack_little": _LITTLE_WORD.unpack_from,
        "pack_double": _DOUBLE.pack,
        "last_digits": LAST_DIGITS,
        **{f"fraction_{decimals}": table for decimals, table in FRACTIONS.items()},
        **{f"leading_{decimals}": table for decimals, table in LEADING_DIGITS.items()},
    }
    # Only literals made by _literal() and integers come from the profile: no text of it is ever code.
    exec(compile(code, f"<message 0x{message.id:x} {message.name!r}>", "exec"), namespace)  # noqa: S102
    function: FrameFunction = namespace["frame"]  # type: ignore[assignment]
    return function


def _literal(text: str) -> str:
    """Text as the inside of a single-quoted f-string."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    return doubled.encode("unicode_escape").decode("ascii").replace("'", "\\'")


class _SignalWriter:
    """Writes the code of one signal."""

    def __init__(self, source: _Source, message: Message, signal: Signal, number: int, words: set[str]) -> None:
        self.source = source
        self.signal = signal
        self.words = words
        self.raw = f"raw_{number}"
        self.value = f"value_{number}"
        self.scaled = f"scaled_{number}"
        self.scaling: Scaling = scaling_of(signal)
        self.state = source.environment.states[signal.name]
        self.python = not isinstance(signal.decoder, BuiltinDecoder)
        self.clocked = signal.max_frequency > 0
        self.compared = compares(signal)
        self.keeps = signal.name in source.environment.kept
        self.silent = signal.decoder is BuiltinDecoder.IGNORE or (not source.environment.formats and not self.python)

    def write(self) -> None:
        if self.silent and not self.keeps and not self.clocked:
            return
        conditions = [
            f"{self._raw_of(condition.selector)} in {self.source.constant('values', condition.values)}"
            for condition in self.signal.multiplex
        ]
        if conditions:
            with self.source.block(f"if {' and '.join(conditions)}:"):
                self._write_present()
        else:
            self._write_present()

    # Reading the number

    def _raw_of(self, position: Field) -> str:
        """An expression for the raw number of a field."""
        if position.size == 0:
            return "0"
        order = position.byte_order.value
        mask = (1 << position.size) - 1
        if position.start + position.size <= 64:
            self.words.add(order)
            word, width = order, 64
            start = position.start
        else:
            first = position.start // 8
            last = (position.start + position.size + 7) // 8
            word = f"from_bytes(data[{first}:{last}], '{order}')"
            width, start = 8 * (last - first), position.start - 8 * first
        shift = width - start - position.size if position.byte_order is ByteOrder.BIG else start
        bits = f"{word} >> {shift} & {mask}" if shift else f"{word} & {mask}"
        if position.raw_type is RawType.SIGNED:
            half = 1 << (position.size - 1)
            return f"(({bits}) ^ {half}) - {half}"
        if position.raw_type is RawType.FLOAT:
            return f"{self.source.constant('from_bits', from_bits)}({self.source.constant('field', position)}, {bits})"
        return f"({bits})"

    def _write_number(self) -> None:
        """Assign raw, and the exact scaled integer or the double value."""
        scaling, source = self.scaling, self.source
        source.expression(f"{self.raw} = {self._raw_of(self.signal.field)}")
        if not scaling.exact:
            factor, offset = source.constant("factor", scaling.factor), source.constant("offset", scaling.offset)
            source.expression(f"{self.value} = {self.raw} * {factor} + {offset}")
            return
        product = self.raw if scaling.multiplier == 1 else f"{self.raw} * {scaling.multiplier}"
        source.expression(f"{self.scaled} = {product}" + (f" + {scaling.addend}" if scaling.addend else ""))

    def _value(self) -> str:
        """An expression for the value as a number."""
        if not self.scaling.exact:
            return self.value
        return f"{self.scaled} / {10**self.scaling.decimals}" if self.scaling.decimals else self.scaled

    def _number_text(self) -> str:
        """F-string source for the value's text."""
        if not self.scaling.exact:
            return f"{{number_text({self.value})}}"
        if not self.scaling.decimals:
            return f"{{{self.scaled}}}"
        if not self.scaling.negative:
            return self._digits(self.scaled)
        size = f"size_{self.raw}"
        self.source.expression(f"{size} = {self.scaled} if {self.scaled} >= 0 else -{self.scaled}")
        return f'{{"-" if {self.scaled} < 0 else ""}}{self._digits(size)}'

    def _digits(self, number: str) -> str:
        """F-string source for an integer of 0 or more as a decimal without trailing zeros, by tables of digits."""
        decimals = self.scaling.decimals
        whole = f"{{{number} // {10**decimals}}}"
        if decimals in FRACTIONS:
            return f"{whole}{{fraction_{decimals}[{number} % {10**decimals}]}}"
        leading = decimals - LAST_DECIMALS
        if leading not in FRACTIONS:
            return f"{{decimal_text({number}, {decimals})}}"
        last, first = f"last_{self.raw}", f"first_{self.raw}"
        self.source.expression(f"{last} = {number} % {10**LAST_DECIMALS}")
        self.source.expression(f"{first} = {number} // {10**LAST_DECIMALS} % {10**leading}")
        return (
            f"{whole}{{leading_{leading}[{first}] if {last} else fraction_{leading}[{first}]}}{{last_digits[{last}]}}"
        )

    # Deciding

    def _write_present(self) -> None:
        self._write_number()
        source = self.source
        state = source.constant("state", self.state) if self.keeps or self.clocked else ""
        if self.keeps:
            source.line(f"now_{self.raw} = {self._value()}")
        if not (self.clocked or self.compared or self.python):
            self._write_record()
        else:
            due = self._due(state)
            if self.python:
                self._write_python(state, due)
            else:
                with source.block(f"if {due}:"):
                    self._write_record()
        if self.keeps:
            source.line(f"{state}.value = now_{self.raw}; {state}.received = True")

    def _due(self, state: str) -> str:
        """Write the clock; an expression that says whether the send rules let the value out.

        (the clock ticks, or the value changed and that is forced)
        and not (seen before, unchanged, and the same is not sent)
        """
        changed = f"now_{self.raw} != {state}.value"
        same = f"({changed} or not {state}.received)"
        if not self.clocked:
            return "True" if self.signal.send_same else same
        period = self.source.constant("period", clock_period(self.signal.max_frequency))
        tick = f"tick_{self.raw}"
        self.source.line(f"{tick} = not 0 <= timestamp - {state}.ticked < {period}")
        with self.source.block(f"if {tick}:"):
            self.source.line(f"{state}.ticked = timestamp")
        due = f"({tick} or {changed})" if self.signal.force_send_changed else tick
        return due if self.signal.send_same else f"{due} and {same}"

    # Writing records

    def _write_python(self, state: str, due: str) -> None:
        source = self.source
        decoder = source.constant("decoder", self.signal.decoder)
        decode = source.constant("decode", source.environment.decode)
        source.line(f"{state}.due = {due}")
        source.line(f"{decode}({decoder}, {state}, now_{self.raw})")

    def _write_record(self) -> None:
        if self.silent:
            return
        decoder = self.signal.decoder
        if decoder is BuiltinDecoder.STATE:
            self._write_state()
        elif decoder is BuiltinDecoder.CHOICE:
            self._write_choice()
        elif decoder is BuiltinDecoder.BOOLEAN:
            self._write_boolean()
        else:
            self._write_number_record()

    def _write_boolean(self) -> None:
        number = self.scaled if self.scaling.exact else self.value
        name = self.signal.name
        binary = {
            truth: self.source.constant("boolean", simple_boolean(simple_prefix(name), truth))
            for truth in (True, False)
        }
        text = _literal(json_head(name)) + f'{{"true" if {number} else "false"}}' + _literal("}\0")
        self.source.record(text, f"{binary[True]} if {number} else {binary[False]}")

    def _write_number_record(self) -> None:
        if self.scaling.exact:
            self._write_finite()
        else:
            # A double can overflow, and an IEEE field can hold what is no number: OpenXC has no word for either.
            with self.source.block(f"if {self.value} - {self.value} == 0:"):
                self._write_finite()

    def _write_finite(self) -> None:
        prefix = simple_prefix(self.signal.name)
        one = simple_number(prefix, 1.0)
        head = self.source.constant("head", one[: -_DOUBLE.size])
        zero = self.source.constant("zero", simple_number(prefix, 0.0))
        number = self._value()
        text = _literal(json_head(self.signal.name)) + self._number_text() + _literal("}\0")
        self.source.record(text, f"{head} + pack_double({number}) if {number} else {zero}")

    def _named(self) -> tuple[dict[int, str], dict[int, bytes]]:
        """Ready records of the states, by number; of several states with one number the first wins."""
        texts: dict[int, str] = {}
        binaries: dict[int, bytes] = {}
        for state in self.signal.states:
            text = json_head(self.signal.name) + json.dumps(state.name) + "}\0"
            binary = simple_string(simple_prefix(self.signal.name), state.name)
            for value in state.values:
                texts.setdefault(value, text)
                binaries.setdefault(value, binary)
        return texts, binaries

    def _write_state(self) -> None:
        texts, binaries = self._named()
        condition = f"in {self.source.constant('states', frozenset(texts))}"
        number = self.scaled if self.scaling.exact and not self.scaling.decimals else f"int({self._value()})"
        guard = "" if self.scaling.exact else f"-{_INT64} <= {self.value} < {_INT64} and "
        with self.source.block(f"if {guard}{number} {condition}:"):
            self._write_named(texts, binaries, number)

    def _write_choice(self) -> None:
        texts, binaries = self._named()
        with self.source.block(f"if {self.raw} in {self.source.constant('choices', frozenset(texts))}:"):
            self._write_named(texts, binaries, self.raw)
        with self.source.block("else:"):
            self._write_number_record()

    def _write_named(self, texts: dict[int, str], binaries: dict[int, bytes], number: str) -> None:
        self.source.record(
            f"{{{self.source.constant('texts', texts)}[{number}]}}",
            f"{self.source.constant('binaries', binaries)}[{number}]",
        )
