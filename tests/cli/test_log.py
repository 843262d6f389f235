"""The log's handler, on a pipe whose reader is the test."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time

import pytest

from bridge.cli.log import PatientHandler
from bridge.limits import LOG_FLUSH_TIMEOUT, LOG_LINES_LIMIT

LINE = "x" * 99


@pytest.fixture
def pipe():
    """A pipe that is full after some forty lines: its reading and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def make_log(descriptor):
    log = logging.Logger("test")
    log.addHandler(PatientHandler(descriptor))
    return log


def read_until(descriptor, wanted):
    data = b""
    while wanted not in data:
        data += os.read(descriptor, 1 << 16)
    return data.decode()


def test_what_was_logged_is_there_after_a_flush(pipe):
    reading, writing = pipe
    log = make_log(writing)
    log.warning("first")
    log.warning("second \udcff")
    log.handlers[0].flush()
    assert os.read(reading, 4096) == b"first\nsecond \\udcff\n"


@pytest.mark.parametrize("blocking", [True, False])
def test_nobody_waits_for_a_reader_who_learns_what_is_missing(pipe, blocking):
    reading, writing = pipe
    os.set_blocking(writing, blocking)
    log = make_log(writing)
    began = time.monotonic()
    for _ in range(LOG_LINES_LIMIT * 3):
        log.warning(LINE)
    log.handlers[0].flush()
    assert time.monotonic() - began < 2
    kept = read_until(reading, LINE.encode())
    log.handlers[0].flush()
    log.warning("the end")
    kept += read_until(reading, b"the end\n")
    missing = [int(count) for count in re.findall(r"(\d+) lines of the log are missing here", kept)]
    assert sum(missing) >= LOG_LINES_LIMIT
    assert kept.count(LINE) == LOG_LINES_LIMIT * 3 - sum(missing)
    assert "missing" in kept.splitlines()[-2]


def test_a_reader_that_has_gone_is_no_trouble():
    reading, writing = os.pipe()
    os.close(reading)
    log = make_log(writing)
    log.warning("nobody hears this")
    began = time.monotonic()
    log.handlers[0].flush()
    assert time.monotonic() - began < LOG_FLUSH_TIMEOUT
    os.close(writing)


def test_a_file_has_each_line_at_once(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        make_log(file.fileno()).warning("first")
        assert (tmp_path / "log").read_text() == "first\n"
