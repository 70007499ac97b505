"""Whatever PostgreSQL refuses, for whatever reason: the records at fault are in quarantine with its reason, the rest is in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.errors import RecordRefused
from kasparro.schemas.ingest import (
    ApiOrigin,
    Batch,
    Keyed,
    Landed,
    RawRecord,
    Reject,
    RejectReason,
    RunCounters,
    SourceKind,
)
from kasparro.storage.ingest_store import PostgresIngestStore

pytestmark = pytest.mark.anyio

PICKY = """
CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.{column}::text LIKE '%%poison%%' THEN RAISE EXCEPTION 'we do not take this'; END IF;
    RETURN NEW;
END $$
"""
TRIGGER = "CREATE TRIGGER picky BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION picky()"


async def execute(db, *statements: str) -> None:
    async with db.driver_transaction() as connection:
        for statement in statements:
            await connection.execute(statement.replace("%%", "%"))


def records(*poisoned: int, count: int = 40) -> list[dict[str, object]]:
    return [{"id": n, "name": "poison" if n in poisoned else f"record {n}"} for n in range(count)]


@pytest.mark.parametrize(("table", "column"), [("normalized_data", "data"), ("raw_data_api", "raw_data")])
@pytest.mark.parametrize("poisoned", [(0,), (39,), (3, 4, 17, 30), tuple(range(40))])
async def test_a_trigger_that_refuses_records_costs_those_and_no_others(
    database_url, table, column, poisoned
):
    async with writer(database_url) as db:
        await execute(db, PICKY.format(column=column), TRIGGER.format(table=table))
        report = await ingest(db, MemorySource([records(*poisoned)]), api_declaration(map={"title": "name"}))
        assert report.counters == RunCounters(inserted=40 - len(poisoned), failed=len(poisoned))
        found = await rows(db, "SELECT external_id::int, reason, message FROM quarantine ORDER BY 1")
        assert [row[0] for row in found] == list(poisoned)
        assert {row[1:] for row in found} == {("refused_by_database", "we do not take this")}
        stored = await rows(db, "SELECT source_id::int FROM normalized_data ORDER BY 1")
        assert [row[0] for row in stored] == sorted(set(range(40)) - set(poisoned))


@pytest.mark.parametrize("failure", ["serialization_failure", "deadlock_detected"])
async def test_a_transaction_that_got_in_anothers_way_is_tried_again_as_a_whole(database_url, failure):
    async with writer(database_url) as db:
        await execute(
            db,
            "CREATE SEQUENCE attempts",
            "CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('attempts') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '{failure}'; END IF;"
            " RETURN NULL; END $$",
            "CREATE TRIGGER in_the_way AFTER INSERT ON normalized_data FOR EACH STATEMENT EXECUTE FUNCTION in_the_way()",
        )
        with capture_logs() as logs:
            report = await ingest(db, MemorySource([records()]), api_declaration(map={"title": "name"}))
        assert report.counters == RunCounters(inserted=40)
        assert await one(db, "SELECT last_value FROM attempts") == 3
        assert [entry["event"] for entry in logs if "wait_s" in entry] == ["database.conflict"] * 2


async def test_a_constraint_of_an_operator_costs_only_the_records_that_break_it(database_url):
    async with writer(database_url) as db:
        await execute(db, "ALTER TABLE normalized_data ADD CHECK (data->>'title' <> 'poison')")
        report = await ingest(db, MemorySource([records(7)]), api_declaration(map={"title": "name"}))
        assert report.counters == RunCounters(inserted=39, failed=1)
        assert "normalized_data_data_check" in await one(db, "SELECT message FROM quarantine")


async def test_a_changed_record_that_is_refused_keeps_its_last_good_version(database_url):
    async with writer(database_url) as db:
        declaration = api_declaration(map={"title": "name"})
        await ingest(db, MemorySource([records()]), declaration)
        await execute(db, "ALTER TABLE normalized_data ADD CHECK (data->>'title' <> 'poison')")
        report = await ingest(db, MemorySource([records(7)]), declaration)
        assert report.counters == RunCounters(unchanged=39, failed=1)
        assert await one(db, "SELECT data->>'title' FROM normalized_data WHERE source_id = '7'") == "record 7"


def keyed(external_id: str, payload: bytes) -> Keyed:
    return Keyed(external_id, payload.ljust(16)[:16], RawRecord(payload, ApiOrigin("http://test", 1, 0)))


def reject(payload: bytes, message: str = "bad") -> Reject:
    return Reject(payload, ApiOrigin("http://test", 1, 0), RejectReason.INVALID_TEXT, message, "a.b", None)


GOOD = Landed(keyed("good", b'{"id": "good"}'), b'{"title": "good"}')


@pytest.mark.parametrize(
    "payload", [b"{not json", b'{"a": "b\0c"}', b'"\xed\xa0\x80"', b"[" * 50_000 + b"]" * 50_000]
)
async def test_a_reject_whose_payload_cannot_be_stored_as_json_is_kept_as_text(database_url, payload):
    """No edge lets such a payload come this far; if one does, it costs neither the batch nor the payload."""
    unstorable = Landed(keyed("bad", payload), None)
    batch = Batch(
        new=[GOOD, unstorable],
        rejects=[replace(reject(payload), external_id="bad"), reject(b'{"fine": 1}')],
        counters=RunCounters(inserted=1, failed=2),
        complete=True,
    )
    async with writer(database_url) as db:
        counters = await commit(db, batch)
        assert counters == RunCounters(inserted=1, failed=2)
        assert await rows(db, "SELECT external_id FROM raw_data_api") == [("good",)]
        kept = await one(db, "SELECT raw_data #>> '{}' FROM quarantine WHERE external_id = 'bad'")
        assert kept == payload.decode(errors="backslashreplace").replace("\0", "\\u0000")


async def test_a_batch_in_which_no_record_is_at_fault_fails_with_the_reason(database_url):
    batch = Batch(new=[GOOD], counters=RunCounters(inserted=1), cursor={"at": "\0"})
    async with writer(database_url) as db:
        with pytest.raises(RecordRefused, match="Unicode escape") as found:
            await commit(db, batch)
        assert found.value.records == {}
        assert await rows(db, "SELECT 1 FROM normalized_data") == []


async def commit(db, batch: Batch) -> RunCounters:
    request = job(MemorySource([]))
    store = PostgresIngestStore(db, LEASE_SECONDS)
    async with store.session(request.name, SourceKind.API, request.run_id, {}) as session:
        await session.resume()
        return await session.commit(session.next_place(), batch)
