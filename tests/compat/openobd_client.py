"""The real openOBD library, unmodified, against a gateway: scripts, and launchers that serve functions.

The gateway (the fixture open_bench) runs on the test's own loop, so a test must never block: it
awaits shown() and finished(), which wait for the process in a thread.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from .environments import Environment
from .processes import TIMEOUT, Process

#: As published. What its openobd-protocol asks for is too old for its own code.
ENVIRONMENT = Environment(
    "openobd",
    ("openobd==1.26.13", "grpcio>=1.78", "protobuf>=6.31.1,<8"),
    ("python", "-c", "import openobd"),
)
SCRIPTS = Path(__file__).parent / "scripts_openobd"
CREDENTIALS = {
    "OPENOBD_CLUSTER_ID": "001",
    "OPENOBD_PARTNER_CLIENT_ID": "bench-client",
    "OPENOBD_PARTNER_CLIENT_SECRET": "bench-secret",
}


class OpenOBD:
    """The installed library. `variables` of its methods are those of the process's environment beside the usual."""

    def __init__(self, bin: Path, started: list[Process]) -> None:
        self._bin = bin
        self._started = started

    def script(self, name: str, port: int, *arguments: str, **variables: str) -> Process:
        """Start a script of scripts_openobd/ with a plain python."""
        return self._start((str(SCRIPTS / name), *arguments), port, variables)

    def run(
        self, file: str, port: int, *arguments: str, ticket: str = "1", directory: Path = SCRIPTS, **variables: str
    ) -> Process:
        """`python -m openobd run` of a file in scripts_openobd/, or in another directory, on a ticket."""
        command = ("-m", "openobd", "run", "--file", file, "--ticket", ticket, *arguments)
        return self._start(command, port, variables, directory)

    def serve(self, modules: str, port: int, *arguments: str, directory: Path = SCRIPTS, **variables: str) -> Process:
        """`python -m openobd serve` of a directory in scripts_openobd/, or in another one."""
        command = ("-m", "openobd", "serve", "--modules", modules, *arguments)
        return self._start(command, port, variables, directory)

    def _start(
        self, arguments: tuple[str, ...], port: int, variables: dict[str, str], directory: Path = SCRIPTS
    ) -> Process:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENOBD_", "GRPC_"))
        }
        environment |= {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "no_proxy": "127.0.0.1",
            "OPENOBD_GRPC_HOST": "127.0.0.1",
            "OPENOBD_GRPC_PORT": str(port),
            **CREDENTIALS,
            **variables,
        }
        process = Process((self._bin / "python", *arguments), environment, directory, join_errors=True)
        self._started.append(process)
        return process


async def shown(process: Process, text: str, times: int = 1) -> list[str]:
    """All that a process has printed or logged, as soon as a text is in so many of its lines."""

    def found(lines: list[str]) -> bool:
        return sum(text in line for line in lines) >= times

    return await asyncio.to_thread(process.wait_for, found, f"{text!r}, {times} times,")


async def finished(process: Process, status: int | None = 0) -> list[str]:
    """All that a process has printed or logged, when it has ended by itself, with this status if one is given."""
    return await asyncio.to_thread(process.finish, status, TIMEOUT)
