"""The C codec gives back what it takes, in success and in failure.

tracemalloc sees every byte of Python's allocators, and the C uses no other (test_c_source.py). A use
makes its own arguments: a reference kept by mistake then keeps an object alive that tracemalloc counts.
"""

import contextlib
import gc
import os
import socket
import struct
import tracemalloc

import pytest

from bridge.frames import Frame, FrameBatch, FrameFlags
from bridge.profile.plan import BuiltinDecoder, Field, Multiplex, PlanBus

from .plans import BOTH, plan, signal

_codec = pytest.importorskip("bridge.codec._codec", reason="the C codec is not built", exc_type=ModuleNotFoundError)

ROUNDS = 300
NOISE = 8 * ROUNDS  #: bytes; the smallest object is twice as large as one round's share


def frames() -> FrameBatch:
    return FrameBatch.of(
        Frame(id=identifier, data=os.urandom(8), timestamp=number * 0.5, extended=identifier > 0x7FF, flags=flags)
        for number, identifier in enumerate((0x42, 0x43, 0x44, 0x18DAF110))
        for flags in (FrameFlags.NONE, FrameFlags.ERROR)
    )


def translate() -> None:
    """A plan with everything in it, that reads, calls, fails and goes."""
    from bridge.codec.compiled import Translator

    def failing(state, value):
        raise ValueError(value)

    numbers = [signal(f"{size}", size=size, factor=factor) for size in (1, 63) for factor in ("1", "0.1", "1E-12")]
    named = [
        signal(decoder.name, decoder=decoder, states={"one": [1], "other": range(2, 256)}, send_same=False)
        for decoder in (BuiltinDecoder.STATE, BuiltinDecoder.CHOICE, BuiltinDecoder.BOOLEAN)
    ]
    called = [
        signal("called", size=63, factor="0.1", decoder=lambda state, value: str(value)),
        signal("failing", decoder=failing),
    ]
    multiplexed = signal("multiplexed", multiplex=(Multiplex(Field(0, 8), frozenset(range(128))),))
    translator = Translator(
        plan(
            *numbers,
            *named,
            *called,
            multiplexed,
            bus=PlanBus(1, "hs", passthrough=True, max_message_frequency=1.0),
            handlers=(lambda context: context.publish("handled", context.data.hex()),),
        )
    )
    watched: list[bytes] = []
    translator.watch(1, 0x43, lambda data: watched.append(data) or [data])
    translator.open_ids([(1, 0x44, False), (1, 0x18DAF110, True)])
    translator.set_filter_bypass(1, True)
    translator.want(BOTH)
    assert translator.translate(frames()).count > len(numbers)
    state = translator.lookup("called")
    assert state is not None
    state.value, state.received = 1 << 40, False
    assert (state.value, state.received, len(watched)) == (1 << 40, False, 1)


def misuse_program() -> None:
    """What bridge.codec.compiled never does: a program refuses it and leaves nothing behind."""

    def made(*, messages=b"", signals=b"", keys=b"", arena=bytes(16), states=b"", buses=bytes(256 * 16), limit=1):
        tables = (messages, signals, b"", b"", keys, arena)
        return _codec.Program(*tables, bytearray(states), bytearray(buses), limit)

    for wrong in (
        {"messages": bytes(range(24)) * 2},
        {"signals": None},
        {"signals": bytes(120), "states": bytes(40)},
        {"signals": bytes(22) + b"\1" + bytes(97)},
        {"keys": struct.pack("=QII", 1, 5, 1)},
        {"buses": bytes(255 * 16)},
        {"arena": "text"},
        {"limit": "one"},
    ):
        with pytest.raises((ValueError, TypeError)):
            made(**wrong)
    with pytest.raises(TypeError):
        _codec.Program(b"", b"", b"", b"", b"", bytes(16), bytes(40), bytearray(256 * 16), 1)

    def recursive(data: bytes, length: int) -> None:
        program.translate(bytes(80), [], 0, b"")

    program = made()
    program.watch(0, 0)
    program.watch(1, 7)
    for call, arguments in (
        (program.translate, (bytes(80), [recursive], 1, b"")),
        (program.translate, (bytes(79), [], 1, b"")),
        (program.translate, (frame_record(id=1), [], 1, b"")),
        (program.translate, (frame_record(id=1), [print] * 7 + [object()], 1, b"")),
        (program.translate, (frame_record(length=65), [], 1, b"")),
        (program.translate, ("text", [], 1, b"")),
        (program.translate, (b"", (), 1, b"")),
        (program.translate, (b"", [], 1, "opened")),
        (program.append, (b"", "text")),
        (program.watch, (object(), 1)),
    ):
        with pytest.raises((ValueError, TypeError, IndexError, RuntimeError)):
            call(*arguments)


def frame_record(id: int = 0, length: int = 0) -> bytes:
    return struct.pack("<dIBBBx64x", 0.0, id, 0, 0, length)


@contextlib.contextmanager
def sockets():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with near, far:
        yield near, far


def receive() -> None:
    with sockets() as (near, far):
        for size in (0, 1, 15, 16, 17, 72, 73, 16):
            far.send(struct.pack("=IB67x", 0x123, 8)[:size] + bytes(max(0, size - 72)))
        far.send(struct.pack("=IB11x", 0x20000000, 8))
        far.send(struct.pack("=IB11x", 0x123, 255))
        records, errors, dropped = _codec.receive_frames(near.fileno(), 1, 100)
        assert (len(records), len(errors), dropped) == (3 * 80, 80, None)
        with pytest.raises(TypeError):
            _codec.receive_frames(near.fileno(), 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _codec.receive_frames(-1, 1, 100)


def send() -> None:
    with sockets() as (near, far):
        assert _codec.send_frames(near.fileno(), frames().buffer) == len(frames())
        assert len(far.recv(100)) == 16
        for wrong in (bytes(79), frame_record(length=9)):
            with pytest.raises(ValueError, match="no records"):
                _codec.send_frames(near.fileno(), wrong)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _codec.send_frames(-1, frames().buffer)


def slcan() -> None:
    stamped = f"T12ABCDEF2AA55{os.urandom(1).hex()}00\r".encode()
    lines = b"t1232AA55\r" + stamped + b"r1232\rd1239" + b"5" * 24 + b"\r\aV1013\r\rnonsense\xff\rt123"
    for epoch in (None, 1e9):
        records, answers, _, invalid = _codec.parse_slcan(bytearray(lines), 1, 1e9, epoch)
        assert (len(records), len(answers), invalid) == (4 * 80, 3, 1)
    assert _codec.slcan_lines(records).count(b"\r") == 4
    for wrong in ((lines, 256, 0.0, None), (lines, 1, 0.0, "epoch"), (lines, 1, 0.0, float("nan")), ("text", 1, 0.0)):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            _codec.parse_slcan(*wrong)
    refuse_records(_codec.slcan_lines)


def candump() -> None:
    lines = b"(1436509052.249713) vcan0 044#2A366C2BBA\n(1.5) vcan1 123##1112233\n(1.5) vcan1 20000080#R\nnonsense\n"
    for channel, found in ((None, 3), (b"vcan1", 2)):
        records, invalid = _codec.parse_candump(lines + os.urandom(40).replace(b"\n", b""), 1, channel)
        assert (len(records), invalid) == (found * 80, 2)
    assert _codec.candump_lines(records, b"vcan0").count(b"\n") == 2
    for wrong in ((lines, 256), (lines, 1, "vcan0"), ("text", 1)):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            _codec.parse_candump(*wrong)
    refuse_records(lambda records: _codec.candump_lines(records, b"vcan0"))


def refuse_records(write) -> None:
    for wrong in (bytes(79), frame_record(id=0x800), frame_record(length=65), "text"):
        with pytest.raises((ValueError, TypeError)):
            write(wrong)


def can_writes() -> None:
    data = b'{"bus":1,"id":2015,"data":"0x%b","frame_format":"standard"}\0' % os.urandom(8).hex().encode()
    writes, position = _codec.can_writes(data * 3 + b'{"id":1,"data":"', 0)
    assert (len(writes), position) == (3, 3 * len(data))
    for wrong in ((data, -1), (data, len(data) + 1), (data, None), ("text", 0)):
        with pytest.raises((ValueError, TypeError)):
            _codec.can_writes(*wrong)


USES = {
    "Program": (translate, misuse_program),
    "parse_slcan": (slcan,),
    "slcan_lines": (slcan,),
    "parse_candump": (candump,),
    "candump_lines": (candump,),
    "can_writes": (can_writes,),
    "receive_frames": (receive,),
    "send_frames": (send,),
}


def test_everything_in_the_extension_is_used_here():
    assert set(USES) == {name for name in vars(_codec) if not name.startswith("__")}


@pytest.mark.parametrize(
    "use", dict.fromkeys(use for uses in USES.values() for use in uses), ids=lambda use: use.__name__
)
def test_nothing_is_left_behind(use):
    for _ in range(20):
        use()
    tracemalloc.start()
    try:
        before = held()
        for _ in range(ROUNDS):
            use()
        assert held() - before < NOISE
    finally:
        tracemalloc.stop()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
