"""`DataIngestionService`: everything that can be asked of ingestion, for the command line, the worker and programs.

Declarations and records in, reports out. Each verb is a few lines over the layer below.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any

from kasparro import __version__
from kasparro.core.config import Settings
from kasparro.core.errors import NotSupportedYet
from kasparro.core.etl_config import (
    ApiSource,
    Catalog,
    CsvSource,
    SingerSource,
    SourceDeclaration,
    StreamSource,
)
from kasparro.ingestion.batching import Pace
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import Job, run_etl_with_backoff, run_under_lease
from kasparro.ingestion.sources.stream import StreamPages
from kasparro.schemas.data import CheckpointView
from kasparro.schemas.events import Observer, unobserved
from kasparro.schemas.ingest import (
    Cursor,
    RunCounters,
    RunId,
    RunReport,
    RunStatus,
    SourceName,
    Trigger,
    new_run_id,
)
from kasparro.schemas.limits import Policy
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive
from kasparro.storage.run_book import RunBook


@dataclass(frozen=True, slots=True)
class Request:
    """How a run is asked for. Setting `stop` ends it after the batch in hand, with a resumable checkpoint.

    `force` asks the source although it asked for a rest, or is left alone because it failed; what is declared of its rate and
    budget holds all the same. `allow_deletions` deletes what a `snapshot` source no longer has, however much that is.
    """

    run_id: RunId | None = None
    full: bool = False
    force: bool = False
    trigger: Trigger = Trigger.CLI
    observe: Observer = unobserved
    stop: asyncio.Event | None = None
    allow_deletions: bool = False


DEFAULT = Request()
REPLAY = Request(trigger=Trigger.REPLAY)


class DataIngestionService:
    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        store: PostgresIngestStore,
        archive: PostgresRawArchive,
        runs: RunBook,
        checkpoints: Checkpoints,
        facilities: Facilities | None = None,
    ) -> None:
        self.catalog = catalog
        self._pace = Pace(settings.etl_batch_size, settings.etl_checkpoint_interval)
        self._store = store
        self._archive = archive
        self._runs = runs
        self._checkpoints = checkpoints
        self._facilities = facilities or Facilities()

    async def ingest(
        self,
        source: str,
        *,
        run_id: RunId | None = None,
        full: bool = False,
        force: bool = False,
        trigger: Trigger = Trigger.CLI,
        observe: Observer = unobserved,
        stop: asyncio.Event | None = None,
    ) -> RunReport:
        """Run a declared source now. A source that fails is a failed report, not an exception.

        Raises `LeaseHeld` when another process is ingesting it, `ConfigurationError` when it is not declared.
        """
        return await self.ingest_as(source, Request(run_id, full, force, trigger, observe, stop))

    async def ingest_as(self, source: str, request: Request) -> RunReport:
        """The same, as *request* has it."""
        declaration = self.catalog.source(source)
        match declaration:
            case ApiSource():
                return await self.ingest_from_api(declaration, request)
            case CsvSource():
                return await self.ingest_from_csv(declaration, request)
            case SingerSource():
                return await self.ingest_from_tap(declaration, request)
            case StreamSource():
                raise NotSupportedYet(f"source {source!r}: hand its records to ingest_from_stream")

    async def ingest_from_api(self, declaration: ApiSource, request: Request = DEFAULT) -> RunReport:
        return await self._run(declaration, self._open(declaration), request)

    async def ingest_from_csv(self, declaration: CsvSource, request: Request = DEFAULT) -> RunReport:
        return await self._run(declaration, self._open(declaration), request)

    async def ingest_from_tap(self, declaration: SingerSource, request: Request = DEFAULT) -> RunReport:
        return await self._run(declaration, self._open(declaration), request)

    async def ingest_from_stream(
        self, declaration: StreamSource, records: AsyncIterable[bytes], request: Request = DEFAULT
    ) -> RunReport:
        """Ingest *records*, each the JSON text of one, until there are no more."""
        return await self._run(declaration, StreamPages(declaration.name, records), request)

    async def normalize_data(self, source: str, request: Request = REPLAY) -> RunReport:
        """Every stored raw record of *source* again, under today's map, without fetching anything."""
        declaration = self.catalog.source(source)
        job = self._job(declaration, self._open(declaration), request)
        recipe = Recipe.of(declaration)
        return await run_under_lease(
            job, self._store, lambda session: replay(job, session, self._archive, recipe)
        )

    async def create_run(self, source: str, details: Mapping[str, Any] | None = None) -> RunId:
        """Open a run by hand, for work that does not go through `ingest`."""
        run_id = new_run_id(source)
        await self._runs.create(SourceName(source), run_id, details or {})
        return run_id

    async def update_run(
        self, run_id: RunId, added: RunCounters | None = None, *, end: bool = False, error: str | None = None
    ) -> tuple[RunStatus, RunCounters]:
        """Add to a run's ledger; `end` or an `error` closes it."""
        return await self._runs.update(
            run_id, added or RunCounters(), end=end or error is not None, error=error
        )

    async def get_checkpoint(self, source: str) -> CheckpointView | None:
        return await self._checkpoints.of(source)

    async def update_checkpoint(self, source: str, cursor: Cursor | None) -> None:
        """Set where the next run of *source* resumes; `None`: from the beginning. Raises `LeaseHeld` during a run."""
        await self._checkpoints.move(source, cursor)

    def _open(self, declaration: SourceDeclaration) -> Source:
        return open_source(declaration, self._pace.records, self._facilities)

    async def _run(self, declaration: SourceDeclaration, source: Source, request: Request) -> RunReport:
        if request.force and self._facilities.limits is not None:
            await self._facilities.limits.forget(Policy.of(declaration))
        return await run_etl_with_backoff(self._job(declaration, source, request), self._store)

    def _job(self, declaration: SourceDeclaration, source: Source, request: Request) -> Job:
        return Job(
            run_id=request.run_id or new_run_id(declaration.name),
            declaration=declaration,
            source=source,
            pace=self._pace,
            full=request.full,
            allow_deletions=request.allow_deletions,
            details={
                "trigger": request.trigger,
                "full": request.full,
                "kasparro": __version__,
                "declaration": declaration.fetch_fingerprint(),
            },
            observe=request.observe,
            stop=request.stop or asyncio.Event(),
        )
