"""Virtual environments of the real clients: made on first use, kept for the next run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import ROOT


@dataclass(frozen=True)
class Environment:
    """One client, as published, in `.venv-NAME` of the working tree."""

    name: str
    requirements: tuple[str, ...]  #: for pip
    check: tuple[str, ...]  #: a command of the environment's, which works once all is there

    @property
    def bin(self) -> Path:
        """Where its commands are, installed for who asks first. Where that fails the test is skipped, and says why."""
        directory = ROOT / f".venv-{self.name}"
        marker = directory / "installed"
        wanted = "\n".join((*self.requirements, sys.version, sys.base_prefix, ""))
        with _locked(directory):
            if not marker.exists() or marker.read_text() != wanted:
                self._install(directory)
                marker.write_text(wanted)
        return directory / "bin"

    def _install(self, directory: Path) -> None:
        self._run(sys.executable, "-m", "venv", "--clear", directory)
        pip = ("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
        self._run(directory / "bin" / "python", *pip, *self.requirements)
        command, *arguments = self.check
        self._run(directory / "bin" / command, *arguments)

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            pytest.skip(f"{self.name} cannot be installed: {Path(command[0]).name} {command[-1]}: {last}")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes out, on the directory itself."""
    directory.mkdir(exist_ok=True)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
