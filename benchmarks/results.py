"""Reports as Markdown: RESULTS.md, and what is printed on the way there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.measuring import Report, Row, machine

_HEADS = ("work", "measured", "beside", "ratio", "wanted", "")
_INTRODUCTION = """\
Written by `make bench`; do not edit. Figures are medians of runs in which all contestants of a part
took turns, with the lowest and the highest run in brackets. A ratio is the quotient of two medians.
"""


def as_markdown(reports: Sequence[Report], quick: bool = False) -> str:
    """The whole file."""
    rows = [row for report in reports for row in report.rows]
    sections = [
        "# Results of the benchmark",
        _INTRODUCTION + ("\nA quick run: few runs, short ones.\n" if quick else ""),
    ]
    sections.append(_table(("machine", ""), machine()))
    sections += ["## Claims", _row_table(rows)]
    sections += ["## Misses", _misses(rows)]
    tables = [table for report in reports for table in report.tables]
    if tables:
        sections.append("## How cost grows")
    for table in tables:
        sections += [f"### {table.title}", _table(table.heads, table.lines)]
    notes = [note for report in reports for note in report.notes]
    if notes:
        sections += ["## How it was measured", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def table_of(report: Report) -> str:
    """One part's tables, for the terminal."""
    tables = [_row_table(report.rows)] if report.rows else []
    tables += [f"{table.title}\n{_table(table.heads, table.lines)}" for table in report.tables]
    return "\n\n".join(tables)


def _row_table(rows: Iterable[Row]) -> str:
    return _table(_HEADS, [(row.work, row.measured, row.beside, row.ratio, row.wanted, _verdict(row)) for row in rows])


def _verdict(row: Row) -> str:
    if row.reached is None:
        return ""
    return "yes" if row.reached else "**no**"


def _misses(rows: Iterable[Row]) -> str:
    missed = [row for row in rows if row.reached is False]
    if not missed:
        return "None: every claim that was measured is reached."
    lines = []
    for row in missed:
        reached = f"{row.ratio} (beside {row.beside.partition(':')[0]})" if row.ratio else row.measured
        why = f" {row.why_missed}" if row.why_missed else ""
        lines.append(f"- **{row.work}**: {reached}, wanted {row.wanted}.{why}")
    return "\n".join(lines)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table whose columns line up in a terminal, too."""
    cells = [tuple(heads), *(tuple(line) for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    head, *body = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )
    return "\n".join([head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *body])
