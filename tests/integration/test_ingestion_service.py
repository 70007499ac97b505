"""The public face of ingestion: each of its verbs, on a real database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest_kit import ingest, one, rows, writer
from kasparro.core.config import Settings
from kasparro.core.errors import ConfigurationError, LeaseHeld, NotFound, PermanentSourceError
from kasparro.core.etl_config import Catalog, CsvSource, StreamSource
from kasparro.runtime import ingestion_service
from kasparro.schemas.events import BatchCommitted, Noticed, PageFetched, RunEnded, RunStarted
from kasparro.schemas.ingest import (
    ApiOrigin,
    Notice,
    NoticeCode,
    Page,
    RawRecord,
    RunCounters,
    RunStatus,
    SourceKind,
    new_run_id,
)
from kasparro.storage.ingest_store import PostgresIngestStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text("id,name\n1,one\n2,two\n3,\n")
    return CsvSource(name="table", folder=tmp_path, path="t.csv")


@pytest.fixture
def service(db, table, tmp_path):
    catalog = Catalog(sources={"table": table}, path=tmp_path / "kasparro.yaml")
    return ingestion_service(catalog, Settings(_env_file=None, etl_batch_size=2), db)


async def test_a_declared_source_is_ingested_and_every_step_is_observed(service, db):
    events = []
    report = await service.ingest("table", observe=events.append)

    assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters(inserted=3))
    assert [type(e) for e in events if not isinstance(e, PageFetched)] == [
        RunStarted,
        BatchCommitted,
        BatchCommitted,
        RunEnded,
    ]
    assert events[-1].report == report
    assert await one(
        db, "SELECT file, byte_start, byte_end, line FROM raw_data_csv WHERE external_id = '2'"
    ) == ("t.csv", 14, 20, 3)


async def test_an_unknown_source_is_named_with_its_nearest(service):
    with pytest.raises(ConfigurationError, match="table"):
        await service.ingest("tabel")


async def test_a_missing_file_is_a_failed_run_that_says_which(service, table, db):
    Path(table.location).unlink()  # noqa: ASYNC240  # one file, in a test
    report = await service.ingest("table")

    assert (report.status, report.error_code) == (RunStatus.FAILED, "source_refused")
    assert "t.csv" in report.error
    assert await one(db, "SELECT status, error_message FROM etl_run") == ("failed", report.error)


async def test_a_stream_of_records_is_ingested_as_it_comes(service, db):
    async def records():
        for i in range(5):
            yield json.dumps({"id": i, "name": f"n{i}"}).encode()

    declaration = StreamSource(name="events", url="wss://broker.test/events")
    report = await service.ingest_from_stream(declaration, records())

    assert report.counters == RunCounters(inserted=5)
    assert await rows(db, "SELECT stream, position FROM raw_data_stream ORDER BY id") == [
        ("events", i) for i in range(5)
    ]


async def test_stored_records_are_normalised_again(service, table, db, tmp_path):
    await service.ingest("table")
    renamed = table.model_copy(
        update={"map": CsvSource(name="x", folder=tmp_path, path="t.csv", map={"author": "name"}).map}
    )
    catalog = Catalog(sources={"table": renamed}, path=tmp_path / "kasparro.yaml")

    report = await ingestion_service(catalog, Settings(_env_file=None), db).normalize_data("table")

    assert report.counters == RunCounters(updated=2, unchanged=1)
    assert await rows(db, "SELECT data->>'author' FROM normalized_data ORDER BY id") == [
        ("one",),
        ("two",),
        (None,),
    ]
    assert await one(db, "SELECT metadata->>'trigger' FROM etl_run ORDER BY id DESC LIMIT 1") == "replay"


async def test_a_run_by_hand_keeps_a_ledger_of_its_own(service, db):
    run_id = await service.create_run("by_hand", {"who": "me"})
    assert await service.update_run(run_id, RunCounters(inserted=2, failed=1)) == (
        RunStatus.IN_PROGRESS,
        RunCounters(inserted=2, failed=1),
    )
    status, counters = await service.update_run(run_id, RunCounters(updated=1), end=True)

    assert (status, counters) == (RunStatus.PARTIAL, RunCounters(inserted=2, updated=1, failed=1))
    assert await one(db, "SELECT status, records_processed, metadata->>'who' FROM etl_run") == (
        "partial",
        4,
        "me",
    )
    with pytest.raises(NotFound):
        await service.update_run(new_run_id("by_hand"), end=True)


async def test_a_run_by_hand_that_fails_says_why(service, db):
    run_id = await service.create_run("by_hand")
    assert await service.update_run(run_id, error="no luck") == (RunStatus.FAILED, RunCounters())
    assert await one(db, "SELECT error_message FROM etl_run") == "no luck"


async def test_the_checkpoint_is_read_and_moved_but_not_during_a_run(service, db):
    assert await service.get_checkpoint("table") is None
    await service.ingest("table")
    checkpoint = await service.get_checkpoint("table")
    assert (checkpoint.status, checkpoint.record_count, checkpoint.last_processed_id) == ("complete", 3, "3")

    await service.update_checkpoint("table", {"fetch": "x", "after": {}})
    assert (await service.get_checkpoint("table")).cursor == {"fetch": "x", "after": {}}
    async with PostgresIngestStore(db, 5.0).session("table", SourceKind.CSV, new_run_id("table"), {}):
        with pytest.raises(LeaseHeld):
            await service.update_checkpoint("table", None)
    await service.update_checkpoint("table", None)
    assert (await service.get_checkpoint("table")).cursor is None
    with pytest.raises(NotFound):
        await service.update_checkpoint("never", None)


class Noticing:
    """Two pages with a record and a notice each; the third fails, and its notice with it."""

    async def pages(self, after):
        for number in (1, 2, 3):
            notice = Notice(
                NoticeCode.LATE_RECORDS, f"said {number}", {"records": number, "max_late": 3 - number}
            )
            if number == 3:
                raise PermanentSourceError("gone")
            record = RawRecord(b'{"id": %d}' % number, ApiOrigin("http://test/items", number, 0))
            yield Page([record], {"page": number}, notices=[notice])


async def test_notices_are_kept_with_the_batch_they_belong_to_and_counted_by_code(db):
    events = []
    report = await ingest(db, Noticing(), batch=1, observe=events.append)

    kept = {"code": "late_records", "message": "said 2", "details": {"records": 3, "max_late": 2}, "count": 2}
    assert await one(db, "SELECT metadata->'notices' FROM etl_run") == [kept]
    assert [e.notice.message for e in events if isinstance(e, Noticed)] == ["said 1", "said 2"]
    assert (report.status, report.counters.inserted) == (RunStatus.FAILED, 2)


async def test_a_run_without_notices_has_none_in_its_metadata(service, db):
    await service.ingest("table")
    assert await one(db, "SELECT metadata ? 'notices' FROM etl_run") is False
