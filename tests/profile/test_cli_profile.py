import argparse
import json

import pytest

from bridge.cli import profile
from bridge.errors import ConfigurationError
from bridge.profile.errors import ProfileError
from bridge.profile.loading import load


@pytest.fixture
def run():
    parser = argparse.ArgumentParser()
    profile.add_parser(parser.add_subparsers())

    def run(*words):
        return profile.run(parser.parse_args(["profile", *map(str, words)]))

    return run


DBC = 'BO_ 1 M: 8 Vector__XXX\n SG_ S : 0|8@1+ (0.1,0) [0|0] "V" Vector__XXX\n'


def test_check(run, capsys, tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"loopers": ["x"]}')
    bad.write_text('{"messages": {"1": {}}}')
    assert run("check", "obd2", good) == 0
    out, err = capsys.readouterr()
    assert out == f"obd2: ok: obd2: 1 bus, 0 messages\n{good}: ok: generic: 0 buses, 0 messages\n"
    assert err.startswith(f'warning: {good}: "loopers" are C++')
    assert run("check", bad, "passthrough") == 1
    out, err = capsys.readouterr()
    assert out == "passthrough: ok: passthrough: 2 buses, 0 messages\n"
    assert err == f'{bad}: message 1: missing "bus"\n'


def test_show(run, capsys):
    assert run("show", "functional") == 0
    assert "signal1: bit 52, 12 bits" in capsys.readouterr().out


def test_show_says_what_is_wrong(run):
    with pytest.raises(ProfileError, match="no shipped profile"):
        run("show", "nothing")


def test_from_dbc(run, capsys, tmp_path):
    file, out = tmp_path / "car.dbc", tmp_path / "car.json"
    file.write_text(DBC)
    assert run("from-dbc", file, "-o", out, "--bus-speed", 250000, "--name", "mine") == 0
    plan = load(out)
    assert (plan.name, plan.buses[0].speed) == ("mine", 250000)
    assert plan.messages == load(file).messages
    assert run("from-dbc", file) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "car"


def test_from_dbc_faults(run, tmp_path):
    file = tmp_path / "car.dbc"
    file.write_text(DBC)
    with pytest.raises(ConfigurationError, match="--bus-speed 0"):
        run("from-dbc", file, "--bus-speed", 0)
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        run("from-dbc", file, "-o", tmp_path / "gone" / "car.json")


def test_help_is_worth_reading(run, capsys):
    for words in ((), ("check",), ("show",), ("from-dbc",)):
        with pytest.raises(SystemExit):
            run(*words, "--help")
        assert len(capsys.readouterr().out) > 300
