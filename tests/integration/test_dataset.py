from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from kasparro.core.database import Database
from kasparro.storage.dataset import PAGE_OF_ALL, PAGE_OF_SOURCE, RECORD, Dataset
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
            INSERT INTO normalized_data (source, source_id, data, version)
            SELECT CASE WHEN n > 27000 THEN 'late' ELSE 'early' END, n, '{"title": "x", "metadata": {"n": 1.50}}', 1
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


def plan(connection: psycopg.Connection, statement: str, values: dict[str, object]) -> str:
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(f"EXPLAIN {statement}", values)
    return "\n".join(line for (line,) in cursor)


async def test_a_page_is_what_was_stored_as_text(database, many):
    page = await Dataset(database).page(limit=3, offset=1, source="late")

    assert page.total == 3000
    assert [row.source_id for row in page.rows] == ["27002", "27003", "27004"]
    assert page.rows[0].data == '{"title": "x", "metadata": {"n": 1.50}}'
    assert page.rows[0].created_at.endswith("Z")


async def test_a_page_of_nothing_has_a_total_of_nothing(database):
    page = await Dataset(database).page(limit=100, offset=0)

    assert (page.total, list(page.rows)) == (0, [])


async def test_a_record_is_found_by_its_id_or_not_at_all(database, many):
    dataset = Dataset(database)
    first = (await dataset.page(1, 0)).rows[0]

    assert await dataset.record(first.id) == first
    assert await dataset.record(2**63 - 1) is None


async def test_no_page_counts_or_sorts_the_table(many):
    """The rows come in their order from the index that has no others, the total from the few checkpoints."""
    values = {"source": "late", "limit": 10, "offset": 0, "id": 7}

    assert "Index Scan using normalized_data_pkey" in plan(many, PAGE_OF_ALL, values)
    assert "Index Scan using normalized_data_source_id_idx" in plan(many, PAGE_OF_SOURCE, values)
    assert "normalized_data_pkey" not in plan(many, PAGE_OF_SOURCE, values)
    assert "Index Scan using normalized_data_pkey" in plan(many, RECORD, values)
    for statement in (PAGE_OF_ALL, PAGE_OF_SOURCE):
        assert "Seq Scan on normalized_data" not in plan(many, statement, values)


async def test_the_last_runs_are_found_without_reading_the_history(many):
    found = plan(many, LAST_ENDED_OF_EACH, {})

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
