"""An OpenXC trace as the vehicle: what was recorded is said again, each record in its place."""

import pytest

from bridge.openxc.messages import CanMessage, DiagnosticResponse, FrameFormat, PayloadFormat, SimpleMessage

TRACE = """\
{"metadata":{"version":"v3.0","vehicle":{"make":"Ford"}}}
{"timestamp":1364323939.012,"name":"vehicle_speed","value":12.5}
{"timestamp":1364323939.022,"bus":1,"id":66,"data":"0x1234"}
{"timestamp":1364323939.032,"name":"door_status","value":"driver","event":true}
this line is torn
{"timestamp":1364323939.042,"bus":1,"id":2016,"mode":1,"success":true,"pid":12,"value":1726}
{"timestamp":1364323939.052,"bus":2,"id":418119424,"data":"0xff","frame_format":"extended"}
{"timestamp":1364323939.062,"command_response":"version","message":"7.0","status":true}
{"timestamp":1364323939.072,"name":"last","value":true}
"""

SAID = [
    SimpleMessage(name="vehicle_speed", value=12.5),
    CanMessage(bus=1, id=66, data=b"\x12\x34"),
    SimpleMessage(name="door_status", value="driver", event=True),
    DiagnosticResponse(bus=1, id=2016, mode=1, success=True, pid=12, value=1726),
    CanMessage(bus=1, id=418119424, data=b"\xff", frame_format=FrameFormat.EXTENDED),
    SimpleMessage(name="last", value=True),
]


@pytest.mark.parametrize("speed", ["max", "1000"])
@pytest.mark.parametrize("payload_format", PayloadFormat)
async def test_a_trace_is_said_again(start, join, tmp_path, speed, payload_format):
    trace = tmp_path / "trace.json"
    trace.write_text(TRACE)
    daemon = start("--bus", f"replay:{trace}?speed={speed}&wait", "--payload-format", payload_format.value)
    app = await join(daemon.url, payload_format)
    records = await app.records(len(SAID))
    assert [record.timestamp for record in records] == [None] * len(SAID)
    if payload_format is PayloadFormat.JSON:
        assert records == SAID
    else:
        assert [type(record) for record in records] == [type(record) for record in SAID]
    # An answer of back then is no answer to anybody now.
    assert (await app.ask("version")).message.endswith("(raw)")
