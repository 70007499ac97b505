"""Parents where there is no database: the first page of the parent source itself. `sources check` and `preview` use it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from kasparro.core.etl_config import Catalog
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities
from kasparro.ingestion.prepare import Recipe
from kasparro.schemas.ingest import Keyed, ParentRecord, SourceName

SAMPLE = 100


class SampledParents:
    """See `ingestion.ports.Parents`. A parent that has a parent of its own is sampled in the same way."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._read: dict[SourceName, Sequence[ParentRecord]] = {}

    async def version(self, source: SourceName) -> int:  # noqa: ARG002  # nothing is stored
        return 0

    async def read(
        self,
        source: SourceName,
        after: str | None,
        limit: int,
        since: int | None = None,  # noqa: ARG002  # nothing is stored
    ) -> Sequence[ParentRecord]:
        """In the order in which they come, as a person who looks expects."""
        if source not in self._read:
            self._read[source] = await self._first_page(source)
        found = self._read[source]
        keys = [record.key for record in found]
        first = 0 if after is None else keys.index(after) + 1
        return found[first : first + limit]

    async def one(self, source: SourceName, key: str) -> ParentRecord | None:
        return next((record for record in await self.read(source, None, SAMPLE) if record.key == key), None)

    async def _first_page(self, source: SourceName) -> Sequence[ParentRecord]:
        declaration = self._catalog.source(source)
        opened = open_source(declaration, SAMPLE, Facilities(parents=self))
        async with aclosing(opened.pages(None)) as pages:
            page = await anext(pages)
        identified = Recipe.of(declaration).identify(page.records[:SAMPLE])
        by_key = {one.external_id: one.raw.payload for one in identified if isinstance(one, Keyed)}
        return [ParentRecord(key, raw) for key, raw in by_key.items()]
