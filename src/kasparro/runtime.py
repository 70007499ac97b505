"""The composition root: settings and a database URL in, everything that serves a request or a run out.

The only place that knows every concrete class. The command line opens a `Runtime`; the API and the worker are given one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions
from kasparro.core.etl_config import Catalog, load_catalog
from kasparro.ingestion.ports import Facilities
from kasparro.services.export import ExportService
from kasparro.services.ingestion import DataIngestionService
from kasparro.services.lineage import LineageService
from kasparro.storage import schema
from kasparro.storage.changes import Changes
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.dataset import Dataset
from kasparro.storage.drift import DriftLedger
from kasparro.storage.entities.linked_records import LinkedRecords
from kasparro.storage.entities.reading import Entities
from kasparro.storage.exports import Exports
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.jobs import JobQueue
from kasparro.storage.limits import PostgresLimits
from kasparro.storage.lineage import LineageArchive
from kasparro.storage.parents import PostgresParents
from kasparro.storage.raw_archive import PostgresRawArchive
from kasparro.storage.run_book import RunBook
from kasparro.storage.runs import RunHistory


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the upper layers work with."""

    settings: Settings
    url: str
    catalog: Catalog
    database: Database
    writer: Database
    ingestion: DataIngestionService
    dataset: Dataset
    changes: Changes
    export: ExportService
    lineage: LineageService
    history: RunHistory
    checkpoints: Checkpoints
    drift: DriftLedger
    entities: Entities
    linked_records: LinkedRecords
    jobs: JobQueue
    limits: PostgresLimits


@asynccontextmanager
async def open_runtime(
    settings: Settings, url: str, *, migrate: bool = True, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Runtime]:
    """Read the catalog, bring the schema up to date (or check that it is), open the pools; close them at the end.

    Raises `ConfigurationError`, `SchemaMismatch` and `DatabaseUnavailable`. *environ* is what the catalog's `${NAME}` stand for.
    """
    catalog = load_catalog(settings.kasparro_config, environ).with_timeout(settings.api_timeout)
    await (schema.upgrade(url) if migrate else schema.check(url))
    database = Database(url, PoolOptions.for_reading(settings))
    writer = Database(url, PoolOptions.for_ingesting(settings))
    exporter = Database(url, PoolOptions.for_exporting(settings))
    jobs = JobQueue(url)
    try:
        yield Runtime(
            settings=settings,
            url=url,
            catalog=catalog,
            database=database,
            writer=writer,
            ingestion=ingestion_service(catalog, settings, writer),
            dataset=Dataset(database),
            changes=Changes(database),
            export=ExportService(Exports(exporter)),
            lineage=LineageService(catalog, LineageArchive(database)),
            history=RunHistory(database, settings.etl_lease_seconds),
            checkpoints=Checkpoints(database),
            drift=DriftLedger(database),
            entities=Entities(database),
            linked_records=LinkedRecords(database),
            jobs=jobs,
            limits=PostgresLimits(database),
        )
    finally:
        await jobs.close()
        await exporter.close()
        await writer.close()
        await database.close()


def ingestion_service(catalog: Catalog, settings: Settings, writer: Database) -> DataIngestionService:
    return DataIngestionService(
        catalog,
        settings,
        PostgresIngestStore(writer, settings.etl_lease_seconds),
        PostgresRawArchive(writer),
        RunBook(writer),
        Checkpoints(writer),
        Facilities(parents=PostgresParents.of(catalog, writer), limits=PostgresLimits(writer)),
    )
