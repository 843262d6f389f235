"""Messages for hypothesis: every one that both ends can say, so that what is decoded equals what was encoded."""

from __future__ import annotations

from hypothesis import strategies as st

from bridge.openxc import messages
from bridge.openxc.messages import CommandName, DecodedType, DiagnosticAction, FrameFormat, PayloadFormat

MODES_WITH_PID_0 = (1, 9)

names = st.text(min_size=1, max_size=20)
integers = st.integers(-(2**53), 2**53)
floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(st.booleans(), integers, floats, st.text(max_size=20))
buses = st.one_of(st.none(), st.integers(1, 255))
ids = st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF))
#: From an app: protobuf has no word for an id of 0.
asked_ids = st.one_of(st.integers(1, 0x7FF), st.integers(1, 0x1FFFFFFF))
extras = st.recursive(
    st.one_of(st.booleans(), integers, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
#: What both formats can say; JSON says more, see json_common.
timestamps = st.one_of(st.none(), st.integers(1, 2**40).map(float))


@st.composite
def can_messages(draw, fd=False, ids=ids):
    identifier = draw(ids)
    extended = identifier > 0x7FF or draw(st.booleans())
    return messages.CanMessage(
        id=identifier,
        data=draw(st.binary(min_size=0 if identifier else 1, max_size=64 if fd else 8)),
        bus=draw(buses),
        frame_format=FrameFormat.EXTENDED if extended else None,
        fd=fd,
        timestamp=draw(timestamps),
    )


simple_messages = st.builds(
    messages.SimpleMessage, name=names, value=values, event=st.one_of(st.none(), values), timestamp=timestamps
)


def pids(mode):
    return st.one_of(st.none() if mode not in MODES_WITH_PID_0 else st.just(0), st.integers(1, 0xFFFF))


@st.composite
def requests(draw):
    mode = draw(st.integers(1, 0xFF))
    return messages.DiagnosticRequest(
        id=draw(asked_ids),
        mode=mode,
        bus=draw(buses),
        pid=draw(pids(mode)),
        payload=draw(st.binary(max_size=30)),
        multiple_responses=draw(st.booleans()),
        frequency=draw(st.floats(0, 1e6)),
        name=draw(st.one_of(st.none(), names)),
        decoded_type=draw(st.one_of(st.none(), st.sampled_from(DecodedType))),
    )


@st.composite
def diagnostic_responses(draw):
    mode = draw(st.integers(1, 0xFF))
    success = draw(st.booleans())
    part = success and draw(st.booleans())
    return messages.DiagnosticResponse(
        bus=draw(st.integers(1, 255)),
        id=draw(ids),
        mode=mode,
        success=success,
        pid=draw(pids(mode)),
        negative_response_code=None if success else draw(st.integers(1, 255)),
        payload=draw(st.one_of(st.none(), st.binary(min_size=1, max_size=100))),
        value=draw(st.one_of(st.none(), integers, floats)),
        frame=draw(st.integers(-1, 600)) if part else None,
        total_size=draw(st.integers(1, 4095)) if part else None,
        timestamp=draw(timestamps),
    )


command_responses = st.builds(
    messages.CommandResponse,
    command_response=st.sampled_from(CommandName).map(str),
    status=st.booleans(),
    message=st.text(max_size=30),
    timestamp=timestamps,
)

_plain = st.sampled_from(["version", "device_id", "platform", "sd_mount_status", "get_vin"])

commands = st.one_of(
    st.builds(messages.SimpleCommand, name=_plain, timestamp=timestamps),
    st.builds(messages.PassthroughCommand, name=st.just("passthrough"), bus=buses, enabled=st.booleans()),
    st.builds(messages.AcceptanceFilterCommand, name=st.just("af_bypass"), bus=buses, bypass=st.booleans()),
    st.builds(
        messages.PayloadFormatCommand,
        name=st.just("payload_format"),
        format=st.one_of(st.none(), st.sampled_from(PayloadFormat)),
    ),
    st.builds(messages.PredefinedObd2Command, name=st.just("predefined_obd2"), enabled=st.booleans()),
    st.builds(
        messages.DiagnosticCommand,
        name=st.just("diagnostic_request"),
        action=st.sampled_from(DiagnosticAction),
        request=requests(),
    ),
    st.builds(
        messages.ModemConfigurationCommand,
        name=st.just("modem_configuration"),
        host=st.one_of(st.none(), names),
        port=st.one_of(st.none(), st.integers(1, 0xFFFF)),
    ),
    st.builds(
        messages.RtcConfigurationCommand,
        name=st.just("rtc_configuration"),
        unix_time=st.one_of(st.none(), st.integers(1, 0xFFFFFFFF)),
    ),
)

incoming = st.one_of(commands, simple_messages, can_messages(ids=asked_ids))
outgoing = st.one_of(simple_messages, can_messages(), diagnostic_responses(), command_responses)
