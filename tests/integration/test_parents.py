"""The parents of dependent sources, read from the database page by page."""

from __future__ import annotations

import pytest
from psycopg import sql

from ingest_kit import MemorySource, ingest, one, rows, writer
from kasparro.schemas.ingest import ParentRecord, SourceKind
from kasparro.storage.parents import PostgresParents, statement
from kasparro.storage.reading import IN_ORDER

pytestmark = pytest.mark.anyio

MANY = """
INSERT INTO raw_data_api (source, external_id, raw_data, payload_hash, run_id, processed, url, page, position)
SELECT source, n::text, '{"id": 1}', '', 'r', true, '', 1, 0
  FROM generate_series(1, 20000) AS n CROSS JOIN (VALUES ('things'), ('others')) AS s (source);
INSERT INTO normalized_data (source, source_id, data, version)
SELECT source, external_id, '{}', 1 FROM raw_data_api;
"""


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def parents_in(db):
    return PostgresParents(db, {"things": SourceKind.API})


async def test_they_come_in_the_order_of_their_keys_verbatim_and_page_by_page(db):
    records = [b'{"id": "%d", "n": 1.10}' % n for n in (3, 20, 1, 100, 2)]
    await ingest(db, MemorySource([records]))
    parents, found, last = parents_in(db), [], None
    while page := await parents.read("things", last, 2):
        found += page
        last = page[-1].key
    keys = [key for (key,) in await rows(db, "SELECT external_id FROM raw_data_api ORDER BY external_id")]
    assert found == [ParentRecord(key, f'{{"id": "{key}", "n": 1.10}}'.encode()) for key in keys]
    assert await parents.one("things", "20") == ParentRecord("20", b'{"id": "20", "n": 1.10}')
    assert await parents.one("things", "4") is None


async def test_those_that_changed_after_a_version_are_told_from_the_others(db):
    parents = parents_in(db)
    assert await parents.version("things") == 0
    await ingest(db, MemorySource([[{"id": "a", "title": "1"}, {"id": "b", "title": "1"}]]))
    version = await parents.version("things")
    assert version > 0
    assert await parents.read("things", None, 10, version) == []
    await ingest(db, MemorySource([[{"id": "a", "title": "2"}, {"id": "b", "title": "1"}]]))
    assert [record.key for record in await parents.read("things", None, 10, version)] == ["a"]
    assert [record.key for record in await parents.read("things", None, 10)] == ["a", "b"]


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_page_costs_the_same_wherever_it_is(db, analysed):
    """One walk along the index of the keys and one look a record: nothing is sorted, and no table is read whole."""
    async with db.driver_transaction() as connection:
        await connection.execute(MANY)
    if analysed:
        async with db.driver_transaction() as connection:
            await connection.execute("ANALYZE")
    for key in ("", "5", "9998"):
        for since in (None, 0):
            values = {"source": "things", "key": key, "limit": 100, "since": since}
            explained = sql.SQL("EXPLAIN ") + statement(SourceKind.API)
            async with db.driver_transaction() as connection:
                await connection.execute(IN_ORDER)
                found = await connection.execute(explained, values)
                plan = "\n".join(line for (line,) in await found.fetchall())
            assert "Sort" not in plan, plan
            assert "Seq Scan" not in plan, plan
            assert "raw_data_api_source_external_id_key" in plan, plan
    assert await one(db, "SELECT count(*) FROM raw_data_api") == 40_000
