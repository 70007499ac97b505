"""What is to be reached, each with the figures that show it. A target whose figures were not measured says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from bench.targets import Target

from bench_api.results import Result

Race = Mapping[str, Result]
Probes = Mapping[str, float]


class Found(NamedTuple):
    race: Race
    probes: Probes


def faster(one: str, other: str, found: Found) -> float:
    """How many times as many answers a second: the median of the ratios round by round."""
    return found.race[one].ratio_to(found.race[other])


def probed(name: str, found: Found) -> float:
    return found.probes[name]


def _times(one: str, other: str, at_least: float) -> Target[Found]:
    return Target(f"{one} / {other}", partial(faster, one, other), at_least=at_least)


def _at_most(name: str, bound: float) -> Target[Found]:
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
