"""Answers too large to be held, from servers that make them while they send: in parts, in bounded memory, cut ones tried again."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from integration.api_server import Naps, declare, fetch, ids, payloads, serve, serve_bytes
from kasparro.core.errors import (
    PaginationLoop,
    ResponseTooLarge,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.sources.api import PART_RECORDS, ApiPages
from kasparro.schemas.ingest import Page

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
COUNT = 60_000
FILLER = "x" * 150


def record(number: int) -> bytes:
    return b'{"id": %d, "price": 1.10, "text": "%s [{"}' % (number, FILLER.encode())


def body(first: int = 0, *, before: bytes = b'{"total": 60000, "items": [', after: bytes = b"]}") -> bytes:
    return before + b", ".join(map(record, range(first, first + COUNT))) + after


def sending(content: bytes, content_type: str = "application/json", **headers: str) -> Callable:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=content_type, headers=headers)

    return handler


ROWS = [{"id": str(n), "text": f'a "{FILLER}", {n}' if n % 7 else ""} for n in range(COUNT)]

DOUBLE = '""'


def as_csv() -> bytes:
    lines = (f'"{row["id"]}","{row["text"].replace(DOUBLE[0], DOUBLE)}"' for row in ROWS)
    return "\r\n".join(["id,text", *lines, ""]).encode()


def as_xml() -> bytes:
    elements = (f'<item id="{row["id"]}"><text>{row["text"]}</text></item>' for row in ROWS)
    return ("<?xml version='1.0'?><r><list>" + "\n".join(elements) + "</list></r>").encode()


async def test_a_large_answer_comes_in_parts_with_every_record_as_it_was_received():
    async with serve(sending(body(after=b'], "next": null}'))) as api:
        pages = await fetch(declare(api.url, pagination={"type": "next_url", "path": "next"}))
    assert payloads(pages) == list(map(record, range(COUNT)))
    assert len(pages) > COUNT // PART_RECORDS
    assert max(len(page.records) for page in pages[:-1]) <= PART_RECORDS
    assert [r.origin.position for page in pages for r in page.records] == list(range(COUNT))
    assert {r.origin.page for page in pages for r in page.records} == {1}
    assert [page.cursor for page in pages] == [*[{"url": None, "ordinal": 1}] * (len(pages) - 1), None]
    assert pages[-1].total == COUNT


@pytest.mark.parametrize("pagination", ["none", "page", "offset", "link_header"])
async def test_who_resumes_within_the_first_page_reads_it_again(pagination):
    async def handler(request: web.Request) -> web.Response:
        further = request.query.get("page", "1") != "1" or request.query.get("offset", "0") != "0"
        return web.Response(body=b"[]" if further else body(), content_type="application/json")

    async with serve(handler) as api:
        declaration = declare(api.url, pagination=pagination)
        first, *_ = await fetch(declaration)
        with capture_logs() as logs:
            assert ids(await fetch(declaration, first.cursor)) == list(range(COUNT))
    assert "cursor.not_understood" not in {entry["event"] for entry in logs}


async def test_slices_with_large_answers_are_read_at_once_without_mixing_them_up():
    async def handler(request: web.Request) -> web.Response:
        day = int(request.query["until"][8:10])
        at = f"2026-05-{day:02}T12:00:00Z".encode()
        texts = (
            b'{"id": %d, "updated_at": "%b", "text": "%b"}' % (n, at, FILLER.encode() * 2)
            for n in range(30_000)
        )
        numbered = (text.replace(b'"id": ', b'"id": %d' % day, 1) for text in texts)
        return web.Response(body=b"[" + b",".join(numbered) + b"]", content_type="application/json")

    incremental = {"field": "updated_at", "param": "since", "end_param": "until", "initial": "2026-05-04"}
    incremental |= {"end": "2026-05-07", "step": "1d", "format": "iso8601"}
    async with serve(handler) as api:
        source = open_source(declare(api.url, incremental=incremental), 100)
        pages = [page async for page in source.pages(None)]
    found = ids(pages)
    assert sorted(set(found)) == sorted(found)
    assert len(found) == 3 * 30_000
    assert [page.last for page in pages] == [*[False] * (len(pages) - 1), True]


async def test_a_large_answer_that_has_not_changed_is_not_sent_again():
    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=body(), content_type="application/json", headers={"ETag": '"1"'})

    async with serve(handler) as api:
        declaration = declare(api.url)
        pages = [page async for page in open_source(declaration, 100).pages(None)]
        (unchanged,) = [page async for page in open_source(declaration, 100).pages(pages[-1].cursor)]
    assert (ids(pages), unchanged.unchanged) == (list(range(COUNT)), COUNT)


@pytest.mark.parametrize("records", [None, "items"])
@pytest.mark.parametrize("next_first", [True, False])
async def test_the_next_page_is_found_before_and_behind_the_records(records, next_first):
    async def handler(request: web.Request) -> web.Response:
        number = int(request.query.get("after", "0"))
        following = (
            f'"meta": {{"next": {json.dumps(number + COUNT if number < 2 * COUNT else None)}}}'.encode()
        )
        around = (
            (b"{" + following + b', "items": [', b"]}")
            if next_first
            else (b'{"items": [', b"], " + following + b"}")
        )
        return web.Response(
            body=body(number, before=around[0], after=around[1]), content_type="application/json"
        )

    paging = {"type": "cursor", "param": "after", "next": "meta.next"}
    async with serve(handler) as api:
        declaration = declare(api.url, records=records, pagination=paging)
        pages = await fetch(declaration)
        assert ids(pages) == list(range(3 * COUNT))
        cursors = [page.cursor and page.cursor["token"] for page in pages]
        assert (
            list(dict.fromkeys(cursors)) == [None, str(COUNT), str(2 * COUNT), None][:3]
            or cursors[-1] is None
        )
        in_second = next(page for page in pages if page.cursor and page.cursor["ordinal"] == 2)
        assert ids(await fetch(declaration, in_second.cursor)) == list(range(COUNT, 3 * COUNT))


async def test_the_last_record_is_at_hand_for_the_next_token():
    async def handler(request: web.Request) -> web.Response:
        first = int(request.query.get("starting_after", "-1")) + 1
        content = body(
            first, before=b'{"data": [', after=b'], "has_more": %s}' % (b"false" if first else b"true")
        )
        return web.Response(body=content, content_type="application/json")

    paging = {"type": "cursor", "param": "starting_after", "next": "has_more && data[-1].id"}
    async with serve(handler) as api:
        assert ids(await fetch(declare(api.url, pagination=paging))) == list(range(2 * COUNT))


async def test_numbered_pages_that_are_large_are_fetched_to_the_end():
    async def handler(request: web.Request) -> web.Response:
        number = int(request.query["page"])
        content = body((number - 1) * COUNT) if number < 4 else b'{"items": []}'
        return web.Response(body=content, content_type="application/json")

    async with serve(handler) as api:
        assert ids(await fetch(declare(api.url, pagination="page"))) == list(range(3 * COUNT))


async def test_a_large_page_that_comes_again_is_a_loop():
    async with serve(sending(body())) as api:
        with pytest.raises(PaginationLoop):
            await fetch(declare(api.url, pagination="page"))


FORMATS = {
    "json": (lambda: json.dumps(ROWS).encode(), "application/json", {}),
    "json, one a line": (
        lambda: b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
        "application/x-ndjson",
        {},
    ),
    "json, over lines": (
        lambda: b"".join(json.dumps(row, indent=1).encode() for row in ROWS),
        "application/jsonl",
        {},
    ),
    "csv": (as_csv, "text/csv", {}),
    "xml": (as_xml, "application/xml", {"records": "list.item", "key": '"@id"'}),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_comes_in_parts(form, compressed):
    made, content_type, keys = FORMATS[form]
    content = gzip.compress(made(), 1) if compressed else made()
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    async with serve(sending(content, content_type, **headers)) as api:
        pages = await fetch(declare(api.url, **keys))
    assert len(pages) > 8
    found = [json.loads(payload) for payload in payloads(pages)]
    if form == "xml":
        assert found == [{"@id": row["id"], "text": row["text"] or None} for row in ROWS]
    elif form == "csv":
        assert found == [{**row, "text": row["text"] or None} for row in ROWS]
    else:
        assert found == ROWS
    assert not any(page.rejects for page in pages)


async def test_a_bad_record_in_a_large_answer_is_one_reject():
    content = body().replace(record(7), b'{"id": 7, "x": NaN}').replace(record(50_000), b'{"id": "\\ud800"}')
    async with serve(sending(content)) as api:
        pages = await fetch(declare(api.url))
    assert [reject.origin.position for page in pages for reject in page.rejects] == [7]
    assert len(payloads(pages)) == COUNT - 1


async def test_records_in_lists_of_lists_carry_what_is_declared_out_of_a_large_answer():
    orders = b", ".join(
        b'{"id": %d.0, "lines": [%s, %s]}' % (n, record(2 * n), record(2 * n + 1)) for n in range(COUNT // 2)
    )
    async with serve(sending(b'{"orders": [' + orders + b"]}")) as api:
        pages = await fetch(declare(api.url, records="orders[].lines[]", carry={"order": "id"}))
    assert payloads(pages) == [
        record(n)[:-1] + b',"_parent":{"order":%d.0}}' % (n // 2) for n in range(COUNT)
    ]
    assert len(pages) > 8


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nConnection: close\r\n"
CUTS = {
    "length": (b"application/json", b"Content-Length: 99999999\r\n\r\n", body()[: 11 * MIB]),
    "no length": (b"application/json", b"\r\n", body()[: 11 * MIB]),
    "no length, at the end of a record": (
        b"application/json",
        b"\r\n",
        body()[: body().index(record(59_000))][:-2],
    ),
    "no length, behind the list": (b"application/json", b"\r\n", body(after=b"]")),
    "lines, no length": (b"application/x-ndjson", b"\r\n", b"\n".join(map(record, range(COUNT)))),
    "csv, no length": (b"text/csv", b"\r\n", as_csv()[:-30]),
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_large_answer_that_is_cut_keeps_what_has_come_and_is_asked_for_again(cut):
    kind, framing, content = CUTS[cut]
    whole = {b"application/json": body(), b"text/csv": as_csv()}.get(kind) or content + b"\n"

    async def script(number: int, writer: asyncio.StreamWriter) -> None:
        length = b"Content-Length: %d\r\n\r\n" % len(whole)
        writer.write((HEAD % kind) + (framing + content if number == 0 else length + whole))

    async with serve_bytes(script) as url:
        pages = await fetch(declare(url))
    found = [json.loads(payload)["id"] for payload in payloads(pages)]
    assert len(found) > COUNT
    assert list(map(int, found[-COUNT:])) == list(range(COUNT))
    assert set(map(int, found)) == set(range(COUNT))


async def test_an_answer_that_is_always_cut_fails_with_what_has_come_handed_on():
    async def script(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write((HEAD % b"application/json") + b"\r\n" + body()[: 11 * MIB])

    seen: list[Page] = []

    async def gather(source: ApiPages) -> None:
        async for page in source.pages(None):
            seen.append(page)  # noqa: PERF401  # what has come before the error counts

    async with serve_bytes(script) as url:
        with pytest.raises(TruncatedContent):
            await gather(ApiPages(declare(url, retry={"attempts": 2}), Naps().waiting()))
    assert len(payloads(seen)) > 2 * 50_000
    assert all(page.cursor == {"page": 1, "ordinal": 1} for page in seen)


async def test_a_large_answer_that_drips_ends_and_one_that_is_taken_slowly_does_not():
    gone = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await answer.write(body()[: 10 * MIB])
        await gone.wait()
        return answer

    async with serve(drips) as api:
        with pytest.raises(TransientSourceError, match="no further 1 MiB of a large answer within"):
            await fetch(declare(api.url, timeout="1500ms", retry={"attempts": 1}))
        gone.set()
    async with serve(sending(body())) as api:
        source = ApiPages(declare(api.url, timeout="2s"))
        number = 0
        async for page in source.pages(None):
            if not number:
                await asyncio.sleep(2.1)
            number += len(page.records)
    assert number == COUNT


async def test_the_size_of_an_answer_is_bounded_as_declared():
    async with serve(sending(body())) as api:
        with pytest.raises(ResponseTooLarge, match="larger than 9 MiB") as caught:
            await fetch(declare(api.url, max_size="9MiB"))
        assert "max_size" in str(caught.value)


async def test_an_answer_that_has_to_be_evaluated_is_read_as_a_whole():
    async with serve(sending(body())) as api:
        pages = await fetch(declare(api.url, records="items[?id < `5`]"))
    assert (len(pages), ids(pages)) == (1, list(range(5)))


@pytest.mark.parametrize("content", [
    body(after=b'], "results": [1]}'),
    body(after=b'], "items": []}'),
    body(after=b'], "error": "boom"}'),
    b"<html>" + body(),
    body(after=b"]}]"),
], ids=["two lists", "a name twice", "a declared error", "html", "more behind it"])  # fmt: skip
async def test_a_large_answer_that_is_not_what_was_declared_fails_the_page(content):
    async with serve(sending(content)) as api:
        with pytest.raises(UnexpectedContent):
            await fetch(declare(api.url, error="error"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "iso-8859-1"])
async def test_large_answers_in_other_encodings_arrive_as_utf8(encoding):
    rows = [{"id": n, "text": "ä" * 100} for n in range(COUNT)]
    content = json.dumps(rows, ensure_ascii=False).encode(encoding)

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=content, headers={"Content-Type": f"application/json; charset={encoding}"})

    async with serve(handler) as api:
        assert [json.loads(p) for p in payloads(await fetch(declare(api.url)))] == rows


async def test_leaving_in_the_middle_of_a_large_answer_leaves_no_task():
    async with serve(sending(body())) as api:
        before = len(asyncio.all_tasks())
        pages = ApiPages(declare(api.url)).pages(None)
        await anext(pages)
        await pages.aclose()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) <= before + 2  # the server's own


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "xml", "gzip"])
async def test_memory_stays_small_whatever_the_size(form):
    program = Path(__file__).with_name("large_answer_reader.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), form, "100"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    told = json.loads(out.splitlines()[-1])
    assert process.returncode == 0
    assert told["records"] == told["sent"]
    assert told["grown_mib"] < 64
