"""What is to be reached, each with the figure that shows it. A target whose figure was not measured says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from bench.results import Results

Findings = TypeVar("Findings")
Sections = Mapping[str, Results]


@dataclass(frozen=True, slots=True)
class Target(Generic[Findings]):
    says: str
    figure: Callable[[Findings], float | None]
    """A KeyError means that it was not measured."""
    at_least: float | None = None
    at_most: float | None = None

    def measured(self, findings: Findings) -> float | None:
        try:
            return self.figure(findings)
        except KeyError:
            return None

    def met(self, value: float) -> bool:
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most

    @property
    def bound(self) -> str:
        return f">= {self.at_least:,g}" if self.at_least is not None else f"<= {self.at_most:,g}"


def as_fast(section: str, one: str, other: str, sections: Sections) -> float:
    return sections[section].as_fast(one, other)


def of(section: str, step: str, figure: str, sections: Sections) -> float | None:
    return sections[section].of(step)[figure]


def peak(sections: Sections) -> float | None:
    """The highest of any of our processes, over all sections."""
    ours = [
        results.of(name)["peak_mib"]
        for results in sections.values()
        for name in results.records
        if results.is_ours(name)
    ]
    return max((value for value in ours if value), default=None)


def growth(sections: Sections) -> float:
    empty, full = sections["growth"].records
    return sections["growth"].as_fast(full, empty)


def of_csv_files() -> list[Target[Sections]]:
    found = []
    for name in ("flights", "generated"):
        found += [
            Target(f"{name}: first load / floor", partial(as_fast, name, "ingest", "floor"), at_least=0.9),
            Target(f"{name}: rerun / first load", partial(as_fast, name, "rerun", "ingest"), at_least=6),
            Target(f"{name}: full rerun / first load", partial(as_fast, name, "full", "ingest"), at_least=6),
            Target(f"{name}: WAL of a rerun, MB per 100k", partial(of, name, "rerun", "wal_mb"), at_most=1),
            Target(f"{name}: WAL of a full rerun", partial(of, name, "full", "wal_mb"), at_most=1),
        ]
    return found


TARGETS = (
    *of_csv_files(),
    Target("first load / dlt Arrow merge", partial(as_fast, "flights", "ingest", "dlt-arrow"), at_least=1),
    Target("first load / dlt Pydantic", partial(as_fast, "flights", "ingest", "dlt-pydantic"), at_least=3),
    Target("first load / sling", partial(as_fast, "flights", "ingest", "sling"), at_least=1),
    Target("rerun / sling's rerun", partial(as_fast, "flights", "rerun", "sling-rerun"), at_least=2.5),
    Target("full rerun / sling's rerun", partial(as_fast, "flights", "full", "sling-rerun"), at_least=2.5),
    Target("REST pages, records/s", partial(of, "rest", "pages-0ms", "records_per_s"), at_least=15_000),
    Target("REST pages at 20 ms", partial(of, "rest", "pages-20ms", "records_per_s"), at_least=10_000),
    Target("REST cursor at 20 ms", partial(of, "rest", "cursor-20ms", "records_per_s"), at_least=3_000),
    Target("peak MiB of our processes", peak, at_most=150),
    Target("speed at ten times the size / at 0", growth, at_least=0.8),
)
