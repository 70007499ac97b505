"""What `/metrics` tells of the requests that this process has answered. Counting is done for every one of them, so it is little.

Labels come from small sets: templates of routes, known methods, statuses, reasons.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "none"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, inf)
REFUSALS: Final = {
    "not_authenticated": "unauthorized",
    "not_allowed": "forbidden",
    "rate_limited": "rate_limited",
}


@dataclass(slots=True)
class Durations:
    """How many took how long, by the bucket they fall into, and all their seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class Requests(Collector):
    def __init__(self) -> None:
        self._going = 0
        self._answered: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._durations: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
        self._refused = dict.fromkeys(REFUSALS.values(), 0)

    def begin(self) -> None:
        self._going += 1

    def end(
        self, method: str, route: str | None, status: int | None, seconds: float, code: str | None
    ) -> None:
        """Count a request that has come to its end."""
        self._going -= 1
        method = method if method in METHODS else "other"
        route = route or NO_ROUTE
        self._answered[method, route, status or 0] += 1
        self._durations[method, route].observe(seconds)
        if code in REFUSALS:
            self._refused[REFUSALS[code]] += 1

    def collect(self) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "kasparro_http_requests",
            "Requests that were answered, or given up by who asked (status 0)",
            labels=("method", "route", "status"),
        )
        for (method, route, status), count in self._answered.items():
            answered.add_metric([method, route, str(status)], count)
        durations = HistogramMetricFamily(
            "kasparro_http_request_duration_seconds",
            "Time from the arrival of a request to the end of its answer",
            labels=("method", "route"),
        )
        for labels, taken in self._durations.items():
            buckets = zip(map(floatToGoString, BUCKETS), accumulate(taken.counts), strict=True)
            durations.add_metric(labels, list(buckets), taken.seconds)
        going = GaugeMetricFamily("kasparro_http_requests_in_flight", "Requests that are being answered now")
        going.add_metric([], self._going)
        refused = CounterMetricFamily(
            "kasparro_http_refusals", "Requests that were refused, by reason", labels=("reason",)
        )
        for reason, count in self._refused.items():
            refused.add_metric([reason], count)
        yield from (answered, durations, going, refused)
