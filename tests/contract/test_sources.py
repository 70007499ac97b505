"""What every source promises, whatever it reads: the same tests for each of them."""

from __future__ import annotations

import contextlib
from contextlib import aclosing

import pytest
from aiohttp import web

from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities
from kasparro.schemas.ingest import ParentRecord
from tap_source import tap_source

pytestmark = pytest.mark.anyio

COUNT, SIZE = 23, 5


@contextlib.asynccontextmanager
async def rest_api(_folder):
    async def items(request):
        page = int(request.query["page"])
        return web.json_response([{"id": i} for i in range((page - 1) * SIZE, min(page * SIZE, COUNT))])

    app = web.Application()
    app.router.add_get("/items", items)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        paging = {"type": "page", "param": "page", "size_param": "size", "size": SIZE}
        yield ApiSource(name="things", url=f"http://{host}:{port}/items", pagination=paging)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def csv_file(folder):
    (folder / "things.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(COUNT)))
    yield CsvSource(name="things", folder=folder, path="things.csv")


class Numbers:
    """Parents in memory: ten, each of which has some of the records."""

    async def version(self, _source):
        return 1

    async def read(self, _source, after, limit, _since=None):
        return [record for record in TEN if after is None or record.key > after][:limit]

    async def one(self, _source, key):
        return next((record for record in TEN if record.key == key), None)


TEN = [ParentRecord(str(n), b'{"n": %d}' % n) for n in range(10)]
FACILITIES = Facilities(parents=Numbers())


@contextlib.asynccontextmanager
async def dependent_api(folder):
    """The records of `rest_api`, dealt out to ten parents: three of the first seven, one of each other, none of the last."""
    dealt = [range(n * 3, n * 3 + 3) for n in range(7)] + [range(21, 22), range(22, 23), range(0)]

    async def items(request):
        page, ids = int(request.query["page"]), dealt[int(request.match_info["n"])]
        return web.json_response([{"id": i} for i in ids[(page - 1) * 2 : page * 2]])

    app = web.Application()
    app.router.add_get("/{n}/items", items)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        paging = {"type": "page", "param": "page", "size_param": "size", "size": 2}
        parent = {"source": "numbers", "params": {"n": "n"}}
        url = f"http://{host}:{port}/{{n}}/items"
        yield ApiSource(name="things", url=url, pagination=paging, parent=parent)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def singer_tap(folder):
    streams = {"things": [{"id": i} for i in range(COUNT)]}
    yield tap_source(folder, config={"streams": streams, "state_every": SIZE, "last_state": False})


SOURCES = pytest.mark.parametrize(
    "declared", [rest_api, csv_file, dependent_api, singer_tap], ids=["api", "csv", "children", "singer"]
)


async def read(source, after=None):
    async with aclosing(source.pages(after)) as pages:
        return [page async for page in pages]


def payloads(pages):
    return [record.payload for page in pages for record in page.records]


@SOURCES
async def test_every_record_comes_once_and_in_order_and_the_last_page_says_so(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE, FACILITIES))

        assert len(payloads(pages)) == len(set(payloads(pages))) == COUNT
        assert [page.last or page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]


@SOURCES
async def test_a_cursor_resumes_after_its_page_whichever_it_is(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE, FACILITIES))
        for number, page in enumerate(pages[:-1], start=1):
            rest = await read(open_source(declaration, SIZE, FACILITIES), page.cursor)

            assert payloads(rest) == payloads(pages[number:])


@SOURCES
async def test_a_cursor_of_another_declaration_is_not_resumed(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        first = (await read(open_source(declaration, SIZE, FACILITIES)))[0]
        other = declaration.model_copy(update={"key": ("id", "name")})

        assert len(payloads(await read(open_source(other, SIZE, FACILITIES), first.cursor))) == COUNT


@SOURCES
async def test_it_can_be_closed_after_any_page(declared, tmp_path):
    """Files and connections that stay open are warnings, and warnings fail the tests."""
    async with declared(tmp_path) as declaration:
        pages = open_source(declaration, SIZE, FACILITIES).pages(None)
        await anext(pages)
        await pages.aclose()

        with pytest.raises(StopAsyncIteration):
            await anext(pages)


@SOURCES
async def test_every_record_says_where_it_was_received(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE, FACILITIES))

        origins = [str(record.origin) for page in pages for record in page.records]
        assert len(set(origins)) == COUNT
