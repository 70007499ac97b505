"""What is stored of a batch: asked once, and answered only where something differs."""

from __future__ import annotations

import pytest
from psycopg import sql

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, one, rows, writer
from kasparro.core.errors import KeysTaken
from kasparro.ingestion.prepare import Recipe
from kasparro.schemas.ingest import (
    ApiOrigin,
    Batch,
    Known,
    Landed,
    RawRecord,
    RunCounters,
    SourceKind,
    new_run_id,
)
from kasparro.storage.arrays import ByteaArray, EncodedTextArray, TextArray
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.lookup import COLUMNS, KNOWN, NO_PAYLOAD, PAYLOAD

pytestmark = pytest.mark.anyio


def keyed(*records: bytes):
    raw = [RawRecord(record, ApiOrigin("http://test/items", 1, 0)) for record in records]
    return Recipe.of(api_declaration()).identify(raw)


async def test_only_what_differs_is_answered(database_url):
    declaration = api_declaration(map={"title": "name"})
    async with writer(database_url) as db:
        await ingest(
            db,
            MemorySource([[b'{"id": 1}', b'{"id": 2}', b'{"id": 3, "name": []}', b'{"id": "\\u00e9|"}']]),
            declaration,
        )
        store = PostgresIngestStore(db, LEASE_SECONDS)
        async with store.session("things", SourceKind.API, new_run_id("things"), {}) as session:
            await session.resume()
            asked = keyed(
                b'{"id": 1}',
                b'{"id": 2, "x": 1}',
                b'{"id": 3, "name": []}',
                b'{"id": 4}',
                b'{"id": "\\u00e9|"}',
            )
            known = await session.known(asked)

    stored = keyed(b'{"id": 2}', b'{"id": 3, "name": []}')
    assert known == {
        1: Known(stored[0].payload_hash, processed=True, in_dataset=True, this_run=False),
        2: Known(stored[1].payload_hash, processed=False, in_dataset=False, this_run=False),
        3: None,
    }


async def test_a_source_with_nothing_stored_is_not_looked_up_until_it_turns_out_wrong(database_url):
    first = keyed(b'{"id": 1}')
    batch = Batch(new=[Landed(first[0], b'{"a": 1}')], counters=RunCounters(inserted=1))
    async with writer(database_url) as db:
        store = PostgresIngestStore(db, LEASE_SECONDS)
        async with store.session("things", SourceKind.API, new_run_id("things"), {}) as session:
            await session.resume()
            assert await session.known(first) == {0: None}
            await session.commit(session.next_place(), batch)
            assert await session.known(first) == {0: None}
            place = session.next_place()
            with pytest.raises(KeysTaken):
                await session.commit(place, batch)

            assert await session.known(first) == {0: Known(first[0].payload_hash, True, True, True)}
            again = Batch(counters=RunCounters(duplicates=1))
            assert await session.commit(place, again) == RunCounters(inserted=1, duplicates=1)
        assert await one(db, "SELECT version, record_count FROM etl_checkpoint") == (1, 1)


async def test_a_source_that_changed_its_type_overwrites_its_records(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[b'{"id": 1, "v": 1}', b'{"id": 2}']]))
        await rows(db, "DELETE FROM raw_data_api RETURNING 1")

        report = await ingest(db, MemorySource([[b'{"id": 1, "v": 2}', b'{"id": 3}']]))

        assert report.counters == RunCounters(inserted=1, updated=1)
        assert await one(db, "SELECT record_count FROM etl_checkpoint") == 3
        assert (
            await one(db, "SELECT data->'metadata'->>'v' FROM normalized_data WHERE source_id = '1'") == "2"
        )


@pytest.mark.parametrize("payload", [NO_PAYLOAD, PAYLOAD], ids=["hashes", "payloads"])
async def test_the_look_up_goes_by_the_index_before_the_table_was_ever_analysed(database_url, payload):
    """What `external_id = ANY(...)` does not: PERF figures of it were a tenth."""
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": i} for i in range(2000)]]), batch=2000)
        async with db.driver_transaction() as connection:
            parameters = {
                "source": "things",
                "run_id": "r",
                "ids": TextArray(str(i) for i in range(1000)),
                "hashes": ByteaArray([b"h" * 16] * 1000),
            }
            statement = sql.SQL("EXPLAIN " + KNOWN).format(
                table=sql.Identifier("raw_data_api"),
                columns=sql.SQL("{}, raw_data").format(COLUMNS),
                payload=payload,
            )
            plan = "\n".join(
                row[0] for row in await (await connection.execute(statement, parameters)).fetchall()
            )

    assert "Index Scan using raw_data_api_source_external_id_key" in plan
    assert "normalized_data_source_source_id" in plan
    assert "Seq Scan" not in plan
    assert "hashed" not in plan  # all records of the source are read for that


async def test_arrays_arrive_as_they_are(database_url):
    texts = ["", "a", "é|\\'\"{},", "x" * 9000, "NULL"]
    async with writer(database_url) as db, db.driver_transaction() as connection:
        found = await connection.execute(
            "SELECT %s::text[], %s::text[], %s::bytea[]",
            (TextArray(texts), EncodedTextArray([t.encode() for t in texts]), ByteaArray([b"", b"\0\xff"])),
        )
        assert await found.fetchone() == (texts, texts, [b"", b"\0\xff"])
        empty = await connection.execute("SELECT %s::text[]", (TextArray([]),))
        assert await empty.fetchone() == ([],)
