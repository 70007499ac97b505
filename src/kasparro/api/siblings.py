"""The processes of one `kasparro serve --workers`: each tells the others its metrics, so that any of them can answer a scrape.

Each listens on a Unix socket in a folder that only they can read. Its own counts come with the label `worker`: summed over the
workers they would fall when one of them is replaced, and Prometheus would take that for a restart of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

ANSWER_SECONDS: Final = 2.0
"""After that a worker is left out of a scrape: it is busy, or being replaced."""


@dataclass(frozen=True, slots=True)
class Siblings:
    """`number` is ours, of `count`; sockets are in `folder`."""

    folder: Path
    number: int
    count: int

    @asynccontextmanager
    async def telling(self, tell: Callable[[], bytes]) -> AsyncIterator[None]:
        """Answer each of the others with what *tell* says, as long as the context lasts."""

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(tell())
                await writer.drain()
            except ConnectionError:
                pass  # whoever asked did not wait
            finally:
                writer.close()

        place = self._place(self.number)
        place.unlink(missing_ok=True)  # of the worker before us
        server = await asyncio.start_unix_server(answer, place)
        try:
            yield
        finally:
            server.close()

    async def metrics(self, own: bytes) -> bytes:
        """*own*, and what each of the others says now, in one text for Prometheus."""
        others = [number for number in range(self.count) if number != self.number]
        texts = dict(zip(others, await asyncio.gather(*map(self._ask, others)), strict=True))
        answered = {self.number: own} | {number: text for number, text in texts.items() if text}
        return await asyncio.to_thread(merged, answered)  # milliseconds for each of them

    async def _ask(self, number: int) -> bytes | None:
        """None where it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._place(number))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except OSError:  # a timeout is one as well
            return None

    def _place(self, number: int) -> Path:
        return self.folder / f"{number}.sock"


def merged(texts: Mapping[int, bytes]) -> bytes:
    """The metrics of each worker, by its number, with the label `worker`."""
    registry = CollectorRegistry()
    registry.register(_Merged(texts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: Mapping[int, bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "kasparro_workers", "Workers of this server that answered this scrape", len(self._texts)
        )
        families: dict[str, Metric] = {}
        for worker, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families(text.decode()):
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
        yield from families.values()
