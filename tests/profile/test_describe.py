from bridge.profile.describe import describe, summary
from bridge.profile.loading import load
from bridge.profile.plan import (
    BuiltinDecoder,
    ByteOrder,
    Field,
    Message,
    Multiplex,
    Plan,
    PlanBus,
    RawType,
    Signal,
    State,
)


def test_functional():
    lines = describe(load("functional")).splitlines()
    assert lines[0] == "functional_tests: 2 buses, 9 messages, 23 signals, 1 command, 1 diagnostic request"
    for line in (
        "bus 1: unfiltered_bus, 500000 bit/s, raw_writable, raw frames, loopback",
        "bus 2: filtered_bus, 125000 bit/s, raw_writable, raw frames of known ids, loopback",
        "  0x42 message1",
        "    signal1: bit 52, 12 bits",
        "    writable_number (WritableNumber) in Nm: bit 0, 16 bits, x 0.5 -100, -100 to 32667.5, writable",
        "    writable_state (WritableState): bit 16, 3 bits, writable; off 0/7, accessory 1, run 2, start 3",
        "    forced_number (Forced): bit 8, 8 bits, at 1 Hz at most and on change",
        "    changed_number (Changed): bit 16, 8 bits, only changes",
        "  0x53 button_message, handleButtonEventMessage",
        "  0x54 fd_message, CAN FD, 64 bytes",
        "    second_number (Second): bit 40, 8 bits, where its multiplexer is 1, 2",
        "  diagnostic request 0x7e5 mode 0x22, pid 0x2a, 0.1 Hz, published as functional_diagnostic",
        "command turn_signal_status: handleTurnSignalCommand",
    ):
        assert line in lines, line


def test_obd2():
    assert "the predefined OBD-II requests are on" in describe(load("obd2"))
    assert summary(load("obd2")) == "obd2: 1 bus, 0 messages"


def test_of_a_database():
    signal = Signal(
        name="M.s\n",
        key="s\n",
        field=Field(3, 1, ByteOrder.LITTLE, RawType.SIGNED),
        states=tuple(State(f"n{value}", (value,)) for value in range(14)),
        decoder=BuiltinDecoder.CHOICE,
        multiplex=(Multiplex(Field(0, 1), frozenset((1,))),),
    )
    message = Message(1, 0x10, "M", extended=True, length=2, signals=(signal,), max_frequency=2)
    plan = Plan("db", (PlanBus(1, "b", bypass_filter=True, max_message_frequency=5),), (message,))
    assert describe(plan).splitlines() == [
        "db: 1 bus, 1 message, 1 signal",
        "",
        "bus 1: b, raw writing as the listener grants, raw frames at 5 Hz at most",
        "  0x10 M, extended, 2 bytes, raw at 2 Hz at most",
        "    M.s\\n: bit 3, 1 signed little-endian bit, where its multiplexer is 1; "
        + ", ".join(f"n{value} {value}" for value in range(12))
        + ", and 2 more",
    ]
