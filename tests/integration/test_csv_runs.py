"""CSV files and the database: what a second run reads, writes and counts."""

from __future__ import annotations

import asyncio

import pytest

from ingest_kit import one, rows, writer
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog, CsvSource
from kasparro.runtime import ingestion_service
from kasparro.schemas.events import BatchCommitted
from kasparro.schemas.ingest import RunCounters, RunStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


@pytest.fixture
def ingest(db, path):
    async def run(observe=None, stop=None, **declared):
        source = CsvSource(**{"name": "table", "folder": path.parent, "path": path.name, **declared})
        catalog = Catalog(sources={"table": source}, path=path.parent / "kasparro.yaml")
        service = ingestion_service(catalog, Settings(_env_file=None, etl_batch_size=2), db)
        known = {"observe": observe, "stop": stop}
        return await service.ingest("table", **{name: value for name, value in known.items() if value})

    return run


async def test_a_file_that_has_not_changed_is_not_read_and_its_records_count_as_unchanged(ingest, path, db):
    path.write_text("id,n\n1,x\n2,y\n3,z\n")
    await ingest()
    before = await rows(db, "SELECT xmin, id, updated_at FROM normalized_data ORDER BY id")
    report = await ingest()

    assert report.counters == RunCounters(unchanged=3)
    assert await rows(db, "SELECT xmin, id, updated_at FROM normalized_data ORDER BY id") == before
    assert await one(db, "SELECT status FROM etl_checkpoint") == "complete"


async def test_appended_records_are_read_alone(ingest, path, db):
    path.write_text("id,n\n1,x\n2,y\n3,z\n")
    await ingest()
    with path.open("a") as file:
        file.write("4,v\n5,w\n")
    report = await ingest()

    assert report.counters == RunCounters(inserted=2, unchanged=3)
    assert await one(db, "SELECT file, byte_start, line FROM raw_data_csv WHERE external_id = '5'") == (
        "t.csv",
        21,
        6,
    )


ROW_VERSIONS = """
SELECT 'dataset', source_id, xmin::text, ctid::text FROM normalized_data
UNION ALL SELECT 'raw', external_id, xmin::text, ctid::text FROM raw_data_csv ORDER BY 1, 2
"""


@pytest.mark.parametrize(
    ("content", "counters", "written"),
    [
        ("id,n\n5,v\n3,z\n1,x\n4,w\n2,y\n", RunCounters(unchanged=5), set()),
        ("id,n\n3,z\n1,x\n2,!\n5,v\n", RunCounters(unchanged=3, updated=1), {"2"}),
        ("id,n\n1,x\n2,y\n", RunCounters(unchanged=2), set()),
        ("id;n\r\n1;x\r\n2;y\r\n3;z\r\n4;w\r\n5;v\r\n", RunCounters(unchanged=5), set()),
    ],
    ids=["in another order", "replaced", "cut", "written anew with other separators"],
)
async def test_rows_that_are_found_as_they_were_are_written_nowhere(
    ingest, path, db, content, counters, written
):
    path.write_text("id,n\n1,x\n2,y\n3,z\n4,w\n5,v\n")
    await ingest()
    before = await rows(db, ROW_VERSIONS)
    path.write_text(content)
    report = await ingest()

    assert report.counters == counters
    assert {row[1] for row in set(await rows(db, ROW_VERSIONS)) ^ set(before)} == written


@pytest.mark.parametrize("bad", ["ragged", "time"])
async def test_what_was_rejected_is_tried_again_by_every_run(ingest, path, db, bad):
    path.write_text(
        "id,n\n1,x\n2\n3,z\n" if bad == "ragged" else "id,n\n1,2024-01-01\n2,soon\n3,2024-01-02\n"
    )
    declared = {"map": {"published_at": "n"}} if bad == "time" else {}
    first = await ingest(**declared)
    again = await ingest(**declared)

    assert first.counters == RunCounters(inserted=2, failed=1)
    assert again.counters == RunCounters(unchanged=2, failed=1)
    assert await one(db, "SELECT attempts FROM quarantine") == 2


LINES_OF_REJECTS = (
    "SELECT (regexp_match(place, ':([0-9]+) '))[1]::int, reason, attempts FROM quarantine ORDER BY 1"
)


async def test_rows_that_are_rejected_alike_are_each_kept_with_their_place(ingest, path, db):
    path.write_text("id,n\n1,x\n2\n,y\n2\n3,z\n,y\n2\n,y\n")
    first = await ingest()
    again = await ingest()

    assert (first.counters.failed, again.counters.failed) == (6, 6)
    assert await rows(db, LINES_OF_REJECTS) == [
        (3, "ragged_row", 2),
        (4, "no_identity", 2),
        (5, "ragged_row", 2),
        (7, "no_identity", 2),
        (8, "ragged_row", 2),
        (9, "no_identity", 2),
    ]

    path.write_text("id,n\n0,w\n1,x\n2\n,y\n2\n3,z\n,y\n2\n,y\n")
    await ingest()
    assert [line for line, _, _ in await rows(db, LINES_OF_REJECTS)] == [4, 5, 6, 8, 9, 10]


async def test_rejects_of_which_only_the_end_differs_are_each_kept(ingest, path, db):
    wide = "x" * 1_100_000
    path.write_text(f"id,n\n1,{wide}a\n2,y\n1,{wide}b\n")
    report = await ingest()

    assert (report.counters.failed, report.counters.inserted) == (2, 1)
    assert await rows(db, LINES_OF_REJECTS) == [(2, "field_too_large", 1), (4, "field_too_large", 1)]


async def test_a_reject_before_an_interruption_is_not_forgotten(ingest, path, db):
    path.write_text("id,n\n1\n2,y\n" + "".join(f"{n},z\n" for n in range(3, 40)))
    stop = asyncio.Event()

    def observe(event):
        if isinstance(event, BatchCommitted):
            stop.set()

    interrupted = await ingest(observe=observe, stop=stop)
    assert (interrupted.status, interrupted.counters.failed) == (RunStatus.FAILED, 1)
    rest = await ingest()
    assert rest.counters.failed == 0
    assert interrupted.counters.inserted + rest.counters.inserted == 38
    assert (await ingest()).counters == RunCounters(unchanged=38, failed=1)


async def test_equal_rows_without_a_key_are_records_of_their_own_and_stay_so(ingest, path, db):
    path.write_text("n,m\nx,1\ny,2\nx,1\nx,1\n")
    first = await ingest()
    with path.open("a") as file:
        file.write("x,1\n")
    report = await ingest()

    assert (first.counters, report.counters) == (
        RunCounters(inserted=4),
        RunCounters(inserted=1, unchanged=4),
    )
    ids = [
        row[0]
        for row in await rows(
            db, "SELECT external_id FROM raw_data_csv WHERE raw_data->>'n' = 'x' ORDER BY id"
        )
    ]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3", f"{ids[0]}-4"]
    path.write_text("n,m\ny,2\nx,1\nx,1\nx,1\nx,1\n")
    assert (await ingest()).counters == RunCounters(unchanged=5)


async def test_a_guessed_encoding_stands_in_the_run(ingest, path, db):
    path.write_bytes("id,n\n1,Müller aus Köln\n".encode("cp1252"))
    await ingest()
    assert await one(
        db,
        "SELECT n->>'code', n->'details'->>'encoding' FROM etl_run, jsonb_array_elements(metadata->'notices') n",
    ) == ("encoding_guessed", "cp1252")


async def test_an_empty_file_is_a_success_without_records(ingest, path):
    path.write_bytes(b"")
    report = await ingest()
    assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters())


async def test_another_map_has_all_records_looked_up_again(ingest, path):
    path.write_text("id,n\n1,x\n2,y\n")
    await ingest()
    assert (await ingest(map={"title": "n"})).counters == RunCounters(unchanged=2)
