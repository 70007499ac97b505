"""Large answers on their way into a real database: runs that end in the middle of one, and many of them side by side."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from ingest_kit import one, writer
from integration.api_server import declare, json_answer, serve, serve_bytes
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunCounters, RunStatus

pytestmark = pytest.mark.anyio

COUNT = 30_000
RECORDS = [b'{"id": %d, "text": "%b"}' % (number, b"x" * 400) for number in range(COUNT)]
ANSWER = b"[" + b",".join(RECORDS) + b"]"


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def service_of(db, tmp_path, *sources):
    catalog = Catalog(sources={one.name: one for one in sources}, path=tmp_path / "kasparro.yaml")
    return ingestion_service(catalog, Settings(_env_file=None), db)


async def test_what_came_before_a_cut_is_kept_and_found_unchanged_by_the_next_run(db, tmp_path):
    whole = False

    async def script(_number: int, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
        writer.write(head.encode() + (ANSWER if whole else ANSWER[: len(ANSWER) * 9 // 10]))

    async with serve_bytes(script) as url:
        service = service_of(db, tmp_path, declare(url, retry={"attempts": 1}))
        cut = await service.ingest("things")
        assert (cut.status, cut.error_code) == (RunStatus.FAILED, "truncated_content")
        kept = cut.counters.inserted
        assert COUNT // 2 < kept < COUNT
        assert await one(db, "SELECT count(*) FROM raw_data_api") == kept
        whole = True
        report = await service.ingest("things")
    assert (report.status, report.counters) == (
        RunStatus.SUCCESS,
        RunCounters(inserted=COUNT - kept, unchanged=kept),
    )
    assert await one(db, "SELECT count(*), sum(external_id::bigint) FROM raw_data_api") == (
        COUNT,
        COUNT * (COUNT - 1) // 2,
    )


async def test_large_answers_of_many_parents_do_not_wait_for_each_other_for_ever(db, tmp_path):
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/shops":
            return json_answer([{"id": number} for number in range(6)])
        return web.Response(body=ANSWER, content_type="application/json")

    async with serve(handler) as api:
        shops = declare(f"{api.url}/shops", name="shops")
        things = declare(
            f"{api.url}/shops/{{shop}}/things",
            parent={"source": "shops", "params": {"shop": "id"}},
            rate_limit={"concurrency": 2},
        )
        service = service_of(db, tmp_path, shops, things)
        await service.ingest("shops")
        report = await service.ingest("things")
    assert report.counters == RunCounters(inserted=6 * COUNT)
