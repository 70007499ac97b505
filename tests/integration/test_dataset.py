from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from kasparro.core.database import Database
from kasparro.schemas.query import Condition, Count, Field, Op, Order, Position, RecordQuery
from kasparro.storage.dataset import Dataset
from kasparro.storage.export_statements import ndjson_statement
from kasparro.storage.exports import by_an_index
from kasparro.storage.query_page import Statement, page_statement, record_statement
from kasparro.storage.reading import IN_ORDER
from kasparro.storage.runs import LAST_ENDED_OF_EACH, RunHistory

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def many(database_url: str) -> psycopg.Connection:
    """30,000 records of two sources and 3,000 runs of three, analysed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO normalized_data (source, source_id, data, version, created_at)
            SELECT CASE WHEN n > 27000 THEN 'late' ELSE 'early' END, n, '{"title": "x", "metadata": {"n": 1.50}}', 1,
                   timestamptz '2024-01-01' + n / 1000 * interval '1 minute'
            FROM generate_series(1, 30000) AS n
            """
        )
        connection.execute(
            "INSERT INTO etl_checkpoint (source, record_count) SELECT source, count(*) FROM normalized_data GROUP BY 1"
        )
        connection.execute(
            """
            INSERT INTO etl_run (run_id, source, status, end_time)
            SELECT 'run_' || n, 'source' || n % 3, 'success', now() FROM generate_series(1, 3000) AS n
            """
        )
        connection.execute("ANALYZE")
        yield connection


LATE = (Condition(Field("source"), Op.EQ, ("late",)),)


def plan(connection: psycopg.Connection, statement: Statement | str) -> str:
    text, values = (statement, {}) if isinstance(statement, str) else (statement.text, statement.values)
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(f"EXPLAIN {text}", values)
    return "\n".join(line for (line,) in cursor)


async def test_a_page_is_what_was_stored_as_text(database, many):
    page = await Dataset(database).page(RecordQuery(where=LATE, limit=3, offset=1))

    assert page.total == 3000
    assert [row.id for row in page.rows] == [27002, 27003, 27004]
    assert '"n": 1.50' in page.rows[0].record


async def test_a_page_of_nothing_has_a_total_of_nothing(database):
    page = await Dataset(database).page(RecordQuery(limit=100))

    assert (page.total, list(page.rows)) == (0, [])


async def test_a_record_is_found_by_its_id_or_not_at_all(database, many):
    dataset = Dataset(database)
    first = (await dataset.page(RecordQuery(limit=1))).rows[0]

    assert await dataset.record(first.id) == replace(first, keys=())
    assert await dataset.record(2**63 - 1) is None


BY_ID = [(), (Order(Field("id"), descending=True),)]


@pytest.mark.parametrize("where", [(), LATE], ids=["all", "of a source"])
@pytest.mark.parametrize("sort", BY_ID, ids=["ascending", "descending"])
async def test_an_export_in_the_order_of_an_index_does_not_begin_with_a_sort(many, sort, where):
    query = RecordQuery(where=where, sort=sort)
    assert by_an_index(query)
    statement = ndjson_statement(query)
    selected = statement.text[statement.text.index("(") + 1 : statement.text.rindex(") TO STDOUT")]
    with many.transaction():
        many.execute(IN_ORDER)
        found = plan(many, Statement(selected, statement.values))

    assert "Index Scan" in found
    assert "Sort" not in found


async def test_an_export_that_no_index_has_in_order_is_sorted(many):
    title, number = Field("title"), Field("metadata", ("n",))
    for query in (
        RecordQuery(sort=(Order(title),)),
        RecordQuery(where=(Condition(number, Op.GT, (1,)),)),
        RecordQuery(search="x"),
    ):
        assert not by_an_index(query)


@pytest.mark.parametrize("after", [None, Position(("29000",))], ids=["first", "far"])
@pytest.mark.parametrize("sort", BY_ID, ids=["ascending", "descending"])
async def test_no_page_counts_or_sorts_the_table(many, sort, after):
    """The rows come in their order from the index that has no others, the total from the few checkpoints."""
    of_all = plan(many, page_statement(RecordQuery(sort=sort, after=after)))
    of_source = plan(many, page_statement(RecordQuery(where=LATE, sort=sort, after=after)))

    for found, index in ((of_all, "normalized_data_pkey"), (of_source, "normalized_data_source_id_idx")):
        assert re.search(rf"Index Scan( Backward)? using {index} on", found), found
        assert "Seq Scan on normalized_data" not in found
    assert "normalized_data_pkey" not in of_source
    if after is not None:
        sign = "<" if sort else ">"
        assert f"Index Cond: (id {sign} '29000'::bigint)" in of_all
        assert f"AND (ROW((source)::text, id) {sign} ROW('late'::text, '29000'::bigint))" in of_source


async def test_a_far_page_by_cursor_begins_in_the_index_where_the_last_one_ended(many):
    """What is read for it is what it answers: as many buffers as for the first page."""
    for where in ((), LATE):
        read = [
            buffers(many, page_statement(RecordQuery(where=where, after=after, count=Count.NONE)))
            for after in (None, Position(("29900",)))
        ]
        assert read[1] <= read[0] + 3


def buffers(connection: psycopg.Connection, statement: Statement) -> int:
    cursor = psycopg.ClientCursor(connection)
    for _ in range(2):
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", statement.values)
    found = cursor.fetchone()[0][0]["Plan"]
    return found["Shared Hit Blocks"] + found["Shared Read Blocks"]


async def test_times_of_creation_are_sorted_by_their_index(many):
    query = RecordQuery(sort=(Order(Field("created_at"), descending=True),))

    found = plan(many, page_statement(query))

    assert "Index Scan Backward using normalized_data_created_at_idx" in found
    assert "Seq Scan on normalized_data" not in found


OF_RECORDS = Condition(Field("title"), Op.ISNULL, (True,))


@pytest.mark.parametrize(
    ("query", "joins"),
    [
        (RecordQuery(), 0),
        (RecordQuery(where=LATE, facets=(Field("source"),)), 0),
        (RecordQuery(where=(Condition(Field("id"), Op.GT, (7,)),), sort=BY_ID[1]), 0),
        (RecordQuery(where=LATE, after=Position(("0.1", "29000"))), 0),
        (RecordQuery(where=(*LATE, OF_RECORDS), facets=(Field("author"), Field("category"))), 1),
        (RecordQuery(sort=(Order(Field("title")),)), 1),
    ],
    ids=str,
)
async def test_a_search_goes_through_its_hits_once_and_through_their_records_only_if_it_must(
    many, query, joins
):
    many.execute(
        "INSERT INTO record_search (record_id, language, vector, title, source)"
        " SELECT id, 'simple', to_tsvector('simple', id % 100 || ' words'), '', source FROM normalized_data"
    )
    many.execute("UPDATE etl_checkpoint SET search_language = 'simple'")
    many.execute("ANALYZE")

    found = plan(many, page_statement(replace(query, search="7")))

    assert found.count(" on record_search d") == 1, found
    assert found.count(" on normalized_data m") == joins, found
    assert "Index Scan using normalized_data_pkey on normalized_data n" in found
    assert "Seq Scan on normalized_data" not in found


async def test_a_record_is_read_by_its_key(many):
    assert "Index Scan using normalized_data_pkey" in plan(many, record_statement(7))


async def test_the_last_runs_are_found_without_reading_the_history(many):
    found = plan(many, LAST_ENDED_OF_EACH)

    assert "etl_run_pkey" not in found
    assert "Seq Scan on etl_run" not in found


async def test_the_last_run_of_each_source_is_the_latest_of_its_own(database, many):
    history = RunHistory(database, lease_seconds=60)

    last = await history.last_of_each_source()
    ended = await history.last_ended_of_each_source()

    assert {source: run.run_id for source, run in last.items()} == {
        "source0": "run_3000",
        "source1": "run_2998",
        "source2": "run_2999",
    }
    assert [(run.source, run.status) for run in ended] == [
        ("source0", "success"),
        ("source1", "success"),
        ("source2", "success"),
    ]
