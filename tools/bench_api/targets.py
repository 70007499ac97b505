"""What is to be reached, each with the figures that show it. A target whose figures were not measured says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench_api.results import Result

Race = Mapping[str, Result]
Probes = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    says: str
    figure: Callable[[Race, Probes], float]
    """A KeyError means that it was not measured."""
    at_least: float | None = None
    at_most: float | None = None

    def measured(self, race: Race, probes: Probes) -> float | None:
        try:
            return self.figure(race, probes)
        except KeyError:
            return None

    def met(self, value: float) -> bool:
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most

    @property
    def bound(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


def faster(one: str, other: str, race: Race, _probes: Probes) -> float:
    """How many times as many answers a second: the median of the ratios round by round."""
    return race[one].ratio_to(race[other])


def probed(name: str, _race: Race, probes: Probes) -> float:
    return probes[name]


def _times(one: str, other: str, at_least: float) -> Target:
    return Target(f"{one} / {other}", partial(faster, one, other), at_least=at_least)


def _at_most(name: str, bound: float) -> Target:
    return Target(name, partial(probed, name), at_most=bound)


TARGETS: Final = (
    _times("query-10", "postgraphile-10", 2),
    _times("query-100", "postgraphile-100", 3),
    _times("query-10", "datasette-10", 4),
    _times("query-100", "datasette-100", 4),
    _times("query-10", "orm-10", 8),
    _times("query-100", "orm-100", 8),
    _times("cached-10", "bare-10", 0.7),
    _times("cached-100", "bare-100", 0.7),
    _times("not-modified", "bare-10", 0.7),
    _at_most("deep page / page 1", 1.5),
    _at_most("one record with the exact count of its source, p50 ms", 5),
    _at_most("ranked search, p95 ms", 50),
    _at_most("export, growth of the peak MiB", 50),
    _at_most("export, first byte ms", 300),
    _at_most("connections that 500 idle streams hold", 0),
    _at_most("p99 while loading / idle", 3),
)
