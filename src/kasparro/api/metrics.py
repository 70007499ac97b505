"""What `/metrics` tells: requests, pools and what is kept, as counted here; ingestion and the queue, asked of the database.

Labels come from small sets. Counts are those of this process; what comes from the database at each scrape is the same from every
process.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kasparro import __version__
from kasparro.api.cache_metrics import Kept
from kasparro.api.reader import Reader
from kasparro.api.request_metrics import Requests
from kasparro.core.database import Database
from kasparro.storage.measurements import Measures, SourceMeasures


class Metrics:
    """The metrics of one application."""

    def __init__(self, pools: Mapping[str, Database], reader: Reader) -> None:
        self.registry = CollectorRegistry()
        build = Info("kasparro_build", "Version of Kasparro and of Python", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self.requests = Requests()
        self.registry.register(self.requests)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Pools(pools))
        self.registry.register(Kept(reader))

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


def _of_sources(sources: Iterable[SourceMeasures]) -> Iterator[Metric]:
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
