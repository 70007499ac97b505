"""What comes out: the measurements of a section as a table for people, and everything as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.measuring import Measured, Round
from bench.sections import Section

FLOOR = "floor"
MICRO = 1_000_000
PER = 100_000
"""CPU time and WAL are given for so many records."""

Row = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Column:
    head: str
    key: str
    form: str

    def cell(self, row: Row) -> str:
        value = row[self.key]
        return "-" if value is None or math.isnan(value) else format(value, self.form)


COLUMNS = (
    Column("records", "records", ",.0f"),
    Column("median s", "median_s", ".2f"),
    Column("fastest", "fastest_s", ".2f"),
    Column("slowest", "slowest_s", ".2f"),
    Column("records/s", "records_per_s", ",.0f"),
    Column("of floor", "of_floor", ".2f"),
    Column("run s", "run_s", ".2f"),
    Column("cpu", "cpu_s", ".2f"),
    Column("cpu pg", "server_cpu_s", ".2f"),
    Column("MiB", "peak_mib", ".0f"),
    Column("written", "tuples", ",.0f"),
    Column("WAL MB", "wal_mb", ".1f"),
)


def summary(section: Section, rounds: Sequence[Round]) -> dict[str, Row]:
    """Of each step the medians over the rounds; fastest and slowest are the spread."""
    records = {step.name: step.records for chain in section.chains for step in chain.steps}
    return {name: of_step(name, count, records.get(FLOOR), rounds) for name, count in records.items()}


def of_step(name: str, records: int, floor_records: int | None, rounds: Sequence[Round]) -> Row:
    measured = [one[name] for one in rounds]
    seconds = [m.seconds for m in measured]
    median = statistics.median(seconds)
    return {
        "records": records,
        "median_s": median,
        "fastest_s": min(seconds),
        "slowest_s": max(seconds),
        "records_per_s": records / median,
        "of_floor": floor_records and speed(rounds, name, records, FLOOR, floor_records),
        "run_s": middle([m.run_seconds for m in measured]),
        "cpu_s": statistics.median(m.cpu_seconds for m in measured) / records * PER,
        "server_cpu_s": statistics.median(m.server_cpu_seconds for m in measured) / records * PER,
        "peak_mib": max((m.peak_mib for m in measured if m.peak_mib), default=None),
        "tuples": max(m.tuples for m in measured),
        "wal_mb": statistics.median(m.wal_bytes for m in measured) / MICRO / records * PER,
    }


def speed(rounds: Sequence[Round], one: str, records: int, other: str, other_records: int) -> float:
    """How many times as fast *one* is as *other*, record by record: the median of what it was in each round."""
    return statistics.median(
        (round_[other].seconds / other_records) / (round_[one].seconds / records) for round_ in rounds
    )


def middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def table(section: Section, rows: dict[str, Row]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in section.facts.items())
    names = max(len(name) for name in rows)
    lines = [["", *(column.head for column in COLUMNS)]]
    lines += [[name, *(column.cell(row) for column in COLUMNS)] for name, row in rows.items()]
    widths = [names, *(max(len(line[n]) for line in lines) for n in range(1, len(COLUMNS) + 1))]
    text = [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([f"{section.name}: {facts}", *text])


def document(section: Section, rounds: Sequence[Round], rows: dict[str, Row]) -> dict[str, Any]:
    return {"facts": section.facts, "steps": rows, "rounds": [as_json(one) for one in rounds]}


def as_json(one: Round) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is null."""
    return {
        name: {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(measured).items()
        }
        for name, measured in one.items()
    }
