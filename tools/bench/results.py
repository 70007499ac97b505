"""Measurements of a section in, the figures that are reported out: medians over its rounds, and ratios within each of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measuring import Measured, Round
from bench.sections import Section

FLOOR = "floor"
MICRO = 1_000_000
WAL_RECORDS = 100_000
"""WAL is given in MB for so many records."""

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Results:
    section: Section
    rounds: Sequence[Round]

    @property
    def records(self) -> dict[str, int]:
        """Of each step, in the order of the section."""
        return {step.name: step.records for chain in self.section.chains for step in chain.steps}

    @property
    def figures(self) -> dict[str, Figures]:
        return {name: self.of(name) for name in self.records}

    def of(self, name: str) -> Figures:
        """KeyError when it was not measured."""
        measured = self.measured(name)
        seconds = [m.seconds for m in measured]
        return {
            "records": self.records[name],
            "median_s": statistics.median(seconds),
            "fastest_s": min(seconds),
            "slowest_s": max(seconds),
            "run_s": median(measured, lambda m: m.run_seconds),
            "cpu_s": median(measured, lambda m: m.cpu_seconds),
            "server_cpu_s": median(measured, lambda m: m.server_cpu_seconds),
            "peak_mib": max((m.peak_mib for m in measured if m.peak_mib), default=None),
            "tuples": max(m.tuples for m in measured),
            **self._by_record(name),
        }

    def _by_record(self, name: str) -> Figures:
        """None where there are no records, as in a mere start."""
        records, measured = self.records[name], self.measured(name)
        if not records:
            return dict.fromkeys(("records_per_s", "of_floor", "cpu_us", "server_cpu_us", "wal_mb"))
        return {
            "records_per_s": records / statistics.median(m.seconds for m in measured),
            "of_floor": self.as_fast(name, FLOOR) if FLOOR in self.records else None,
            "cpu_us": median(measured, lambda m: m.cpu_seconds * MICRO / records),
            "server_cpu_us": median(measured, lambda m: m.server_cpu_seconds * MICRO / records),
            "wal_mb": median(measured, lambda m: m.wal_bytes / MICRO / records * WAL_RECORDS),
        }

    def measured(self, name: str) -> list[Measured]:
        return [one[name] for one in self.rounds]

    def as_fast(self, one: str, other: str) -> float:
        """How many times as fast, record by record: the median of what it was in each round."""
        per_record = [[m.seconds / self.records[name] for m in self.measured(name)] for name in (one, other)]
        return float(statistics.median(slow / fast for fast, slow in zip(*per_record, strict=True)))

    def is_ours(self, name: str) -> bool:
        return all(m.run_seconds is not None for m in self.measured(name))


def median(measured: Sequence[Measured], figure: Callable[[Measured], float | None]) -> float | None:
    """Of those where it could be measured."""
    values = map(figure, measured)
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else None
