import importlib.resources
from pathlib import Path

import pytest

from bridge.profile import loading
from bridge.profile.errors import ProfileError

DBC = 'BO_ 1 M: 8 Vector__XXX\n SG_ S : 0|8@1+ (1,0) [0|0] "°C" Vector__XXX\n'


def test_shipped_profiles_have_their_names():
    names = {name: loading.load(name).name for name in loading.available()}
    assert {"obd2": "obd2", "passthrough": "passthrough", "functional": "functional_tests"}.items() <= names.items()


@pytest.mark.parametrize("name", loading.available())
def test_shipped_profiles_are_clean(name):
    plan = loading.load(name)
    assert plan.warnings == ()
    assert all(bus.raw_writable for bus in plan.buses)


def test_passthrough():
    plan = loading.load("passthrough")
    assert [(bus.number, bus.speed, bus.passthrough, bus.bypass_filter) for bus in plan.buses] == [
        (1, 500000, True, True),
        (2, 500000, True, True),
    ]
    assert plan.messages == ()


def test_obd2():
    plan = loading.load("obd2")
    assert (len(plan.buses), plan.messages, plan.predefined_obd2) == (1, (), True)


def test_functional_has_a_bit_of_everything():
    plan = loading.load("functional")
    assert all(bus.loopback for bus in plan.buses)
    assert (len(plan.commands), len(plan.diagnostics)) == (1, 1)
    signals = [signal for message in plan.messages for signal in message.signals]
    assert any(signal.writable and signal.states for signal in signals)
    assert any(signal.multiplex for signal in signals)
    assert any(message.fd for message in plan.messages)
    assert any(message.handlers for message in plan.messages)


def test_found_by_name_or_path(tmp_path):
    assert loading.find("obd2") == Path(str(importlib.resources.files("firmware_profiles") / "obd2.json"))
    file = tmp_path / "mine.json"
    file.write_text("{}")
    assert loading.find(str(file)) == loading.find(file) == file


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("passthrogh", 'no file and no shipped profile "passthrogh"; did you mean "passthrough"?'),
        ("zzz", 'no file and no shipped profile "zzz"; shipped are '),
        ("\0", "no file and no shipped profile"),
        ("x" * 5000, "no file and no shipped profile"),
    ],
)
def test_not_found(name, error):
    with pytest.raises(ProfileError) as caught:
        loading.find(name)
    assert str(caught.value).startswith(error)


def test_files_are_relative_to_the_one_that_names_them(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "car.json").write_text('{"parents": ["sub/base.json"]}')
    (tmp_path / "sub" / "base.json").write_text(
        '{"buses": {"hs": {"controller": 1, "speed": 1}}, "mappings": [{"mapping": "map.json", "bus": "hs"}]}'
    )
    (tmp_path / "sub" / "map.json").write_text('{"messages": {"1": {}}}')
    assert len(loading.load(tmp_path / "car.json").messages) == 1


def test_databases_by_suffix_and_in_either_encoding(tmp_path):
    for encoding in ("utf-8", "cp1252", "utf-8-sig"):
        file = tmp_path / "car.DBC"
        file.write_text(DBC, encoding=encoding)
        assert loading.is_database(file)
        assert loading.load(file).messages[0].signals[0].unit == "°C"
        assert loading.load_database(str(file), bus=2).buses[0].number == 2


def test_a_database_added_to_a_profile(tmp_path):
    file = tmp_path / "car.dbc"
    file.write_text(DBC)
    plan = loading.load("passthrough", file)
    assert (plan.name, len(plan.buses)) == ("passthrough", 2)
    assert [(message.bus, message.name) for message in plan.messages] == [(1, "M")]


def test_unreadable_files(tmp_path, monkeypatch):
    with pytest.raises(ProfileError, match=r"gone.dbc: cannot be read: No such file or directory$"):
        loading.load_database(tmp_path / "gone.dbc")
    with pytest.raises(ProfileError, match=r"cannot be read: Is a directory$"):
        loading.load(tmp_path)
    file = tmp_path / "car.json"
    file.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ProfileError, match="byte 10 is no UTF-8 text"):
        loading.load(file)
    monkeypatch.setattr(loading, "_SIZE_LIMIT", 5)
    with pytest.raises(ProfileError, match="more than 5 bytes"):
        loading.load(file)
