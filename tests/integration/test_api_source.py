"""REST sources against real servers: what is fetched, what goes wrong, and that credentials stay where they belong."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import traceback
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from integration.api_server import (
    NOW,
    Naps,
    declare,
    fetch,
    http_answer,
    ids,
    json_answer,
    payloads,
    scripted,
    serve,
    serve_bytes,
)
from kasparro.core.errors import (
    AuthenticationFailed,
    ForeignOrigin,
    PaginationLoop,
    PermanentSourceError,
    ResponseTooLarge,
    SourceError,
    SourceParked,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.http.client import HttpClient, Request
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.gate import local_gate
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.session import open_session
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.ingest import ApiOrigin, Page, RejectReason

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t+value/with=signs&more"
FULL_PAGE, RECORDS = 10, 30


def rows(first: int, last: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(first, min(last, RECORDS))]


async def collection(request: web.Request) -> web.Response:  # noqa: PLR0911  # one for each way
    """30 records, at most 10 a page, in every way of paging."""
    query = request.query
    size = min(int(query.get("size", FULL_PAGE)), FULL_PAGE)
    match request.path:
        case "/all":
            return json_answer(rows(0, RECORDS))
        case "/page":
            first = (int(query["page"]) - 1) * size
            return json_answer({"data": rows(first, first + size), "total": RECORDS})
        case "/strict":
            first = (int(query["page"]) - 1) * size
            status = 200 if first < RECORDS else 404
            return json_answer({"data": rows(first, first + size)}, status=status)
        case "/offset":
            first = int(query["offset"])
            return json_answer({"results": rows(first, first + min(int(query["limit"]), FULL_PAGE))})
    first = int(query.get("after", "0"))
    following = str(first + size) if first + size < RECORDS else None
    items = rows(first, first + size)
    link = None if following is None else f"{request.path}?after={following}&size={size}"
    match request.path:
        case "/token":
            return json_answer({"items": items, "meta": {"next": following}})
        case "/header_token":
            return json_answer(items, headers={"X-Next": following} if following else {})
        case "/link":
            headers = {"Link": f'</other>; rel="prev", <{link}>; rel="next"'} if link else {}
            return json_answer(items, headers=headers)
        case _:
            return json_answer(
                {
                    "items": items,
                    "links": {
                        "next": link
                        and str(
                            request.url.join(
                                request.url.with_path("/next_url").with_query(after=following, size=size)
                            )
                        )
                    },
                }
            )


WAYS = {
    "none": ("/all", {"type": "none"}),
    "page": ("/page", {"type": "page", "size_param": "size", "size": 10}),
    "page with a last page that is short": ("/page", {"type": "page", "size_param": "size", "size": 9}),
    "page of unknown size": ("/page", {"type": "page"}),
    "page larger than the API allows": ("/page", {"type": "page", "size_param": "size", "size": 500}),
    "page with 404 at the end": ("/strict", {"type": "page", "size_param": "size", "size": 10}),
    "page with 404 at the end, size unknown": ("/strict", {"type": "page"}),
    "offset": ("/offset", {"type": "offset", "limit": 10}),
    "offset larger than the API allows": ("/offset", {"type": "offset", "limit": 500}),
    "offset with a last page that is short": ("/offset", {"type": "offset", "limit": 7}),
    "cursor in the body": ("/token", {"type": "cursor", "param": "after", "next": "meta.next"}),
    "cursor by an expression": (
        "/token",
        {"type": "cursor", "param": "after", "next": "meta.next && to_string(items[-1].id)"},
    ),
    "cursor in a header": ("/header_token", {"type": "cursor", "param": "after", "next": "header:X-Next"}),
    "link_header": ("/link", {"type": "link_header"}),
    "next_url": ("/next_url", {"type": "next_url", "path": "links.next"}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_record_comes_exactly_once_and_every_cursor_resumes_with_exactly_the_rest(way):
    path, pagination = WAYS[way]
    async with serve(collection) as api:
        declaration = declare(api.url + path, pagination=pagination)
        pages = await fetch(declaration)
        fetched = ids(pages)
        if way == "cursor by an expression":  # that API repeats the record it goes on from
            fetched = list(dict.fromkeys(fetched))
        assert fetched == list(range(RECORDS))
        assert pages[-1].cursor is None
        assert [page.cursor is None for page in pages[:-1]] == [False] * (len(pages) - 1)
        for number, page in enumerate(pages[:-1], start=1):
            cursor = json.loads(json.dumps(page.cursor))
            rest = await fetch(declaration, cursor)
            assert ids(rest) == ids(pages[number:])
            assert {record.origin.page for record in rest[0].records} <= {number + 1}


async def test_an_origin_says_from_which_request_page_and_position_a_record_is():
    async with serve(collection) as api:
        pages = await fetch(declare(f"{api.url}/page", pagination={"type": "page"}, params={"q": "a b"}))
    origin = pages[1].records[3].origin
    assert isinstance(origin, ApiOrigin)
    assert (origin.page, origin.position) == (2, 3)
    assert origin.url == f"{api.url}/page?q=a%20b&page=2"
    assert {page.total for page in pages} == {RECORDS}


async def test_a_page_past_the_end_of_a_size_the_api_honours_is_not_asked_for():
    async with serve(collection) as api:
        await fetch(declare(f"{api.url}/page", pagination={"type": "page", "size_param": "size", "size": 7}))
        assert len(api.requests) == 5


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_an_api_with_one_short_page_may_refuse_the_second(status):
    async def handler(request: web.Request) -> web.Response:
        first = request.query["page"] == "1"
        return json_answer(
            [{"id": 1}] if first else {"detail": "Invalid page."}, status=200 if first else status
        )

    async with serve(handler) as api:
        declaration = declare(api.url, pagination={"type": "page", "size_param": "size", "size": 10})
        pages = await fetch(declaration)
        assert (ids(pages), pages[-1].cursor) == ([1], None)


async def test_a_page_that_is_refused_for_another_reason_is_not_the_end():
    async def handler(request: web.Request) -> web.Response:
        number = int(request.query["page"])
        return json_answer([{"id": number}, {"id": -number}], status=200 if number < 3 else 422)

    async with serve(handler) as api:
        declaration = declare(api.url, pagination={"type": "page", "size_param": "size", "size": 2})
        fetched, error = await collect(declaration)
    assert fetched == [1, -1, 2, -2]
    assert "422" in str(error)


async def test_a_first_page_that_is_not_there_is_an_error():
    async with serve(collection) as api:
        with pytest.raises(PermanentSourceError, match=r"/strict\?page=9: answered 404 Not Found.*`url`"):
            await fetch(declare(f"{api.url}/strict", pagination={"type": "page", "start": 9}))


async def test_no_content_is_an_empty_page():
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    async with serve(handler) as api:
        (page,) = await fetch(declare(api.url, pagination={"type": "offset"}))
    assert (page.records, page.cursor) == ([], None)


async def test_a_cursor_of_another_pagination_starts_from_the_beginning():
    async with serve(collection) as api:
        for path, pagination in WAYS.values():
            declaration = declare(api.url + path, pagination=pagination)
            for cursor in (
                {"url": "http://elsewhere.example/x", "ordinal": 2},
                {"page": "x"},
                {"ordinal": 3},
            ):
                assert set(ids(await fetch(declaration, cursor))) == set(range(RECORDS))


async def test_a_post_sends_its_body_with_every_page():
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.method, request.content_type, await request.json(), request.query["page"]))
        return json_answer({"hits": [{"id": 1}] if len(asked) == 1 else []})

    async with serve(handler) as api:
        declaration = declare(
            api.url, method="POST", body={"query": {"a": [1]}}, records="hits", pagination={"type": "page"}
        )
        assert ids(await fetch(declaration)) == [1]
    assert asked == [("POST", "application/json", {"query": {"a": [1]}}, str(page)) for page in (1, 2)]


async def test_headers_and_parameters_are_sent_as_declared():
    async with serve(collection) as api:
        await fetch(
            declare(
                f"{api.url}/all?kept=1%2B1&q=old",
                headers={"accept": "application/vnd.x+json", "X-Version": "3"},
                params={"q": "stars:>5000", "flag": True, "n": 7, "ratio": 0.5},
            )
        )
        (request,) = api.requests
        assert request.headers["Accept"] == "application/vnd.x+json"
        assert request.headers["X-Version"] == "3"
        assert request.headers["User-Agent"].startswith("kasparro/")
        assert request.headers["Accept-Encoding"] == "gzip, deflate, br, zstd"
        assert dict(request.query) == {
            "kept": "1+1",
            "q": "stars:>5000",
            "flag": "true",
            "n": "7",
            "ratio": "0.5",
        }


# --- what is received, verbatim -------------------------------------------------------------------------------------------

VERBATIM = [
    b'{"z": 1.10, "a" : 123456789012345678901234567890, "e": 1E+2, "n": -0}',
    b'{"id":1,"id":2}',
    b'{"id": 3, "text": "\\u0000 \\/ \\u00e4 \xc3\xa4 \xf0\x9f\x98\x80"}',
    b'{ "id" : 4 , "deep" : [ [ { } ] ] }',
    b"7",
    b"null",
]
ODD = [b'{"id": 5, "lone": "\\ud800"}', b'{"id": 6, "t": "\\\\ud800 \\udc00x"}']


@pytest.mark.parametrize(
    ("template", "records"), [(b"[%s]", None), (b' {"rows": {"all": [%s ]}, "total": 9}', "rows.all")]
)
@pytest.mark.parametrize("elements", [VERBATIM, VERBATIM + ODD], ids=["usual", "with lone surrogates"])
async def test_a_payload_is_the_text_that_was_received(template, records, elements):
    body = template % b" ,\n".join(elements)
    async with serve_bytes(scripted(http_answer(body))) as url:
        (page,) = await fetch(declare(url, records=records))
    assert [record.payload for record in page.records] == elements
    assert page.rejects == []
    assert page.size == len(body)


async def test_a_record_that_is_not_json_is_one_reject_and_the_others_go_on():
    bad = [b'{"id": NaN}', b'{"id": "\x01"}', b"{'id': 3}", b'{"id": 01}', b"[" * 2000 + b"]" * 2000]
    body = b'{"data": [{"id": 1}, %s, {"id": 2.50}], "next": null}' % b", ".join(bad)
    async with serve_bytes(scripted(http_answer(body))) as url:
        (page,) = await fetch(declare(url))
    assert [(r.payload, r.origin.position) for r in page.records] == [(b'{"id": 1}', 0), (b'{"id": 2.50}', 6)]
    assert [json.loads(reject.payload).encode() for reject in page.rejects] == bad
    assert [reject.reason for reject in page.rejects] == [RejectReason.INVALID_JSON] * 4 + [
        RejectReason.TOO_DEEP
    ]
    assert [reject.origin.position for reject in page.rejects] == [1, 2, 3, 4, 5]


async def test_an_expression_selects_with_all_digits_kept():
    body = b'{"x": [{"id": 1, "v": 1.10, "ok": true}, {"id": 123456789012345678901234567890, "v": 1e400, "ok": true}, {"ok": false}]}'
    async with serve_bytes(scripted(http_answer(body))) as url:
        (page,) = await fetch(declare(url, records="x[?ok]"))
    assert [record.payload for record in page.records] == [
        b'{"id":1,"v":1.10,"ok":true}',
        b'{"id":123456789012345678901234567890,"v":1E+400,"ok":true}',
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-32-be", "iso-8859-1"]
)
async def test_other_unicode_encodings_arrive_as_utf8(encoding):
    body = '[{"id": 1, "name": "Zürich"}]'.encode(encoding)

    async def handler(_request: web.Request) -> web.Response:
        named = "utf-8" if encoding == "utf-8-sig" else encoding
        return web.Response(body=body, headers={"Content-Type": f"application/json; charset={named}"})

    async with serve(handler) as api:
        assert payloads(await fetch(declare(api.url))) == ['{"id": 1, "name": "Zürich"}'.encode()]


async def test_bytes_that_are_no_text_fail_the_page_and_are_counted():
    async with serve_bytes(scripted(http_answer(b'[{"id": "\xff"}]'))) as url:
        with pytest.raises(UnexpectedContent, match="not valid UTF-8: invalid start byte at byte 9"):
            await fetch(declare(url))


# --- answers that are not what was declared -------------------------------------------------------------------------------

UNEXPECTED = {
    "a login page": ("text/html", b"<html><title>Log in</title></html>", "text/html.*<title>Log in"),
    "an error in JSON": (
        "application/json",
        b'{"error": "quota exceeded"}',
        "complains.*quota exceeded",
    ),
    "nothing": ("application/json", b"", "empty"),
    "blanks": ("text/plain", b" \n ", "empty"),
    "a scalar": ("application/json", b"42", "not a JSON array or object"),
    "an object without a list": (
        "application/json",
        b'{"data": {"id": 1}, "rows": []}',
        "its keys are data, rows.*records: rows",
    ),
    "broken nesting": ("application/json", b'[{"id": [1}]', "not JSON: the nesting is broken at byte 10"),
    "two texts": ("application/json", b'[{"id": 1}][]', "not JSON"),
}


@pytest.mark.parametrize("case", UNEXPECTED)
async def test_an_answer_that_is_not_records_fails_the_page_and_is_shown(case):
    content_type, body, said = UNEXPECTED[case]

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    async with serve(handler) as api:
        with pytest.raises(UnexpectedContent, match=said) as caught:
            await fetch(declare(f"{api.url}/here"))
        assert f"{api.url}/here" in str(caught.value)
        assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("body", "records", "said"),
    [
        ({"rows": 1}, "rows", "something else than a list at 'rows'"),
        ({"rows": [1]}, "row", "no list at 'row'.*keys are rows"),
        ([1], "rows", "bare array"),
        ({"rows": None, "error": "broken"}, "rows", "broken"),
        ({"rows": [1]}, "rows[0]", "something else than a list"),
        ({"rows": "x"}, "sum(rows)", "does not fit"),
    ],
)
async def test_records_that_are_not_where_they_are_declared_fail_the_page(body, records, said):
    async with serve_bytes(scripted(http_answer(json.dumps(body).encode()))) as url:
        with pytest.raises(UnexpectedContent, match=said):
            await fetch(declare(url, records=records))


async def test_null_where_a_list_is_declared_is_an_empty_list():
    async with serve_bytes(scripted(http_answer(b'{"rows": null}'))) as url:
        (page,) = await fetch(declare(url, records="rows"))
    assert (page.records, page.cursor) == ([], None)


async def test_a_bare_array_has_no_place_for_the_declared_next_token():
    async with serve(collection) as api:
        with pytest.raises(UnexpectedContent, match="bare array"):
            await fetch(
                declare(f"{api.url}/all", pagination={"type": "cursor", "param": "c", "next": "next"})
            )


# --- circles --------------------------------------------------------------------------------------------------------------


async def collect(declaration: Any) -> tuple[list[Any], SourceError]:
    """The ids that came before the error, and the error."""
    pages = []
    try:
        async for page in ApiPages(declaration, Naps().waiting()).pages(None):
            pages.append(page)  # noqa: PERF401  # what came before the error counts
    except SourceError as error:
        return ids(pages), error
    raise AssertionError("it went well")


async def test_a_token_that_comes_back_ends_the_run_within_one_lap():
    following = {None: "a", "a": "b", "b": "c", "c": "a"}

    async def handler(request: web.Request) -> web.Response:
        at = request.query.get("cursor")
        return json_answer({"items": [{"id": at}], "next": following[at]})

    async with serve(handler) as api:
        declaration = declare(api.url, pagination={"type": "cursor", "param": "cursor", "next": "next"})
        fetched, error = await collect(declaration)
        assert fetched == [None, "a", "b", "c"]
        assert isinstance(error, PaginationLoop)
        assert len(api.requests) == 4


async def test_a_next_link_to_the_page_itself_ends_the_run():
    async def handler(request: web.Request) -> web.Response:
        return json_answer({"items": [{"id": 1 + len(request.query)}], "next": "/things?page=2"})

    async with serve(handler) as api:
        fetched, error = await collect(
            declare(f"{api.url}/things", pagination={"type": "next_url", "path": "next"})
        )
    assert fetched == [1, 2]
    assert isinstance(error, PaginationLoop)


async def test_an_api_that_does_not_heed_the_page_number_ends_the_run():
    async with serve(collection) as api:
        fetched, error = await collect(declare(f"{api.url}/all", pagination={"type": "page"}))
        assert fetched == list(range(RECORDS))
        assert isinstance(error, PaginationLoop)
        assert len(api.requests) == 3


async def test_empty_pages_with_a_next_token_are_gone_through():
    async def handler(request: web.Request) -> web.Response:
        at = int(request.query.get("cursor", "0"))
        return json_answer({"items": [{"id": at}] if at == 5 else [], "next": at + 1 if at < 6 else None})

    async with serve(handler) as api:
        declaration = declare(api.url, pagination={"type": "cursor", "param": "cursor", "next": "next"})
        assert ids(await fetch(declaration)) == [5]


# --- credentials ----------------------------------------------------------------------------------------------------------

AUTHS = {
    "bearer": {"type": "bearer", "token": SECRET},
    "key in a header": {"type": "api_key", "in": "header", "name": "X-API-Key", "value": SECRET},
    "key with prefix": {
        "type": "api_key",
        "in": "header",
        "name": "Authorization",
        "prefix": "Token ",
        "value": SECRET,
    },
    "key in the query": {"type": "api_key", "in": "query", "name": "k", "value": SECRET},
    "basic": {"type": "basic", "username": "someone", "password": SECRET},
}
SENT = {
    "bearer": ("Authorization", f"Bearer {SECRET}"),
    "key in a header": ("X-API-Key", SECRET),
    "key with prefix": ("Authorization", f"Token {SECRET}"),
    "basic": ("Authorization", "Basic c29tZW9uZTpzM2NyM3QrdmFsdWUvd2l0aD1zaWducyZtb3Jl"),
}


@pytest.mark.parametrize("auth", AUTHS)
async def test_the_credential_is_sent_with_every_page_and_stands_nowhere_else(auth):
    async def handler(request: web.Request) -> web.Response:
        number = int(request.query.get("after", "0"))
        link = str(request.url.update_query(after=number + 1)) if number < 3 else None
        return json_answer({"items": [{"id": number}], "next": link})

    async with serve(handler) as api:
        with capture_logs() as logs:
            pages = await fetch(
                declare(f"{api.url}/x", auth=AUTHS[auth], pagination={"type": "next_url", "path": "next"})
            )
        assert ids(pages) == [0, 1, 2, 3]
        for request in api.requests:
            if auth in SENT:
                name, value = SENT[auth]
                assert request.headers[name] == value
            else:
                assert request.query.getall("k") == [SECRET]
    origins = [record.origin for page in pages for record in page.records]
    assert_no_secret(logs, origins, [page.cursor for page in pages], pages)


def assert_no_secret(*things: Any) -> None:
    shown = "".join(map(repr, things)) + "".join(map(str, things))
    for spelling in (SECRET, "s3cr3t", "c29tZW9uZTpzM2NyM3"):
        assert spelling not in shown


async def canary(_request: web.Request) -> web.Response:
    return json_answer([{"id": "stolen"}])


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize(
    "way", ["next_url", "link_header", "redirect", "later redirect", "scheme-relative", "userinfo"]
)
async def test_nothing_is_sent_to_another_origin(auth, way):
    async with serve(canary) as other:
        port = other.url.rpartition(":")[2]

        async def handler(request: web.Request) -> web.Response:
            match way:
                case "redirect":
                    raise web.HTTPFound(f"{other.url}/steal?k={request.query.get('k', '')}")
                case "later redirect":
                    raise web.HTTPFound("/again" if request.path == "/x" else f"{other.url}/steal")
                case "link_header":
                    return json_answer([{"id": 1}], headers={"Link": f'<{other.url}/steal>; rel="next"'})
                case "scheme-relative":
                    return json_answer({"items": [{"id": 1}], "next": f"//127.0.0.1:{port}/steal"})
                case "userinfo":
                    return json_answer({"items": [{"id": 1}], "next": f"http://127.0.0.1@localhost:{port}/"})
                case _:
                    return json_answer({"items": [{"id": 1}], "next": f"{other.url}/steal"})

        pagination = {"type": "link_header"} if way == "link_header" else {"type": "next_url", "path": "next"}
        async with serve(handler) as api:
            with capture_logs() as logs:
                _, error = await collect(declare(f"{api.url}/x", auth=AUTHS[auth], pagination=pagination))
            assert isinstance(error, ForeignOrigin)
            assert api.url in str(error)
            assert f":{port}" in str(error)
            assert other.requests == []
            assert_no_secret(logs, error, error.__cause__)


async def test_the_client_itself_knows_one_origin_only():
    async with serve(canary) as other, open_session() as session:
        client = HttpClient(
            session=session,
            home=parse_url("http://127.0.0.1:1/"),
            credentials=Credentials("", headers={"X-Key": SECRET}),
            redact=Redactor([SECRET]),
            timeout=5,
        )
        with pytest.raises(ForeignOrigin):
            await client.fetch(Request(parse_url(other.url)))
        assert other.requests == []


async def test_redirects_within_the_origin_are_followed_with_the_credential_and_end_after_five():
    async def handler(request: web.Request) -> web.Response:
        hop = int(request.path.strip("/"))
        if hop < int(request.query.get("hops", "0")):
            raise web.HTTPTemporaryRedirect(f"/{hop + 1}?hops={request.query['hops']}")
        return json_answer([{"id": request.headers["Authorization"]}])

    async with serve(handler) as api:
        assert ids(await fetch(declare(f"{api.url}/0?hops=5", auth=AUTHS["bearer"]))) == [f"Bearer {SECRET}"]
        with pytest.raises(PermanentSourceError, match="more than 5 times"):
            await fetch(declare(f"{api.url}/0?hops=6", auth=AUTHS["bearer"]))
        with pytest.raises(PermanentSourceError, match="followed for GET only"):
            await fetch(declare(f"{api.url}/0?hops=1", method="POST", body={}))


async def test_a_credential_that_would_get_into_the_checkpoint_is_refused():
    async def handler(_request: web.Request) -> web.Response:
        return json_answer({"items": [{"id": 1}], "next": f"after-{SECRET}"})

    async with serve(handler) as api:
        declaration = declare(
            api.url, auth=AUTHS["bearer"], pagination={"type": "cursor", "param": "c", "next": "next"}
        )
        with pytest.raises(UnexpectedContent, match="contains the credential") as caught:
            await fetch(declaration)
    assert_no_secret(caught.value)


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
async def test_an_answer_that_repeats_the_credential_shows_it_to_nobody(auth, status):
    async def handler(request: web.Request) -> web.Response:
        seen = f"{request.headers.get('Authorization')} {request.headers.get('X-API-Key')} {request.url} {SECRET}"
        return json_answer({"said": "x" * 100 + seen}, status=status)

    async with serve(handler) as api:
        with capture_logs() as logs, pytest.raises(SourceError) as caught:
            await fetch(declare(f"{api.url}/x", auth=AUTHS[auth]))
    assert "said" in str(caught.value)
    assert_no_secret(logs, caught.value, caught.value.args, caught.value.place)


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", http_answer(b"<html>")],
)
async def test_no_traceback_shows_the_credential(answer):
    async with serve_bytes(scripted(answer)) as url:
        with pytest.raises(SourceError) as caught:
            await fetch(declare(f"{url}/x", auth=AUTHS["key in the query"], retry={"attempts": 2}))
    assert_no_secret("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    ("body", "records"),
    [({SECRET: 1}, None), ({"rows": SECRET}, "sum(rows)"), ({"rows": SECRET}, "rows"), (SECRET, None)],
)
async def test_no_error_about_the_content_shows_a_credential_that_is_in_it(body, records):
    async with serve_bytes(scripted(http_answer(json.dumps(body).encode()))) as url:
        with pytest.raises(UnexpectedContent) as caught:
            await fetch(declare(url, auth=AUTHS["bearer"], records=records))
    assert_no_secret("".join(traceback.format_exception(caught.value)))


# --- statuses and waits ---------------------------------------------------------------------------------------------------


async def answering(*statuses: int | tuple[int, dict[str, str]], naps: Naps, **keys: Any) -> tuple[Any, int]:
    """Fetch from a server that answers so in turn, then well; the ids or the error, and the number of requests."""
    left = list(statuses)

    async def handler(_request: web.Request) -> web.Response:
        if not left:
            return json_answer([{"id": 1}])
        status = left.pop(0)
        code, headers = status if isinstance(status, tuple) else (status, {})
        headers = {"Date": format_datetime(naps.now(), usegmt=True), **headers}
        return json_answer({"message": "no"}, status=code, headers=headers)

    async with serve(handler) as api:
        try:
            result: Any = ids(await fetch(declare(api.url, **keys), waiting=naps.waiting()))
        except SourceError as error:
            result = error
        return result, len(api.requests)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 522])
async def test_what_passes_is_tried_again_after_growing_waits(status):
    naps = Naps()
    assert await answering(status, status, status, naps=naps, retry={"max": "3s"}) == ([1], 4)
    assert naps.taken == [1.0, 2.0, 3.0]


async def test_attempts_are_bounded_and_the_last_error_is_raised():
    naps = Naps()
    error, requests = await answering(*[500] * 9, naps=naps, retry={"attempts": 3})
    assert isinstance(error, TransientSourceError)
    assert "500 Internal Server Error" in str(error)
    assert requests == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 501])
async def test_what_does_not_pass_is_not_tried_again(status):
    error, requests = await answering(status, naps=Naps())
    assert isinstance(error, PermanentSourceError)
    assert f"{status} " in str(error)
    assert requests == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_names_the_auth_and_that_it_was_sent(status):
    error, _ = await answering(status, naps=Naps(), auth=AUTHS["bearer"])
    assert isinstance(error, AuthenticationFailed)
    assert "a bearer token was sent (auth: bearer)" in str(error)
    error, _ = await answering(status, naps=Naps())
    assert "no credential was sent (auth: none)" in str(error)


RETRY_AFTER = {
    "seconds": ({"Retry-After": "17"}, 17.0),
    "a date": ({"Retry-After": format_datetime(NOW + timedelta(seconds=50), usegmt=True)}, 50.0),
    "a date gone by": ({"Retry-After": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 1.0),
    "a minute": ({"Retry-After": "60"}, 60.0),
    "nonsense": ({"Retry-After": "soon"}, 1.0),
    "less than the backoff": ({"Retry-After": "0"}, 1.0),
    "a used-up limit": (
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 33)},
        33.0,
    ),
}


@pytest.mark.parametrize("form", RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_source_is_never_asked_earlier_than_it_says(form, status):
    headers, wait = RETRY_AFTER[form]
    naps = Naps()
    assert await answering((status, headers), naps=naps) == ([1], 2)
    assert naps.taken == [wait]


async def test_a_wait_of_more_than_a_minute_parks_the_source_instead_of_being_slept():
    naps = Naps()
    error, requests = await answering((429, {"Retry-After": "61"}), naps=naps)
    assert isinstance(error, SourceParked)
    assert (error.resume_at, requests, naps.taken) == (NOW + timedelta(seconds=61), 1, [])
    assert "parked until 2026-05-04 12:01:01 UTC: it asked to be left alone until then" in str(error)


async def test_how_long_is_waited_for_can_be_declared():
    naps = Naps()
    limit = {"park_after": "10m"}
    assert await answering((503, {"Retry-After": "600"}), naps=naps, rate_limit=limit) == ([1], 2)
    assert naps.taken == [600.0]


async def test_no_attempt_begins_after_the_declared_total():
    naps = Naps()
    error, requests = await answering(*[500] * 9, naps=naps, retry={"attempts": 20, "total": "10s"})
    assert isinstance(error, TransientSourceError)
    assert error.tried_enough
    assert (requests, naps.taken) == (4, [1.0, 2.0, 4.0])


async def test_the_time_of_a_source_whose_clock_goes_wrong_is_its_own():
    naps = Naps()
    theirs = NOW - timedelta(hours=3)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=40), usegmt=True),
    }
    assert await answering((503, headers), naps=naps) == ([1], 2)
    assert naps.taken == [40.0]


USED_UP = {
    "the draft": {"RateLimit": '"minute";r=0;t=17, "day";r=100;t=70000'},
    "the draft, by its policy": {"RateLimit": '"minute";r=0', "RateLimit-Policy": '"minute";q=60;w=17'},
    "an older draft": {"RateLimit": "limit=60, remaining=0, reset=17"},
    "three headers": {"RateLimit-Limit": "60", "RateLimit-Remaining": "0", "RateLimit-Reset": "17"},
    "seconds": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "17"},
    "a second of the epoch": {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW.timestamp()) + 17),
    },
}


@pytest.mark.parametrize("form", USED_UP)
async def test_after_the_last_request_of_a_quota_the_next_one_waits_instead_of_being_refused(form):
    naps, asked = Naps(), []

    async def handler(request: web.Request) -> web.Response:
        asked.append((naps.now() - NOW).total_seconds())
        headers = (
            USED_UP[form] if len(asked) == 2 else {"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "9"}
        )
        date = {"Date": format_datetime(naps.now(), usegmt=True)}
        return json_answer([{"id": len(asked)}] * (len(asked) < 4), headers={**headers, **date})

    async with serve(handler) as api:
        declaration = declare(api.url, pagination={"type": "page"}, rate_limit={"concurrency": 1})
        assert len(await fetch(declaration, waiting=naps.waiting())) == 4
    assert asked == [0.0, 0.0, 17.0, 17.0]


async def test_others_wait_from_the_moment_the_header_has_come_and_not_only_the_body():
    naps, body = Naps(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/second":
            return json_answer([])
        answer = web.StreamResponse(headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "17"})
        await answer.prepare(request)
        await body.wait()
        await answer.write(b"[]")
        return answer

    async with serve(handler) as api, open_session() as session:
        gate = local_gate(declare(api.url), naps.waiting())
        home = parse_url(api.url)
        client = HttpClient(session, home, Credentials(""), Redactor([]), timeout=30, gate=gate)
        first = asyncio.create_task(client.fetch(Request(home / "first")))
        async with asyncio.timeout(20):
            while not gate.resting:  # noqa: ASYNC110  # the client tells nobody that a header has come
                await asyncio.sleep(0.001)
        await client.fetch(Request(home / "second"))
        assert naps.taken == [17.0]
        body.set()
        await first


async def test_a_redirect_that_asks_for_a_rest_is_followed_after_it():
    naps, asked = Naps(), []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.path, naps.now() - NOW))
        if request.path == "/there":
            return json_answer([{"id": 1}])
        return web.Response(status=307, headers={"Location": "/there", "Retry-After": "30"})

    async with serve(handler) as api:
        assert ids(await fetch(declare(f"{api.url}/here"), waiting=naps.waiting())) == [1]
    assert asked == [("/here", timedelta(0)), ("/there", timedelta(seconds=30))]


async def test_a_403_with_a_time_to_wait_is_a_rate_limit():
    naps = Naps()
    assert await answering((403, {"Retry-After": "5"}), naps=naps) == ([1], 2)
    assert naps.taken == [5.0]


async def test_every_retry_is_one_event():
    with capture_logs() as logs:
        await answering(500, 429, naps=Naps())
    retries = [entry for entry in logs if entry["event"] == "request.retry"]
    assert [(entry["log_level"], entry["attempt"], entry["wait_s"]) for entry in retries] == [
        ("warning", 1, 1.0),
        ("warning", 2, 2.0),
    ]
    assert retries[0]["url"].startswith("http://127.0.0.1:")
    assert retries[0]["reason"] == 'answered 500 Internal Server Error: {"message": "no"}'


async def test_pages_and_retries_keep_their_distance_from_the_first_on():
    naps, asked, fails = Naps(), [], [True]

    async def handler(request: web.Request) -> web.Response:
        asked.append(naps.now())
        return json_answer([], status=500) if fails and fails.pop() else await collection(request)

    async with serve(handler) as api:
        declaration = declare(
            f"{api.url}/page",
            pagination={"type": "page"},
            rate_limit={"requests": 5, "per": "100s", "concurrency": 1},
        )
        assert len(await fetch(declaration, waiting=naps.waiting())) == 4
    apart = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(asked) == 5
    assert min(apart) >= timedelta(seconds=20.05)
    assert asked[-1] - asked[0] == timedelta(seconds=4 * 20.05)


async def take_all(source: ApiPages, fetched: list[Page]) -> None:
    async for page in source.pages(None):
        fetched.append(page)  # noqa: PERF401  # what came before an error counts


async def test_a_budget_that_is_used_up_parks_the_source_until_the_next_period():
    naps = Naps()
    async with serve(collection) as api:
        declaration = declare(
            f"{api.url}/page",
            pagination={"type": "page"},
            rate_limit={"budget": {"requests": 2, "per": "day"}},
        )
        source = ApiPages(declaration, naps.waiting())
        fetched: list[Page] = []
        with pytest.raises(SourceParked, match="its budget of requests is used up") as parked:
            await take_all(source, fetched)
        assert (len(fetched), len(api.requests)) == (2, 2)
    assert parked.value.resume_at == datetime(2026, 5, 5, tzinfo=UTC)


# --- cut, slow and swollen bodies -----------------------------------------------------------------------------------------

WHOLE = b'[{"id": 1}, {"id": 2}]'
CUT = {
    "before its Content-Length": http_answer(WHOLE)[:-5],
    "without a length": http_answer(WHOLE[:-5], framed=False),
    "without a length, between records": http_answer(WHOLE[:10], framed=False),
    "without a length, in a string": http_answer(b'{"items": [{"id": "on', framed=False),
    "within a chunk": http_answer(b"16\r\n" + WHOLE[:-5], "Transfer-Encoding: chunked", framed=False),
    "before the last chunk": http_answer(
        b"16\r\n" + WHOLE + b"\r\n", "Transfer-Encoding: chunked", framed=False
    ),
    "within gzip": http_answer(gzip.compress(WHOLE)[:-9], "Content-Encoding: gzip", framed=False),
    "within deflate": http_answer(zlib.compress(WHOLE)[:-4], "Content-Encoding: deflate", framed=False),
}


@pytest.mark.parametrize("cut", CUT)
async def test_a_cut_body_is_tried_again_and_never_the_end_of_data(cut):
    async with serve_bytes(scripted(CUT[cut], CUT[cut], http_answer(WHOLE))) as url:
        naps = Naps()
        assert ids(await fetch(declare(url), waiting=naps.waiting())) == [1, 2]
        assert len(naps.taken) == 2
    async with serve_bytes(scripted(CUT[cut])) as url:
        with pytest.raises(TruncatedContent):
            await fetch(declare(url, retry={"attempts": 2}))


async def test_a_connection_closed_without_an_answer_is_tried_again():
    async with serve_bytes(scripted(b"", http_answer(WHOLE))) as url:
        assert ids(await fetch(declare(url))) == [1, 2]


async def test_a_server_that_is_not_there_is_tried_again_and_named():
    async with serve(collection) as api:
        pass
    naps = Naps()
    with pytest.raises(TransientSourceError, match=r"127\.0\.0\.1.*cannot be reached"):
        await fetch(declare(api.url, retry={"attempts": 3}), waiting=naps.waiting())
    assert naps.taken == [1.0, 2.0]


async def test_something_that_is_not_http_is_said_to_be():
    async with serve_bytes(scripted(b"220 mail.example ESMTP\r\n")) as url:
        with pytest.raises(UnexpectedContent, match="not proper HTTP"):
            await fetch(declare(url))


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "],
    ids=["body", "head"],
)
async def test_a_body_that_drips_ends_at_the_deadline(head):
    async def drip(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"[")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serve_bytes(drip) as url:
        with pytest.raises(TransientSourceError, match=r"no complete answer within 0\.2 s"):
            await fetch(declare(url, timeout="200ms", retry={"attempts": 1}))


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "raw deflate", "two members"])
async def test_compressed_answers_are_read(encoding):
    body = json.dumps([{"id": number, "name": "x" * 50} for number in range(500)]).encode()
    deflater = zlib.compressobj(wbits=-15)
    packed = {
        "deflate": zlib.compress(body),
        "raw deflate": deflater.compress(body) + deflater.flush(),
        "two members": gzip.compress(body[:100]) + gzip.compress(body[100:]),
    }.get(encoding, gzip.compress(body))
    name = {"raw deflate": "deflate", "two members": "gzip"}.get(encoding, encoding)
    async with serve_bytes(scripted(http_answer(packed, f"Content-Encoding: {name}"))) as url:
        (page,) = await fetch(declare(url))
    assert ids([page]) == list(range(500))
    assert page.size == len(packed)


BOMB = gzip.compress(b"[" + b" " * (64 * 1024 * 1024) + b"]", compresslevel=9)


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (BOMB, ["Content-Encoding: gzip"], ResponseTooLarge),
        (gzip.compress(BOMB), ["Content-Encoding: gzip, gzip"], UnexpectedContent),
        (gzip.compress(BOMB), ["Content-Encoding: gzip", "Content-Encoding: gzip"], UnexpectedContent),
        (WHOLE, ["Content-Encoding: gzip"], UnexpectedContent),
        (WHOLE, ["Content-Encoding: br"], UnexpectedContent),
    ],
    ids=["bomb", "nested", "nested in two headers", "wrong name", "not asked for"],
)
async def test_bombs_and_wrong_encodings_are_refused_at_once(body, headers, error):
    async with serve_bytes(scripted(http_answer(body, *headers))) as url:
        naps = Naps()
        with pytest.raises(error):
            await fetch(declare(url), waiting=naps.waiting())
        assert naps.taken == []


async def test_no_cookie_is_kept_and_a_generator_that_is_closed_early_lets_go():
    async def handler(request: web.Request) -> web.Response:
        answer = await collection(request)
        answer.set_cookie("session", "1")
        return answer

    async with serve(handler) as api:
        by_name = api.url.replace("127.0.0.1", "localhost")  # cookies of bare addresses are never kept
        pages = ApiPages(declare(f"{by_name}/page", pagination={"type": "page"})).pages(None)
        await anext(pages)
        await anext(pages)
        await pages.aclose()
        assert {request.headers.get("Cookie") for request in api.requests} == {None}


async def test_large_pages_are_taken_apart_beside_the_event_loop():
    body = json.dumps([{"id": number, "text": "x" * 1000} for number in range(1000)]).encode()
    async with serve_bytes(scripted(http_answer(body))) as url:
        assert ids(await fetch(declare(url))) == list(range(1000))
