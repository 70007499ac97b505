"""What `/metrics` tells: requests as they end, counted here; ingestion and the queue, asked of the database at each scrape.

`middleware` and `routes.metrics` call it. Labels come from small sets: templates of routes, known methods, statuses, declared
sources. Counts are those of this process; what comes from the database is the same from every process.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kasparro import __version__
from kasparro.api.cache_metrics import Kept
from kasparro.api.reader import Reader
from kasparro.core.database import Database
from kasparro.storage.measurements import Measures, SourceMeasures

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "none"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REFUSALS: Final = {
    "not_authenticated": "unauthorized",
    "not_allowed": "forbidden",
    "rate_limited": "rate_limited",
}


class Metrics:
    """The metrics of one application."""

    def __init__(self, pools: Mapping[str, Database], reader: Reader) -> None:
        self.registry = CollectorRegistry()
        build = Info("kasparro_build", "Version of Kasparro and of Python", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._requests = Counter(
            "kasparro_http_requests",
            "Requests that were answered, or given up by who asked (status 0)",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "kasparro_http_request_duration_seconds",
            "Time from the arrival of a request to the end of its answer",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "kasparro_http_requests_in_flight", "Requests that are being answered now", registry=self.registry
        )
        self._refusals = Counter(
            "kasparro_http_refusals",
            "Requests that were refused, by reason",
            ("reason",),
            registry=self.registry,
        )
        for reason in REFUSALS.values():
            self._refusals.labels(reason)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Pools(pools))
        self.registry.register(Kept(reader))
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self) -> None:
        self._in_flight.inc()

    def end(
        self, method: str, route: str | None, status: int | None, seconds: float, code: str | None
    ) -> None:
        """Count a request that has come to its end."""
        self._in_flight.dec()
        key = (method, route or NO_ROUTE, status or 0)
        children = self._children.get(key) or self._child(*key)
        children[0].inc()
        children[1].observe(seconds)
        if code in REFUSALS:
            self._refusals.labels(REFUSALS[code]).inc()

    def _child(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        known = method if method in METHODS else "other"
        if known == method:  # names that somebody made up are not kept
            key = (method, route, status)
            self._children[key] = self._labelled(method, route, status)
            return self._children[key]
        return self._labelled(known, route, status)

    def _labelled(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, route, str(status)), self._durations.labels(method, route)

    def own(self) -> bytes:
        """What this process has counted, in Prometheus' text format."""
        return generate_latest(self.registry)


def asked(measures: Measures | None) -> bytes:
    """What the database said, the same from every process; *measures* is None when it could not be asked."""
    registry = CollectorRegistry()
    registry.register(_Asked(measures))
    return generate_latest(registry)


class _Pools(Collector):
    def __init__(self, pools: Mapping[str, Database]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        size = _gauge("kasparro_database_pool_size", "Connections that a pool may have open", "pool")
        used = _gauge("kasparro_database_pool_in_use", "Connections that are in use", "pool")
        waiting = _gauge("kasparro_database_pool_waiting", "Callers that wait for a connection", "pool")
        for name, database in self._pools.items():
            size.add_metric([name], database.pool.limit)
            used.add_metric([name], database.pool.in_use)
            waiting.add_metric([name], database.pool.waiting)
        yield from (size, used, waiting)


class _Asked(Collector):
    """What the database said at this scrape."""

    def __init__(self, measures: Measures | None) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("kasparro_database_up", "Whether the database answered this scrape")
        up.add_metric([], float(self._measures is not None))
        yield up
        if self._measures is not None:
            yield from _of_sources(self._measures.sources)
            yield from _of_runs(self._measures)


def _of_sources(sources: Any) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "kasparro_etl_records", "Records that were processed, by outcome", labels=("source", "outcome")
    )
    deleted = CounterMetricFamily(
        "kasparro_etl_records_deleted",
        "Records that a complete fetch no longer showed, and that left the dataset",
        labels=("source",),
    )
    stored = _gauge("kasparro_source_records", "Records of the source in the dataset")
    version = _gauge("kasparro_source_dataset_version", "Dataset version of the source")
    success = _gauge("kasparro_source_last_success_timestamp_seconds", "When its last good run ended")
    failure = _gauge("kasparro_source_last_failure_timestamp_seconds", "When its last failed run ended")
    age = _gauge("kasparro_source_freshness_seconds", "Time since its last good run ended")
    for one in sources:
        for outcome, count in one.outcomes.items():
            records.add_metric([one.source, outcome], count)
        deleted.add_metric([one.source], one.deleted)
        stored.add_metric([one.source], one.records)
        version.add_metric([one.source], one.version)
        _add(success, one, one.last_success)
        _add(failure, one, one.last_failure)
        _add(age, one, one.age)
    yield from (records, deleted, stored, version, success, failure, age)


def _add(family: GaugeMetricFamily, one: SourceMeasures, value: float | None) -> None:
    """What never happened has no sample."""
    if value is not None:
        family.add_metric([one.source], value)


def _of_runs(measures: Measures) -> Iterator[Metric]:
    ended = CounterMetricFamily("kasparro_etl_runs", "Runs that have ended", labels=("source", "status"))
    going = _gauge("kasparro_etl_runs_in_progress", "Runs that are going on")
    for (source, status), count in measures.runs.items():
        if status == "in_progress":
            going.add_metric([source], count)
        else:
            ended.add_metric([source, status], count)
    yield from (ended, going)
    waiting = GaugeMetricFamily("kasparro_jobs_waiting", "Runs that wait for a worker")
    waiting.add_metric([], measures.jobs_waiting)
    longest = GaugeMetricFamily("kasparro_jobs_longest_wait_seconds", "How long the first of them has waited")
    longest.add_metric([], measures.longest_wait)
    yield from (waiting, longest)


def _gauge(name: str, text: str, label: str = "source") -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(label,))
