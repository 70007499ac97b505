"""What comes out: a table for each section, one for the targets, and every measurement as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.measuring import Measured
from bench.results import Figures, Results
from bench.targets import TARGETS


@dataclass(frozen=True, slots=True)
class Column:
    head: str
    key: str
    form: str

    def cell(self, figures: Figures) -> str:
        value = figures[self.key]
        return "-" if value is None else format(value, self.form)


COLUMNS = (
    Column("records", "records", ",.0f"),
    Column("median s", "median_s", ".2f"),
    Column("fastest", "fastest_s", ".2f"),
    Column("slowest", "slowest_s", ".2f"),
    Column("records/s", "records_per_s", ",.0f"),
    Column("of floor", "of_floor", ".2f"),
    Column("run s", "run_s", ".2f"),
    Column("cpu s", "cpu_s", ".2f"),
    Column("pg s", "server_cpu_s", ".2f"),
    Column("cpu us", "cpu_us", ".1f"),
    Column("pg us", "server_cpu_us", ".1f"),
    Column("MiB", "peak_mib", ".0f"),
    Column("written", "tuples", ",.0f"),
    Column("WAL MB", "wal_mb", ".2f"),
)


def section_table(results: Results) -> str:
    section = results.section
    facts = ", ".join(f"{name} {value}" for name, value in section.facts.items())
    lines = [[name, *(c.cell(figures) for c in COLUMNS)] for name, figures in results.figures.items()]
    return f"{section.name}: {facts}\n{aligned([['', *(c.head for c in COLUMNS)], *lines])}"


def targets_table(measured: Mapping[str, Results]) -> str:
    """Of the targets whose figures were measured."""
    lines = []
    for target in TARGETS:
        value = target.measured(measured)
        if value is not None:
            met = "met" if target.met(value) else "not met"
            lines.append([target.says, target.bound, format(value, ",.2f"), met])
    return aligned([["target", "", "measured", ""], *lines]) if lines else ""


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def document(results: Results) -> dict[str, Any]:
    rounds = [{name: as_json(measured) for name, measured in one.items()} for one in results.rounds]
    return {"facts": results.section.facts, "steps": results.figures, "rounds": rounds}


def as_json(measured: Measured) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is null."""
    values = asdict(measured)
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
