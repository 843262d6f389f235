"""The standalone C loops (limit.c): compiled, checked against the codec's text, and run in turn with others."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import Run
from bridge.frames import FrameBatch

SOURCE = Path(__file__).with_name("limit.c")
FLAGS = ("-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden")  #: the extension's (setup.py)


class NoCompiler(Exception):
    """There is no C compiler on this machine."""


class Limit:
    """The compiled program, in a folder that its maker cleans up."""

    def __init__(self, folder: Path) -> None:
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if shutil.which(compiler[0]) is None:
            raise NoCompiler(f"there is no C compiler ({compiler[0]})")
        self._folder = folder
        self._program = folder / "limit"
        subprocess.run([*compiler, *FLAGS, str(SOURCE), "-o", str(self._program)], check=True)
        self._processes: list[subprocess.Popen[str]] = []

    def text(self, work: str, batch: FrameBatch) -> bytes:
        """What it prints for a batch; work is `tables`, `digits` or `raw`."""
        command = [str(self._program), work, str(self._file(batch)), "--text"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def rate(self, work: str, batch: FrameBatch, seconds: float) -> Run:
        """Runs of about that time, in frames per second."""
        process = subprocess.Popen(
            [str(self._program), work, str(self._file(batch))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._processes.append(process)

        def passes(count: int) -> float:
            """Seconds for so many passes over the batch."""
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{count}\n")
            return int(process.stdout.readline()) / 1e9

        passes(100)
        count = max(1, round(seconds * 100 / passes(100)))
        return lambda: len(batch) * count / passes(count)

    def close(self) -> None:
        for process in self._processes:
            process.communicate()

    def _file(self, batch: FrameBatch) -> Path:
        path = self._folder / f"{abs(hash(batch))}.frames"
        path.write_bytes(batch.buffer)
        return path


@contextmanager
def compiled() -> Iterator[Limit]:
    """The program, for as long as it is needed.

    Raises:
        NoCompiler: there is none.
        subprocess.CalledProcessError: the compiler refused it.
    """
    with tempfile.TemporaryDirectory(prefix="limit-") as folder:
        limit = Limit(Path(folder))
        try:
            yield limit
        finally:
            limit.close()
