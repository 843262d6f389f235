"""A vehicle far away: a daemon with a gateway, and the configuration of one that reaches the vehicle through it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .harness import Daemon

LISTEN = '[[listen]]\nurl = "tcp://127.0.0.1:0"\n'

Start = Callable[..., Daemon]


def start_gateway(start: Start, folder: Path, port: int = 0, *, bus: str = '[[bus]]\nspec = "simulated"\n') -> Daemon:
    """A daemon with the simulated vehicle and a gateway, on a port of its own unless one is given."""
    file = folder / "gateway.toml"
    file.write_text(f'profile = "demo"\n{bus}{LISTEN}[gateway]\nlisten = "127.0.0.1:{port}"\n')
    return start("-f", file)


def gateway_port(gateway: Daemon) -> int:
    """The port that its gateway listens on."""
    found = re.search(r"OPENOBD_GRPC_PORT=(\d+)", gateway.printed)
    assert found is not None
    return int(found[1])


def write_settings(folder: Path, port: int, secret: str = "bench-secret", extra: str = "") -> Path:
    """The configuration of a bridge to that gateway."""
    file = folder / "far-away.toml"
    file.write_text(
        f'{LISTEN}[openobd]\nhost = "127.0.0.1"\nport = {port}\n'
        f'client_id = "bench-client"\nclient_secret = "{secret}"\n{extra}'
    )
    return file


def start_remote(
    start: Start, folder: Path, port: int, *arguments: str, bus: str = "openobd:ticket/1", profile: str = "demo"
) -> Daemon:
    """A daemon whose bus 1 is that vehicle."""
    settings = write_settings(folder, port)
    return start("-f", settings, "--profile", profile, "--bus", bus, "--allow-write", "all", *arguments)
