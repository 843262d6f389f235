"""How the tests of tests/vcan are run in another process, with a process that plays that part."""

from __future__ import annotations

import json

import pytest

from tests.vcan import elsewhere


@pytest.fixture
def play(request, tmp_path, monkeypatch):
    """Have a script take the tool's place; gives what the host's half makes of it."""
    made = []

    def play(script: str) -> elsewhere.Elsewhere:
        tool = tmp_path / "tool.py"
        tool.write_text(f"import os, sys, time\ndef line(text): os.write(1, text.encode())\n{script}\n")
        monkeypatch.setattr(elsewhere, "TOOL", tool)
        made.append(elsewhere.Elsewhere(request.config, ["one", "two"]))
        return made[-1]

    yield play
    for one in made:
        one.end()


def line(nodeid, when, outcome="passed", longrepr=None):
    return json.dumps(
        {
            "$report_type": "TestReport",
            "nodeid": nodeid,
            "location": ["file.py", 1, "test"],
            "keywords": {},
            "outcome": outcome,
            "longrepr": longrepr,
            "when": when,
            "sections": [],
            "duration": 0.1,
            "start": 1.0,
            "stop": 1.1,
            "user_properties": [],
        }
    )


def test_reports_come_by_node_id_whatever_their_order(play):
    lines = [line(nodeid, when) for nodeid in ("two", "one") for when in ("setup", "call", "teardown")]
    found = play(f"line({chr(10).join(lines)!r} + chr(10))")
    for nodeid in ("one", "two"):
        assert [report.when for report in found.reports(nodeid)] == ["setup", "call", "teardown"]


def test_the_reason_of_a_skipped_test_is_what_pytest_takes(play):
    lines = [line("one", "setup", "skipped", ["file.py", 3, "Skipped: why"]), line("one", "teardown")]
    report = play(f"line({chr(10).join(lines)!r} + chr(10))").reports("one")[0]
    assert report.skipped
    assert report.longrepr == ("file.py", 3, "Skipped: why")


def test_the_tests_that_a_dead_process_owes_say_what_it_printed(play):
    found = play(f"line({line('one', 'setup')!r} + chr(10)); os.close(1); time.sleep(0.2); sys.exit('the reason')")
    with pytest.raises(EOFError, match="exit status 1; it printed:\nthe reason"):
        found.reports("one")
    with pytest.raises(EOFError, match="ended before"):
        found.reports("two")


def test_a_silent_process_is_ended(play, monkeypatch):
    monkeypatch.setattr(elsewhere, "SILENCE_LIMIT", 0.2)
    found = play("time.sleep(1000)")
    with pytest.raises(EOFError, match=r"no report for 0.2 s"):
        found.reports("one")
    assert found.end() < 0
