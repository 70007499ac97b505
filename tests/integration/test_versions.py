"""An older version never takes the place of a newer one: in one fetch, in what is stored, in batches under way, in a replay."""

from __future__ import annotations

import pytest

from ingest_kit import MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_under_lease
from kasparro.schemas.ingest import RunCounters
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive

pytestmark = pytest.mark.anyio

VERSIONED = api_declaration(incremental={"field": "version", "format": "integer"})


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def thing(version, name, number=1):
    return {"id": number, "version": version, "title": name}


async def stored(db):
    """Titles as they are in the dataset and in the raw table; they must agree."""
    dataset = dict(await rows(db, "SELECT source_id, data->>'title' FROM normalized_data"))
    raw = dict(await rows(db, "SELECT external_id, raw_data->>'title' FROM raw_data_api"))
    assert dataset == raw
    return dataset


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize("pages", [[[2, 1]], [[2], [1]], [[2], [3], [1]], [[1, 2, 1]]])
async def test_of_versions_in_one_fetch_the_newest_wins_wherever_it_is_cut(db, pages, batch):
    source = MemorySource([[thing(version, f"v{version}") for version in page] for page in pages])
    report = await ingest(db, source, VERSIONED, batch=batch)

    versions = [version for page in pages for version in page]
    assert await stored(db) == {"1": f"v{max(versions)}"}
    assert report.counters == RunCounters(inserted=1, duplicates=len(versions) - 1)


async def test_a_version_older_than_what_is_stored_is_left_alone_and_counts_as_unchanged(db):
    await ingest(db, MemorySource([[thing(5, "newer"), thing(1, "other", 2)]]), VERSIONED)
    before = await rows(db, "SELECT xmin, * FROM normalized_data ORDER BY id")
    report = await ingest(db, MemorySource([[thing(4, "older"), thing(2, "newer other", 2)]]), VERSIONED)

    assert report.counters == RunCounters(updated=1, unchanged=1)
    assert await stored(db) == {"1": "newer", "2": "newer other"}
    assert (await rows(db, "SELECT xmin, * FROM normalized_data ORDER BY id"))[0] == before[0]
    [notice] = await one(db, "SELECT metadata->'notices' FROM etl_run ORDER BY id DESC LIMIT 1")
    assert (notice["code"], notice["details"], notice["count"]) == ("stale_ignored", {"records": 1}, 1)


async def test_of_equal_versions_the_later_wins(db):
    await ingest(db, MemorySource([[thing(5, "first")]]), VERSIONED)
    report = await ingest(db, MemorySource([[thing(5, "second")]]), VERSIONED)

    assert (report.counters, await stored(db)) == (RunCounters(updated=1), {"1": "second"})


async def test_versions_are_compared_as_times_not_as_texts(db):
    declaration = api_declaration(incremental={"field": "version"})
    await ingest(db, MemorySource([[thing("2024-05-01T01:00:00+03:00", "older")]]), declaration)
    await ingest(db, MemorySource([[thing("2024-05-01T00:00:00.000000001Z", "newer")]]), declaration)
    await ingest(db, MemorySource([[thing("2024-05-01T00:00:00Z", "a nanosecond before")]]), declaration)

    assert await stored(db) == {"1": "newer"}


@pytest.mark.parametrize("version", [None, "soon", {}])
async def test_without_a_version_the_later_wins(db, version):
    await ingest(db, MemorySource([[thing(5, "versioned")]]), VERSIONED)
    await ingest(db, MemorySource([[thing(version, "without")]]), VERSIONED)
    assert await stored(db) == {"1": "without"}
    await ingest(db, MemorySource([[thing(1, "versioned again")]]), VERSIONED)
    assert await stored(db) == {"1": "versioned again"}


async def test_an_older_version_that_does_not_fit_is_no_reject(db):
    await ingest(db, MemorySource([[thing(5, "newer")]]), VERSIONED)
    report = await ingest(db, MemorySource([[thing(4, ["a list"])]]), VERSIONED)

    assert report.counters == RunCounters(unchanged=1)
    assert await one(db, "SELECT count(*) FROM quarantine") == 0


async def test_a_source_without_incremental_takes_what_comes_last(db):
    await ingest(db, MemorySource([[thing(5, "newer")]]))
    await ingest(db, MemorySource([[thing(4, "older")]]))

    assert await stored(db) == {"1": "older"}


async def test_a_replay_does_not_bring_an_older_version_back(db):
    await ingest(db, MemorySource([[thing(5, "newer")], [thing(4, "older")]]), VERSIONED, batch=1)
    store, archive, recipe = PostgresIngestStore(db, 5.0), PostgresRawArchive(db), Recipe.of(VERSIONED)
    request = job(None, VERSIONED)
    report = await run_under_lease(request, store, lambda s: replay(request, s, archive, recipe))

    assert (report.counters, await stored(db)) == (RunCounters(unchanged=1), {"1": "newer"})


async def test_a_csv_file_has_versions_as_well(db, tmp_path):
    declaration = CsvSource(
        name="things",
        folder=tmp_path,
        path="t.csv",
        key="id",
        incremental={"field": "changed", "format": "date"},
    )
    for text in ("1,2024-05-02,newer\n1,2024-05-01,older\n", "1,2024-04-30,oldest\n2,2024-01-01,other\n"):
        (tmp_path / "t.csv").write_text("id,changed,title\n" + text)
        await ingest(db, open_source(declaration, 100), declaration)

    assert await rows(db, "SELECT source_id, data->>'title' FROM normalized_data ORDER BY id") == [
        ("1", "newer"),
        ("2", "other"),
    ]
