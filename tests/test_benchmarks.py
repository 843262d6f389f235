"""The benchmark: that it runs, that its contestants do the same work, and that its verdicts are right."""

import pytest

from benchmarks import codec, payload
from benchmarks.limit import NoCompiler, compiled
from benchmarks.measuring import Effort, Figure, Report, Row, amount, faster, longer, within
from benchmarks.results import as_markdown


@pytest.fixture(scope="module")
def limit():
    try:
        with compiled() as program:
            yield program
    except NoCompiler as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("work", ["tables", "digits"])
def test_the_standalone_c_prints_what_the_codec_prints(limit, work):
    frames = payload.batch()
    translator = codec.translator(payload.plan(), codec.JSON)

    assert limit.text(work, frames) == translator.translate(frames).json


def test_the_standalone_c_prints_raw_frames_as_the_codec_does(limit):
    frames = payload.batch(payload.RAW_ID_OFFSET)
    translator = codec.translator(payload.plan(), codec.JSON, raw=True)

    assert limit.text("raw", frames) == translator.translate(frames).json


def test_the_codec_part_measures_every_row():
    report = codec.measure(Effort(runs=1, run_seconds=0.001, quick=True))

    assert sum(bool(row.wanted) for row in report.rows) >= 5
    assert all("frames/s" in row.measured for row in report.rows if row.beside)


def test_a_contestant_that_writes_something_else_is_found_out(monkeypatch):
    monkeypatch.setattr(codec, "runtime_raw", lambda identifier, data: b"")

    with pytest.raises(codec.Disagreement, match="raw frames"):
        codec.check()


def test_a_rate_is_judged_by_the_ratio_of_the_medians():
    ours, peer = Figure((90.0, 100.0, 500.0)), Figure((9.0, 10.0, 11.0))

    assert faster("work", ours, "peer", peer, wanted=10).reached is True
    assert faster("work", ours, "peer", peer, wanted=11).reached is False
    assert faster("work", ours, "peer", peer).reached is None


def test_a_limit_is_judged_by_how_many_times_as_long_it_takes():
    ours, limit = Figure((100.0,)), Figure((130.0,))

    assert longer("work", ours, "C", limit, wanted=1.3).reached is True
    assert longer("work", ours, "C", limit, wanted=1.2).reached is False


def test_a_figure_may_be_as_large_as_its_limit():
    assert within("work", Figure((20.0,)), 20, "ms").reached is True
    assert within("work", Figure((20.1,)), 20, "ms").reached is False


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0123456, "0.0123"),
        (1.5, "1.50"),
        (43.21, "43.2"),
        (1140.4, "1,140"),
        (12_340.0, "12.3 k"),
        (6_100_000.0, "6.10 M"),
    ],
)
def test_amounts_have_three_digits_that_count(number, text):
    assert amount(number) == text


def test_what_is_missed_is_said_again_with_its_reason():
    missed = Row("slow work", "1 k", "peer: 2 k", "0.5 x", "≥ 2 x", False, "The kernel takes most of it.")
    text = as_markdown([Report([missed, Row("good work", "9 k", "peer: 1 k", "9 x", "≥ 2 x", True)])])

    _, _, misses = text.partition("## Misses")
    assert "- **slow work**: 0.5 x (beside peer), wanted ≥ 2 x. The kernel takes most of it." in misses
    assert "good work" not in misses


def test_without_a_miss_the_results_say_so():
    assert "None: every claim" in as_markdown([Report([Row("good work", "9 k", reached=True)])])
