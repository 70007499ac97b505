"""Answers of every kind, as they come from servers: formats, encodings, and what has status 200 and is no answer."""

from __future__ import annotations

import asyncio
import json
import sys

import brotli
import pytest
from aiohttp import web

from integration.api_server import declare, fetch, ids, payloads, serve, serve_bytes
from kasparro.core.errors import TruncatedContent, UnexpectedContent
from kasparro.schemas.ingest import RejectReason

if sys.version_info >= (3, 14):
    from compression.zstd import compress as zstd_compress
else:
    from backports.zstd import compress as zstd_compress

pytestmark = pytest.mark.anyio


def answering(content: bytes, content_type: str | None, **headers: str):
    given = {**({} if content_type is None else {"Content-Type": content_type}), **headers}

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=content, headers=given)

    return handler


async def read(content: bytes, content_type: str | None = "application/json", **keys):
    async with serve(answering(content, content_type)) as api:
        return payloads(await fetch(declare(api.url, **keys)))


FORMATS = {
    "json": (b'[{"id": "1"}]', "application/json", {}),
    "a json of its own": (b'[{"id": "1"}]', "application/vnd.api+json", {}),
    "json by its looks": (b'[{"id": "1"}]', "text/plain", {}),
    "json without a type": (b'[{"id": "1"}]', None, {}),
    "json said to be xml": (b'[{"id": "1"}]', "text/xml", {}),
    "ndjson": (b'{"id": "1"}\n', "application/x-ndjson; charset=utf-8", {}),
    "json lines": (b'{"id": "1"}', "application/jsonl", {}),
    "json text sequence": (b'\x1e{"id": "1"}\n', "application/json-seq", {}),
    "ndjson, declared": (b'{"id": "1"}\n', "application/json", {"format": "ndjson"}),
    "csv": (b"id\r\n1\r\n", "text/csv", {}),
    "tsv": (b"id\n1\n", "text/tab-separated-values", {}),
    "csv, declared": (b"1\n", "text/plain", {"format": "csv", "csv": {"header": ["id"]}}),
    "xml": (b"<r><x><id>1</id></x></r>", "application/xml", {"records": "x"}),
    "rss": (b"<r><x><id>1</id></x></r>", "application/rss+xml", {"records": "x"}),
    "xml, declared": (b"<r><x><id>1</id></x></r>", "text/plain", {"records": "x", "format": "xml"}),
}  # fmt: skip


@pytest.mark.parametrize("case", FORMATS)
async def test_a_format_is_the_declared_one_or_that_of_the_content_type(case):
    content, content_type, keys = FORMATS[case]
    assert [json.loads(payload) for payload in await read(content, content_type, **keys)] == [{"id": "1"}]


@pytest.mark.parametrize("content_type", ["text/csv; charset=windows-1252", "text/csv"])
async def test_rows_in_another_encoding_arrive_as_utf8(content_type):
    content = "id,name\n1,Müller €\n".encode("cp1252")
    keys = {} if "charset" in content_type else {"encoding": "cp1252"}
    assert await read(content, content_type, **keys) == ['{"id":"1","name":"Müller €"}'.encode()]


async def test_a_declared_encoding_decides():
    rows = '[{"id": "日本"}]'
    assert await read(rows.encode("shift_jis"), encoding="shift_jis") == ['{"id": "日本"}'.encode()]
    with pytest.raises(UnexpectedContent, match=r"not valid UTF-8.* at byte 9"):
        await read(rows.encode("shift_jis"))


async def test_xml_in_the_encoding_it_declares():
    content = "<?xml version='1.0' encoding='iso-8859-1'?><r><x id='ä'/></r>".encode("latin-1")
    assert await read(content, "text/xml", records="x") == ['{"@id":"ä"}'.encode()]


async def test_pages_of_xml_are_found_by_what_is_around_the_records():
    async def handler(request: web.Request) -> web.Response:
        number = int(request.query.get("after", "0"))
        following = f"<next>{number + 1}</next>" if number < 2 else "<next/>"
        text = f"<r><meta>{following}</meta><total>3</total><list><x><id>{number}</id></x></list></r>"
        return web.Response(text=text, content_type="application/xml")

    async with serve(handler) as api:
        paging = {"type": "cursor", "param": "after", "next": "meta.next"}
        pages = await fetch(declare(api.url, records="list.x", pagination=paging))
    assert (ids(pages), pages[0].total) == (["0", "1", "2"], 3)


async def test_numbered_pages_of_csv_end_with_one_that_has_no_rows():
    async def handler(request: web.Request) -> web.Response:
        rows = "1\n2\n" if request.query["page"] == "1" else ""
        return web.Response(text=f"id\n{rows}", content_type="text/csv")

    async with serve(handler) as api:
        assert ids(await fetch(declare(api.url, pagination="page"))) == ["1", "2"]


@pytest.mark.parametrize("content", [b"<r><list/></r>", b"<r><list></list></r>"])
async def test_a_list_without_elements_is_no_records(content):
    assert await read(content, "text/xml", records="list.x") == []


NO_ANSWERS = {
    "an error beside an empty list": (b'{"items": [], "error": "boom"}', "application/json", {}),
    "errors beside an empty list": (b'{"data": [], "errors": [{"m": "boom"}]}', "application/json", {}),
    "no success": (b'{"items": [], "success": false, "message": "boom"}', "application/json", {}),
    "not ok": (b'{"items": [], "ok": false, "message": "boom"}', "application/json", {}),
    "a status": (b'{"items": [], "status": "Error", "message": "boom"}', "application/json", {}),
    "an error that is a value": (b'{"error": "boom"}', "application/json", {"records": "items || `[]`"}),
    "a declared error": (b'{"items": [{"id": 1}], "code": 7, "m": "boom"}', "application/json", {"error": "code"}),
    "a declared expression": (b'{"items": [{"id": 1}], "s": "boom"}', "application/json", {"error": "s != 'fine'"}),
    "html for csv": (b"<!DOCTYPE html>\n<p>boom, sign in", "text/csv", {}),
    "html for declared csv": (b"<p>boom, sign in", "text/html; charset=utf-8", {"format": "csv"}),
    "json for declared csv": (b'{"error": "boom"}', "application/json", {"format": "csv"}),
    "html for ndjson": (b"<html>boom", "application/x-ndjson", {}),
    "a complaint as ndjson": (b'{"error": "boom"}\n', "application/x-ndjson", {}),
    "html for xml": (b"<html><body>boom</body></html>", "text/xml", {"records": "item"}),
    "a complaint as xml": (b"<error>boom</error>", "text/xml", {"records": "item"}),
    "another xml": (b"<r><other>boom</other></r>", "text/xml", {"records": "list.item"}),
    "text for xml": (b"boom", "text/xml", {"records": "item"}),
    "xml without a path": (b"<boom/>", "text/xml", {}),
    "lines with a path": (b'{"boom": 1}\n', "application/x-ndjson", {"records": "items"}),
    "a script": (b'boom({"items": []});', "application/javascript", {}),
    "nothing": (b"", "application/json", {}),
    "nothing as xml": (b"", "application/xml", {"records": "item"}),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_ANSWERS)
async def test_what_is_no_answer_fails_the_page_and_is_shown(case):
    content, content_type, keys = NO_ANSWERS[case]
    with pytest.raises(UnexpectedContent) as caught:
        await read(content, content_type, **keys)
    silent = {"xml without a path", "lines with a path", "a script"}
    assert ("boom" if content and case not in silent else "") in str(caught.value)


ANSWERS = {
    "no error": b'{"items": [], "error": null, "errors": [], "success": true, "ok": true, "status": "ok"}',
    "an error code of 0": b'{"items": [], "error": 0}',
    "records that may be partial": b'{"items": [{"id": 1}], "errors": [{"m": "one failed"}], "status": "error"}',
    "records with a status": b'[{"id": 1, "status": "error", "error": "boom", "success": false}]',
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_what_is_an_answer_passes(case):
    assert len(await read(ANSWERS[case])) == ANSWERS[case].count(b'"id"')


async def test_a_record_with_a_key_is_no_complaint():
    content = b'{"id": 1, "error": "boom"}\n'
    assert await read(content, "application/x-ndjson") == [content.strip()]
    assert await read(b'{"code": 1, "error": "boom"}', "application/x-ndjson", key="code") != []


async def test_a_declared_error_that_is_none_passes():
    assert len(await read(b'{"items": [{"id": 1}], "code": 0}', error="code")) == 1


@pytest.mark.parametrize("guard", [b")]}'\n", b")]}',\n", b"while(1);", b"for(;;);", b" while (1); "])
async def test_a_guard_against_scripts_is_left_out(guard):
    assert await read(guard + b'{"items": [{"id": 1}]}') == [b'{"id": 1}']


@pytest.mark.parametrize("key", ["ID", "id"])
async def test_names_that_differ_in_capitals_are_different_and_of_equal_ones_the_last_counts(key):
    text = b'{"id": 1, "ID": 2, "id": 3, "Id": 4}'
    assert await read(b"[%b]" % text, key=key) == [text]


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
async def test_nothing_at_all_is_no_rows_only_where_http_shows_the_end(kind):
    assert await read(b"", kind) == []

    async def script(_number: int, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())

    async with serve_bytes(script) as url:
        with pytest.raises(TruncatedContent):
            await fetch(declare(url, retry={"attempts": 2}))


async def test_records_in_lists_of_lists_are_records_of_their_own():
    good = b'{"id": 1e0, "lines": [{"sku": "a"}, {"sku": "b" }]}'
    content = b'{"orders": [' + good + b', {"id": 3, "lines": [NaN]}, {"id": 2, "lines": []}]}'
    async with serve(answering(content, "application/json")) as api:
        declaration = declare(api.url, records="orders[].lines[]", carry=["id"], key=["_parent.id", "sku"])
        (page,) = await fetch(declaration)
    assert payloads([page]) == [
        b'{"sku": "a","_parent":{"id":1e0}}',
        b'{"sku": "b" ,"_parent":{"id":1e0}}',
    ]
    assert [reject.reason for reject in page.rejects] == [RejectReason.INVALID_JSON]


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_answers_in_newer_encodings_are_asked_for_and_read(encoding):
    content = json.dumps([{"id": n} for n in range(1000)]).encode()
    packed = brotli.compress(content) if encoding == "br" else zstd_compress(content)

    async def handler(request: web.Request) -> web.Response:
        assert encoding in request.headers["Accept-Encoding"]
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        return web.Response(body=packed, headers=headers)

    async with serve(handler) as api:
        assert ids(await fetch(declare(api.url))) == list(range(1000))
