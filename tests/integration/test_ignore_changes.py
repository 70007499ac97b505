"""Fields that do not make a record changed by themselves, on a real PostgreSQL."""

from __future__ import annotations

import json

import pytest

from ingest_kit import MemorySource, api_declaration, ingest, one, rows, writer
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog, CsvSource
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunCounters

pytestmark = pytest.mark.anyio

IGNORING = api_declaration(ignore_changes=["last_updated", "stats.views"])


def record(name="a", at=1, views=1, likes=1):
    return {"id": 1, "name": name, "last_updated": at, "stats": {"views": views, "likes": likes}}


async def test_a_record_that_differs_only_in_ignored_fields_is_unchanged_and_writes_nothing(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[record()]]), IGNORING)
        before = await rows(db, "SELECT xmin::text, ctid::text, raw_data::text FROM raw_data_api")

        report = await ingest(db, MemorySource([[record(at=2, views=99)]]), IGNORING)

        assert report.counters == RunCounters(unchanged=1)
        assert await rows(db, "SELECT xmin::text, ctid::text, raw_data::text FROM raw_data_api") == before
        assert await one(db, "SELECT version FROM etl_checkpoint") == 1


async def test_with_another_change_the_ignored_values_are_stored_as_received(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[record()]]), IGNORING)

        report = await ingest(db, MemorySource([[record(at=2, views=99, likes=2)]]), IGNORING)

        assert report.counters == RunCounters(updated=1)
        assert json.loads(await one(db, "SELECT raw_data::text FROM raw_data_api")) == record("a", 2, 99, 2)
        assert await one(db, "SELECT data->'metadata'->'stats' FROM normalized_data") == {
            "views": 99,
            "likes": 2,
        }


async def test_another_declaration_sees_everything_changed_once_and_is_right_after_that(database_url):
    records = [record()]
    async with writer(database_url) as db:
        reports = [
            await ingest(db, MemorySource([records]), declaration)
            for declaration in (api_declaration(), IGNORING, IGNORING, api_declaration(), api_declaration())
        ]

        assert [(one.counters.updated, one.counters.unchanged) for one in reports[1:]] == [
            (1, 0),
            (0, 1),
            (1, 0),
            (0, 1),
        ]
        assert await one(db, "SELECT count(*) FROM normalized_data") == 1


async def test_columns_of_a_file_are_ignored_by_their_whole_names(database_url, tmp_path):
    path = tmp_path / "t.csv"
    source = CsvSource(name="table", folder=tmp_path, path="t.csv", ignore_changes=["stats.views"])
    catalog = Catalog(sources={"table": source}, path=tmp_path / "kasparro.yaml")
    async with writer(database_url) as db:
        service = ingestion_service(catalog, Settings(_env_file=None), db)
        path.write_text("id,name,stats.views\n1,a,5\n2,b,5\n")
        await service.ingest("table")
        path.write_text("id,name,stats.views\n1,a,6\n2,B,6\n")

        report = await service.ingest("table")

        assert report.counters == RunCounters(updated=1, unchanged=1)
        assert await rows(
            db, "SELECT external_id, raw_data->>'stats.views' FROM raw_data_csv ORDER BY 1"
        ) == [
            ("1", "5"),
            ("2", "6"),
        ]
