"""What every source promises, whatever it reads: the same tests for each of them."""

from __future__ import annotations

import contextlib
from contextlib import aclosing

import pytest
from aiohttp import web

from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.opening import open_source
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


@contextlib.asynccontextmanager
async def singer_tap(folder):
    streams = {"things": [{"id": i} for i in range(COUNT)]}
    yield tap_source(folder, config={"streams": streams, "state_every": SIZE, "last_state": False})


SOURCES = pytest.mark.parametrize("declared", [rest_api, csv_file, singer_tap], ids=["api", "csv", "singer"])


async def read(source, after=None):
    async with aclosing(source.pages(after)) as pages:
        return [page async for page in pages]


def payloads(pages):
    return [record.payload for page in pages for record in page.records]


@SOURCES
async def test_every_record_comes_once_and_in_order_and_the_last_page_says_so(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE))

        assert len(payloads(pages)) == len(set(payloads(pages))) == COUNT
        assert [page.last or page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]


@SOURCES
async def test_a_cursor_resumes_after_its_page_whichever_it_is(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE))
        for number, page in enumerate(pages[:-1], start=1):
            rest = await read(open_source(declaration, SIZE), page.cursor)

            assert payloads(rest) == payloads(pages[number:])


@SOURCES
async def test_a_cursor_of_another_declaration_is_not_resumed(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        first = (await read(open_source(declaration, SIZE)))[0]
        other = declaration.model_copy(update={"key": ("id", "name")})

        assert len(payloads(await read(open_source(other, SIZE), first.cursor))) == COUNT


@SOURCES
async def test_it_can_be_closed_after_any_page(declared, tmp_path):
    """Files and connections that stay open are warnings, and warnings fail the tests."""
    async with declared(tmp_path) as declaration:
        pages = open_source(declaration, SIZE).pages(None)
        await anext(pages)
        await pages.aclose()

        with pytest.raises(StopAsyncIteration):
            await anext(pages)


@SOURCES
async def test_every_record_says_where_it_was_received(declared, tmp_path):
    async with declared(tmp_path) as declaration:
        pages = await read(open_source(declaration, SIZE))

        origins = [str(record.origin) for page in pages for record in page.records]
        assert len(set(origins)) == COUNT
