import importlib.metadata
import math
import sys
import types

import pytest

from bridge.openxc.messages import DecodedType
from bridge.profile import decoders
from bridge.profile.plan import BuiltinDecoder
from bridge.profile.plugins import Kind, UnknownFunction, resolve


@pytest.mark.parametrize(
    ("name", "kind", "function"),
    [
        ("booleanDecoder", Kind.DECODER, BuiltinDecoder.BOOLEAN),
        ("openxc::can::read::booleanDecoder", Kind.DECODER, BuiltinDecoder.BOOLEAN),
        ("openxc::signals::handlers::handleInverted", Kind.DECODER, decoders.decode_inverted),
        ("can::read::stateDecoder", Kind.DECODER, BuiltinDecoder.STATE),
        ("openxc::can::write::booleanEncoder", Kind.ENCODER, decoders.encode_boolean),
        ("stateEncoder", Kind.ENCODER, None),
        ("openxc::signals::handlers::handleGpsMessage", Kind.HANDLER, decoders.handle_gps),
        ("handleTurnSignalCommand", Kind.COMMAND, decoders.command_turn_signal),
        ("openxc::diagnostics::obd2::handleObd2Pid", Kind.DIAGNOSTIC_DECODER, DecodedType.OBD2),
        ("passthroughDecoder", Kind.DIAGNOSTIC_DECODER, DecodedType.NONE),
        ("math:sin", Kind.DECODER, math.sin),
        ("math.cos", Kind.DECODER, math.cos),
        ("os.path:join", Kind.HANDLER, __import__("os").path.join),
    ],
)
def test_resolved(name, kind, function):
    assert resolve(name, kind) is function


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("booleanHandler", Kind.DECODER, r'"booleanHandler" is a C\+\+ function; .*\(booleanDecoder'),
        ("handleMyThing", Kind.COMMAND, r"handleTurnSignalCommand.*package.module:function"),
        ("my::stateDecoder", Kind.DECODER, r"is a C\+\+ function"),
        ("handleGpsMessage", Kind.DECODER, '"handleGpsMessage" is a message handler, not a decoder'),
        ("openxc::can::read::booleanDecoder", Kind.ENCODER, "is a decoder, not an encoder"),
        ("handleMultisizeWheelRotationCount", Kind.DECODER, r"wheel_rotations\(radius\)"),
        ("no_such_package:f", Kind.DECODER, "cannot be imported: ModuleNotFoundError"),
        ("math:nothing", Kind.DECODER, "cannot be imported: AttributeError"),
        ("math:pi", Kind.DECODER, '"math:pi" is no function'),
        ("x" * 1000, Kind.DECODER, r"C\+\+ function"),
        ("", Kind.DECODER, r"C\+\+ function"),
    ],
)
def test_refused(name, kind, error):
    with pytest.raises(UnknownFunction, match=error):
        resolve(name, kind)


def test_a_module_that_exits_is_no_module(tmp_path, monkeypatch):
    (tmp_path / "exits_at_once.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownFunction, match="SystemExit: 3"):
        resolve("exits_at_once:f", Kind.DECODER)


def test_entry_points(monkeypatch):
    module = types.ModuleType("plugin_for_test")
    module.double = lambda state, value: 2 * value
    monkeypatch.setitem(sys.modules, "plugin_for_test", module)
    point = importlib.metadata.EntryPoint("doubled", "plugin_for_test:double", "openxc_bridge.decoders")
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group, name: [point] if (group, name) == (point.group, point.name) else [],
    )
    assert resolve("doubled", Kind.DECODER) is module.double
    with pytest.raises(UnknownFunction):
        resolve("doubled", Kind.ENCODER)
