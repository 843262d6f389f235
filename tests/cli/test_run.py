"""`openxc-bridge run`: which settings its flags become. What it does is in tests/daemon."""

from __future__ import annotations

import pytest

from bridge.cli import run
from bridge.cli.main import main
from bridge.config import Settings


@pytest.fixture
def settings_of(monkeypatch):
    """The settings with which the daemon would begin."""
    for name in ("OPENXC_BRIDGE_GATEWAY", "OPENXC_BRIDGE_BUS", "OPENXC_BRIDGE_LISTEN"):
        monkeypatch.delenv(name, raising=False)

    def settings_of(*arguments: str) -> Settings:
        seen: list[Settings] = []

        async def serve(settings: Settings) -> int:
            seen.append(settings)
            return 0

        monkeypatch.setattr(run, "_serve", serve)
        assert main(["run", *arguments]) == 0
        return seen[0]

    return settings_of


def test_without_flags_there_is_no_gateway(settings_of):
    assert settings_of().gateway == Settings().gateway
    assert Settings().gateway.listen is None


def test_the_gateway_s_flags(settings_of):
    gateway = settings_of("--gateway", "127.0.0.1:0", "--ui", "auto").gateway
    assert (gateway.listen, gateway.ui) == ("127.0.0.1:0", "auto")
    assert settings_of("--gateway", "127.0.0.1:0").gateway.ui == "refuse"


def test_the_flags_leave_the_rest_of_the_file_s_gateway(settings_of, tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text('[gateway]\nlisten = "127.0.0.1:1"\nui = "auto"\nterminal15 = "ignition_status"\n')
    gateway = settings_of("-f", str(file), "--ui", "terminal").gateway
    assert (gateway.listen, gateway.ui, gateway.terminal15) == ("127.0.0.1:1", "terminal", "ignition_status")
    gateway = settings_of("-f", str(file), "--gateway", "127.0.0.1:2").gateway
    assert (gateway.listen, gateway.ui, gateway.terminal15) == ("127.0.0.1:2", "auto", "ignition_status")


def test_an_answerer_needs_a_gateway(monkeypatch, capsys, settings_of):
    with pytest.raises(AssertionError):
        settings_of("--ui", "auto")
    assert "it needs --gateway HOST:PORT" in capsys.readouterr().err
    monkeypatch.setenv("OPENXC_BRIDGE_GATEWAY", "127.0.0.1:3")
    assert settings_of("--ui", "auto").gateway.listen == "127.0.0.1:3"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_flags(capsys, shell):
    with pytest.raises(SystemExit):
        main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert "--gateway" in script
    assert "refuse" in script
    assert "terminal" in script
