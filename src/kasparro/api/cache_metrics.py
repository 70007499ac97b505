"""What `/metrics` tells of answers that are kept: how often they served, how many there are, and what finding out took."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kasparro.api.reader import Reader


class Kept(Collector):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        cache, shared = self._reader.cache, self._reader.shared
        looked = CounterMetricFamily(
            "kasparro_cache_lookups", "Answers that were looked for among those kept", labels=("result",)
        )
        looked.add_metric(["hit"], cache.hits)
        looked.add_metric(["miss"], cache.misses)
        looked.add_metric(["shared_hit"], shared.hits if shared else 0)
        yield looked
        yield _counter("kasparro_cache_evictions", "Answers that made room for others", cache.evicted)
        yield _counter(
            "kasparro_cache_faults", "Times that REDIS_URL did not answer", shared.faults if shared else 0
        )
        yield _counter(
            "kasparro_version_checks", "Questions for the dataset versions", self._reader.versions.asked
        )
        yield _gauge("kasparro_cache_bytes", "Bytes of the answers that are kept", cache.bytes)
        yield _gauge("kasparro_cache_answers", "Answers that are kept", len(cache))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text)
    family.add_metric([], value)
    return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], value)
    return family
