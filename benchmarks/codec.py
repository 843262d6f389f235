"""The codec: batches of frames to records, beside what one would write first and beside C without a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import cantools

from benchmarks import payload
from benchmarks.limit import Limit, NoCompiler, compiled
from benchmarks.measuring import Effort, Figure, Report, Run, contest, faster, longer, repeated, unmeasured
from bridge import codec
from bridge.codec import reference
from bridge.frames import FrameBatch
from bridge.openxc.messages import PayloadFormat
from bridge.openxc.openxc_pb2 import DynamicField, VehicleMessage
from bridge.profile.plan import Plan

#: OpenXC's C++ firmware core, natively built: 20 messages x 4 unsigned 16-bit fields, one pinned core.
FIRMWARE_FRAMES_PER_SECOND = 443_000.0

#: Found with `perf record`, and counted with callgrind.
_NO_HOT_SPOT = (
    "A profile of the codec shows no hot spot: its 560 instructions a frame are spread over finding the frame's "
    "message and each number's bits, sign, scaling, division by its power of ten, groups of digits and head."
)
WHY_LONGER_THAN_TABLES = (
    "The loop is compiled for its four factors: it divides by constants and copies the rest of each number from a "
    "table made for its factor, in 150 instructions a frame. A codec that takes any factor has it from its plan. "
    + _NO_HOT_SPOT
)
WHY_LONGER_THAN_DIGITS = (
    "The loop is compiled for its four signals and has neither a table of them to read nor anything to decide: 390 "
    "instructions a frame. " + _NO_HOT_SPOT
)

JSON = frozenset({PayloadFormat.JSON})
PROTOBUF = frozenset({PayloadFormat.PROTOBUF})
BOTH = JSON | PROTOBUF

Work = Callable[[], object]
Translator = codec.Translator | reference.Translator


class Disagreement(Exception):
    """Two contestants give different records, so comparing their speed says nothing."""


def translator(
    plan: Plan, formats: frozenset[PayloadFormat], kind: type[Translator] = codec.Translator, raw: bool = False
) -> Translator:
    """A translator that writes these formats, and with `raw` every raw frame."""
    made = kind(plan)
    made.want(formats)
    made.set_passthrough(1, raw)
    made.set_filter_bypass(1, raw)
    return made


# What one would write first


def obvious_signals(database_text: str, batch: FrameBatch) -> Work:
    """cantools + json.dumps. The frames are objects and the messages are found before the clock starts."""
    database = cantools.database.load_string(database_text, "dbc")
    messages = {message.frame_id: message for message in database.messages}
    frames = list(batch)

    def work() -> None:
        for frame in frames:
            for name, value in messages[frame.id].decode(frame.data).items():
                json.dumps({"name": name, "value": value}).encode() + b"\0"

    return work


def obvious_raw(batch: FrameBatch) -> Work:
    """json.dumps of the dict."""
    frames = list(batch)

    def work() -> None:
        for frame in frames:
            json.dumps({"bus": 1, "id": frame.id, "data": "0x" + frame.data.hex()}).encode() + b"\0"

    return work


# The protobuf runtime


def runtime_signal(name: str, value: float) -> bytes:
    """The record of a signal, built and serialised by the protobuf runtime."""
    message = VehicleMessage()
    message.type = VehicleMessage.SIMPLE
    simple = message.simple_message
    simple.name = name
    dynamic = simple.value
    dynamic.type = DynamicField.NUM
    dynamic.numeric_value = value
    serialised = message.SerializeToString()
    return bytes((len(serialised),)) + serialised


def runtime_raw(identifier: int, data: bytes) -> bytes:
    """The record of a raw frame, built and serialised by the protobuf runtime."""
    message = VehicleMessage()
    message.type = VehicleMessage.CAN
    can_message = message.can_message
    can_message.bus = 1
    can_message.id = identifier
    can_message.data = data
    serialised = message.SerializeToString()
    return bytes((len(serialised),)) + serialised


def signal_values(batch: FrameBatch) -> list[tuple[str, float]]:
    """What all signals of a batch say, in the order of the records: the runtime gets it for nothing."""
    text: bytes = translator(payload.plan(), JSON).translate(batch).json
    records = [json.loads(record) for record in text.split(b"\0")[:-1]]
    return [(record["name"], record["value"]) for record in records]


def _each(make: Callable[..., bytes], arguments: list[tuple[object, ...]]) -> Work:
    def work() -> None:
        for arguments_of_one in arguments:
            make(*arguments_of_one)

    return work


# The rows


def check(limit: Limit | None = None) -> None:
    """Let nothing be compared that does not give the same bytes.

    Raises:
        Disagreement: two contestants do not.
    """
    signals, raw = payload.batch(), payload.batch(payload.RAW_ID_OFFSET)
    plan = payload.plan()
    records = translator(plan, BOTH).translate(signals)
    raw_records = translator(plan, BOTH, raw=True).translate(raw)
    for ours, batch in ((records, signals), (raw_records, raw)):
        twin = translator(plan, BOTH, reference.Translator, raw=batch is raw).translate(batch)
        if (ours.json, ours.protobuf) != (twin.json, twin.protobuf):
            raise Disagreement(f"the codec in {codec.IMPLEMENTATION} and its reference differ")
    if records.protobuf != b"".join(runtime_signal(*arguments) for arguments in signal_values(signals)):
        raise Disagreement("the protobuf runtime and the codec differ in signals")
    if raw_records.protobuf != b"".join(runtime_raw(frame.id, frame.data) for frame in raw):
        raise Disagreement("the protobuf runtime and the codec differ in raw frames")
    if limit is not None:
        for work, batch, text in (
            ("tables", signals, records.json),
            ("digits", signals, records.json),
            ("raw", raw, raw_records.json),
        ):
            if limit.text(work, batch) != text:
                raise Disagreement(f"limit.c ({work}) and the codec differ")


def measure(effort: Effort) -> Report:
    """All rows of the codec."""
    report = Report()
    with ExitStack() as stack:
        limit = None
        try:
            limit = stack.enter_context(compiled())
        except NoCompiler as error:
            report.rows.append(unmeasured("standalone C loops", str(error)))
        check(limit)
        figures = contest(_contestants(effort, limit), effort.runs)
    _write_rows(report, figures)
    return report


def _contestants(effort: Effort, limit: Limit | None) -> dict[str, Run]:
    signals, raw = payload.batch(), payload.batch(payload.RAW_ID_OFFSET)
    plan = payload.plan()
    firmware_plan = payload.plan(payload.database(payload.FIRMWARE_SIGNALS))
    run = partial(repeated, items=payload.FRAMES, seconds=effort.run_seconds)

    def translating(
        batch: FrameBatch, formats: frozenset[PayloadFormat], kind: type[Translator], of: Plan = plan
    ) -> Run:
        return run(partial(translator(of, formats, kind, raw=batch is raw).translate, batch))

    values = signal_values(signals)
    contestants = {
        "obvious": run(obvious_signals(payload.DATABASE, signals)),
        "obvious raw": run(obvious_raw(raw)),
        "runtime": run(_each(runtime_signal, list(values))),
        "runtime raw": run(_each(runtime_raw, [(frame.id, frame.data) for frame in raw])),
    }
    kinds: dict[str, type[Translator]] = {"": codec.Translator, " twin": reference.Translator}
    for suffix, kind in kinds.items():
        contestants |= {
            f"json{suffix}": translating(signals, JSON, kind),
            f"raw json{suffix}": translating(raw, JSON, kind),
            f"protobuf{suffix}": translating(signals, PROTOBUF, kind),
            f"raw protobuf{suffix}": translating(raw, PROTOBUF, kind),
        }
    contestants["firmware"] = translating(signals, JSON, codec.Translator, firmware_plan)
    contestants["both"] = translating(signals, BOTH, codec.Translator)
    if limit is not None:
        contestants |= {
            "tables": limit.rate("tables", signals, effort.run_seconds),
            "digits": limit.rate("digits", signals, effort.run_seconds),
            "raw loop": limit.rate("raw", raw, effort.run_seconds),
        }
    return contestants


def _write_rows(report: Report, figures: dict[str, Figure]) -> None:
    language = codec.IMPLEMENTATION
    firmware = Figure((FIRMWARE_FRAMES_PER_SECOND,))
    ours = figures["json"]
    signals, raw = f"4 signals → JSON ({language})", f"raw frame → JSON ({language})"
    report.rows += [
        faster(signals, ours, "cantools + json.dumps", figures["obvious"], 45),
        faster(
            f"4 x 16 bits → JSON ({language})", figures["firmware"], "C++ OpenXC firmware core, published", firmware, 12
        ),
        faster(raw, figures["raw json"], "json.dumps of the dict", figures["obvious raw"], 100),
    ]
    if "tables" in figures:
        report.rows += [
            longer(
                signals,
                ours,
                "standalone C, numbers by tables",
                figures["tables"],
                1.3,
                why_missed=WHY_LONGER_THAN_TABLES,
            ),
            longer(
                signals,
                ours,
                "standalone C, digits computed",
                figures["digits"],
                1.3,
                why_missed=WHY_LONGER_THAN_DIGITS,
            ),
            longer(raw, figures["raw json"], "standalone C", figures["raw loop"]),
        ]
    report.rows += [
        faster(f"4 signals → protobuf ({language})", figures["protobuf"], "protobuf runtime", figures["runtime"], 20),
        faster(
            f"raw frame → protobuf ({language})",
            figures["raw protobuf"],
            "protobuf runtime",
            figures["runtime raw"],
            20,
        ),
        faster(f"4 signals → JSON and protobuf ({language})", figures["both"], "JSON alone", ours),
    ]
    if language != "Python":
        report.rows += [
            faster(f"{work} ({language})", figures[name], "the Python codec", figures[f"{name} twin"])
            for work, name in (
                ("4 signals → JSON", "json"),
                ("4 signals → protobuf", "protobuf"),
                ("raw frame → JSON", "raw json"),
                ("raw frame → protobuf", "raw protobuf"),
            )
        ]
    report.notes.append(
        f"A batch is {payload.FRAMES:,} frames. cantools is handed frame objects and its messages, the protobuf "
        "runtime the values; only the codec reads records. The standalone C and the protobuf runtime write the codec's "
        "records byte for byte, which is checked first; json.dumps writes more spaces, cantools other digits of a "
        "double. The firmware core's figure was measured before, on one pinned core of a like machine, with 20 "
        "messages of four unsigned 16-bit fields."
    )
