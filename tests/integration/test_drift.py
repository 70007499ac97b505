"""Records that change their shape, on a real PostgreSQL: what is recorded, rejected, stopped and accepted."""

from __future__ import annotations

import pytest

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.config import Settings
from kasparro.core.errors import LeaseHeld, PermanentSourceError
from kasparro.core.etl_config import Catalog, CsvSource
from kasparro.ingestion.drift.accepting import accept_all
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_under_lease
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunCounters, RunStatus, SourceKind, new_run_id
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.drift import DriftLedger
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive

pytestmark = pytest.mark.anyio

LEDGER = "SELECT field_path, kind, after->>'field', first_seen_run, decision FROM schema_drift ORDER BY id"
NOTICES = "SELECT metadata->'notices' FROM etl_run ORDER BY id DESC LIMIT 1"


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def old(n):
    return {"id": n, "full_name": f"owner/name {n}", "stars": n}


def new(n):
    return {"id": n, "name": f"owner/name {n}", "stars": n}


OLD, NEW = [old(n) for n in range(30)], [new(n) for n in range(30)]


def under(policy):
    return api_declaration(drift=policy, map={"title": ["full_name", "name"]})


async def accept(db, field=None):
    return await DriftLedger(db).accept("things", field, accept_all)


async def normalise(db, declaration):
    request, recipe, archive = (
        job(MemorySource([]), declaration),
        Recipe.of(declaration),
        PostgresRawArchive(db),
    )
    store = PostgresIngestStore(db, LEASE_SECONDS)
    return await run_under_lease(request, store, lambda session: replay(request, session, archive, recipe))


async def test_a_renamed_field_is_in_the_ledger_and_in_the_notices_of_the_run_that_met_it(db):
    await ingest(db, MemorySource([OLD]))
    assert await one(
        db, "SELECT shape->'complete', run_id = (SELECT run_id FROM etl_run) FROM source_shape"
    ) == (True, True)

    report = await ingest(db, MemorySource([NEW]))
    again = await ingest(db, MemorySource([NEW]))

    assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters(updated=30))
    assert await rows(db, LEDGER) == [("full_name", "renamed", "name", report.run_id, "evolved")]
    before, after, confidence, example = await one(
        db, "SELECT before, after, confidence, example FROM schema_drift"
    )
    assert (before["field"], after["types"]) == ("full_name", ["text"])
    assert confidence > 0.8
    assert example == {"place": "http://test/items page 1 record 0", "value": "owner/name 0"}
    notices = await one(db, f"SELECT metadata->'notices' FROM etl_run WHERE run_id = '{report.run_id}'")
    assert [notice["code"] for notice in notices] == ["schema_drift"]
    assert "full_name seems to be called name now" in notices[0]["message"]
    assert again.counters == RunCounters(unchanged=30)
    assert await one(db, "SELECT metadata ? 'notices' FROM etl_run ORDER BY id DESC LIMIT 1") is False


async def test_one_batch_of_many_shows_it_and_one_row_says_so(db):
    await ingest(db, MemorySource([OLD]))
    pages = [[old(n) for n in range(start, start + 10)] for start in range(0, 100, 10)]
    pages[6] = [record | {"extra": 1} for record in pages[6]]
    pages[8] = [record | {"extra": 1} for record in pages[8]]

    report = await ingest(db, MemorySource(pages), batch=10)

    assert await rows(db, LEDGER) == [("extra", "added", None, report.run_id, "evolved")]
    assert (
        await one(db, "SELECT (example->>'place') FROM schema_drift") == "http://test/items page 7 record 0"
    )


async def test_a_source_whose_key_is_renamed_says_so_though_no_record_has_an_identity(db):
    await ingest(db, MemorySource([OLD]))
    renamed = [{"ident" if name == "id" else name: value for name, value in record.items()} for record in OLD]

    report = await ingest(db, MemorySource([renamed]))

    assert report.counters == RunCounters(failed=30)
    assert [row[:3] for row in await rows(db, LEDGER)] == [("id", "renamed", "ident")]


async def test_under_quarantine_what_departs_waits_and_the_rest_goes_on(db):
    declaration = under("quarantine")
    await ingest(db, MemorySource([OLD]), declaration)
    mixed = [new(100), *OLD[:5], {**old(101), "stars": "many"}, old(102)]

    first = await ingest(db, MemorySource([mixed]), declaration)
    second = await ingest(db, MemorySource([mixed]), declaration)

    assert (first.status, first.counters) == (
        RunStatus.PARTIAL,
        RunCounters(inserted=1, unchanged=5, failed=2),
    )
    assert second.counters == RunCounters(unchanged=6, failed=2)
    assert await rows(db, "SELECT external_id, reason, field, attempts FROM quarantine ORDER BY 1") == [
        ("100", "schema_drift", "name", 2),
        ("101", "schema_drift", "stars", 2),
    ]
    assert [(row[0], row[1], row[4]) for row in sorted(await rows(db, LEDGER))] == [
        ("full_name", "renamed", "quarantined"),
        ("stars", "type_changed", "quarantined"),
    ]
    assert (await normalise(db, declaration)).counters.failed == 2, "not before it is accepted"

    done = await accept(db, "stars")
    assert ([drift.field_path for drift in done.drifts], done.waiting) == (["stars"], 1)
    assert (await normalise(db, declaration)).counters == RunCounters(inserted=1, unchanged=31, failed=1)
    await accept(db)
    assert (await normalise(db, declaration)).counters == RunCounters(inserted=1, unchanged=32)
    assert await one(db, "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL") == 0
    assert (
        await one(
            db, "SELECT count(*) FROM schema_drift WHERE decision = 'accepted' AND decided_at IS NOT NULL"
        )
        == 2
    )


async def test_under_freeze_nothing_of_the_batch_is_committed_and_the_run_goes_on_once_it_is_accepted(db):
    declaration = under("freeze")
    await ingest(db, MemorySource([OLD]), declaration)
    pages = [
        [old(n) for n in range(30, 40)],
        [old(n) for n in range(40, 50)],
        [new(n) for n in range(50, 60)],
        [new(60)],
    ]

    frozen = await ingest(db, MemorySource(pages), declaration, batch=10)
    again = await ingest(db, MemorySource(pages), declaration, batch=10)

    for report in (frozen, again):
        assert (report.status, report.error_code) == (RunStatus.FAILED, "schema_frozen")
        assert "http://test/items page 3 record 0: the shape" in report.error
        assert "full_name seems to be called name now" in report.error
        assert "kasparro drift accept things --all" in report.error
    assert (frozen.counters, again.counters) == (RunCounters(inserted=20), RunCounters())
    assert await one(db, "SELECT max(external_id::int) FROM raw_data_api") == 49
    assert await one(db, "SELECT count(*) FROM quarantine") == 0
    assert await one(db, "SELECT cursor FROM etl_checkpoint") == {"page": 2}
    assert await rows(db, LEDGER) == [("full_name", "renamed", "name", frozen.run_id, "frozen")]
    assert "seems to be called" in (await one(db, NOTICES))[0]["message"]

    await accept(db)
    source = MemorySource(pages)
    report = await ingest(db, source, declaration, batch=10)

    assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters(inserted=11))
    assert source.asked_after == [{"page": 2}]


async def test_names_that_take_turns_are_accepted_once_each(db):
    declaration = under("freeze")
    await ingest(db, MemorySource([OLD]), declaration)
    for records in (NEW, OLD):
        assert (await ingest(db, MemorySource([records]), declaration)).error_code == "schema_frozen"
        assert len((await accept(db)).drifts) == 1
    for records in (OLD, NEW, [*OLD[:15], *NEW[15:]]):
        assert (await ingest(db, MemorySource([records]), declaration)).status is RunStatus.SUCCESS

    assert [row[:3] for row in await rows(db, LEDGER)] == [
        ("full_name", "renamed", "name"),
        ("name", "renamed", "full_name"),
    ]


async def test_a_source_that_is_no_longer_strict_takes_over_what_waited(db):
    await ingest(db, MemorySource([OLD]), under("freeze"))
    await ingest(db, MemorySource([NEW]), under("freeze"))

    report = await ingest(db, MemorySource([NEW]), under("evolve"))

    assert report.status is RunStatus.SUCCESS
    assert [(row[0], row[4]) for row in await rows(db, LEDGER)] == [("full_name", "evolved")]
    assert (await accept(db)).drifts == []


async def test_a_first_run_that_is_stopped_goes_on_learning(db):
    declaration = under("freeze")
    pages = [[old(1)], [old(2) | {"rare": 1}], PermanentSourceError("gone"), [old(3) | {"rarer": 1}]]
    source = MemorySource(pages)
    assert (await ingest(db, source, declaration, batch=1)).status is RunStatus.FAILED
    assert await one(db, "SELECT (shape->>'complete')::bool FROM source_shape") is False

    assert (await ingest(db, source, declaration, batch=1)).status is RunStatus.SUCCESS

    assert await one(db, "SELECT (shape->>'complete')::bool FROM source_shape") is True
    assert await rows(db, LEDGER) == []
    assert (
        await ingest(db, MemorySource([[old(4) | {"rare": 1, "rarer": 2}]]), declaration)
    ).status is RunStatus.SUCCESS


async def test_a_reset_sends_the_source_back_and_leaves_its_shape(db):
    await ingest(db, MemorySource([OLD]))
    await Checkpoints(db).move("things", None)

    report = await ingest(db, MemorySource([NEW]))

    assert await rows(db, LEDGER) == [("full_name", "renamed", "name", report.run_id, "evolved")]


async def test_nothing_is_accepted_while_a_run_has_its_own_idea_of_the_shape(db):
    await ingest(db, MemorySource([OLD]), under("freeze"))
    await ingest(db, MemorySource([NEW]), under("freeze"))
    store = PostgresIngestStore(db, LEASE_SECONDS)

    async with store.session("things", SourceKind.API, new_run_id("things"), {}):
        with pytest.raises(LeaseHeld):
            await accept(db)
    assert len((await accept(db)).drifts) == 1


async def test_names_and_values_that_postgresql_cannot_hold_cost_nothing(db):
    await ingest(db, MemorySource([OLD]))
    odd = b'{"id": 1, "full_name": "x", "stars": 1, "a\\u0000b": "c\\u0000d", "' + b"n" * 5000 + b'": 1}'

    report = await ingest(db, MemorySource([[odd, *OLD]]))

    assert report.counters.processed == 31
    assert sorted(row[0][:6] for row in await rows(db, LEDGER)) == ["a\\u000", "nnnnnn"]
    assert (await ingest(db, MemorySource([OLD]))).status is RunStatus.SUCCESS


async def test_files_with_another_header_are_told_by_file_and_line(db, tmp_path):
    source = CsvSource(name="table", folder=tmp_path, path="*.csv", key=["id"], drift="freeze")
    service = ingestion_service(
        Catalog(sources={"table": source}, path=tmp_path / "kasparro.yaml"), Settings(_env_file=None), db
    )
    (tmp_path / "a.csv").write_text("id,iata,name\n" + "".join(f"{n},X{n},airport {n}\n" for n in range(20)))
    await service.ingest("table")
    (tmp_path / "b.csv").write_text(
        "id,code_iata,name\n" + "".join(f"{n},X{n},airport {n}\n" for n in range(20, 40))
    )

    report = await service.ingest("table")

    assert report.error_code == "schema_frozen"
    assert report.error.startswith("b.csv:2 ") or "/b.csv:2 " in report.error
    assert "iata seems to be called code_iata now" in report.error
    assert await one(db, "SELECT count(*) FROM raw_data_csv") == 20


async def test_a_batch_that_fails_leaves_no_trace_in_the_ledger(db):
    await ingest(db, MemorySource([OLD]))
    async with db.driver_transaction() as connection:
        await connection.execute(
            "ALTER TABLE etl_totals ADD CONSTRAINT enough CHECK (records_processed <= 30)"
        )

    report = await ingest(db, MemorySource([NEW]))

    assert report.status is RunStatus.FAILED
    assert await rows(db, LEDGER) == []
    async with db.driver_transaction() as connection:
        await connection.execute("ALTER TABLE etl_totals DROP CONSTRAINT enough")
    report = await ingest(db, MemorySource([NEW]))
    assert await rows(db, LEDGER) == [("full_name", "renamed", "name", report.run_id, "evolved")]
