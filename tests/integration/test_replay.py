"""All raw again under another map, without fetching."""

from __future__ import annotations

import asyncio

import pytest

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_under_lease
from kasparro.schemas.ingest import RunCounters, RunStatus
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive

pytestmark = pytest.mark.anyio

RAW = "SELECT id, raw_data::text, run_id, ingested_at, xmin::text FROM raw_data_api ORDER BY id"


async def replayed(db, declaration, batch=2, **more):
    request = job(MemorySource([]), declaration, batch=batch, **more)
    archive, store = PostgresRawArchive(db), PostgresIngestStore(db, LEASE_SECONDS)
    return await run_under_lease(
        request, store, lambda session: replay(request, session, archive, Recipe.of(declaration))
    )


async def test_another_map_mends_the_dataset_and_leaves_raw_and_checkpoint_alone(database_url):
    records = [[{"id": i, "name": f"n{i}", "label": f"l{i}"} for i in range(5)], []]
    async with writer(database_url) as db:
        await ingest(db, MemorySource(records))
        raw, cursor = (
            await rows(db, RAW),
            await rows(db, "SELECT cursor, checkpoint_timestamp FROM etl_checkpoint"),
        )

        report = await replayed(db, api_declaration(map={"title": "label"}))

        assert report.counters == RunCounters(updated=5)
        assert await rows(db, "SELECT data->>'title' FROM normalized_data ORDER BY id") == [
            (f"l{i}",) for i in range(5)
        ]
        assert await rows(db, RAW) == raw
        assert await rows(db, "SELECT cursor, checkpoint_timestamp FROM etl_checkpoint") == cursor


async def test_the_same_map_writes_nothing(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": i, "v": 1.5} for i in range(5)]]))
        before = await rows(db, "SELECT xmin::text, data::text FROM normalized_data ORDER BY id")

        report = await replayed(db, api_declaration())

        assert report.counters == RunCounters(unchanged=5)
        assert await rows(db, "SELECT xmin::text, data::text FROM normalized_data ORDER BY id") == before
        assert await one(db, "SELECT version FROM etl_checkpoint") == 1


async def test_rejects_are_mended_and_the_records_counted(database_url):
    async with writer(database_url) as db:
        strict = api_declaration(map={"title": "name"})
        first = await ingest(db, MemorySource([[{"id": 1, "name": []}, {"id": 2, "name": "x"}]]), strict)
        assert first.status is RunStatus.PARTIAL

        report = await replayed(db, api_declaration(map={"title": "name[0] || 'none'"}))

        assert report.counters.inserted == 1
        assert await one(db, "SELECT record_count FROM etl_checkpoint") == 2
        assert await one(db, "SELECT resolved_at IS NOT NULL FROM quarantine")
        assert await one(db, "SELECT bool_and(processed) FROM raw_data_api")


async def test_a_map_that_fits_no_longer_keeps_the_dataset_and_says_so(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": 1, "name": "x", "o": {}}, {"id": 2, "name": "y"}]]))

        report = await replayed(db, api_declaration(map={"title": "name", "author": "o"}))

        assert report.counters == RunCounters(failed=1, unchanged=1)
        assert await one(db, "SELECT count(*) FROM normalized_data") == 2
        assert await one(db, "SELECT external_id, field FROM quarantine") == ("1", "author")


async def test_a_stopped_replay_is_a_failed_run_that_keeps_its_batches(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": i, "name": "n", "label": "l"} for i in range(5)]]))
        stop = asyncio.Event()
        stop.set()

        report = await replayed(db, api_declaration(map={"title": "label"}), stop=stop)

        assert (report.status, report.error_code, report.counters) == (
            RunStatus.FAILED,
            "interrupted",
            RunCounters(updated=2),
        )
