"""Ways of paging against real servers: found out by themselves, in headers and bodies, with declared ends, and in circles."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from integration.api_server import Naps, declare, fetch, ids, json_answer, serve
from kasparro.core.errors import ForeignOrigin, PaginationLoop, SourceError, UnexpectedContent
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.ingest import NoticeCode, Page

pytestmark = pytest.mark.anyio

EXTRA = 2
"""Requests beyond the last real page that a circle may cost."""


async def collected(declaration: ApiSource) -> tuple[list[Page], SourceError | None]:
    """The pages that came, and the error that ended them."""
    pages: list[Page] = []
    try:
        async for page in ApiPages(declaration, Naps().waiting()).pages(None):
            pages.append(page)  # noqa: PERF401  # what came before the error counts
    except SourceError as error:
        return pages, error
    return pages, None


def codes(pages: list[Page]) -> list[NoticeCode]:
    return [notice.code for page in pages for notice in page.notices]


# --- an oracle: servers that hand out so many records, and go in circles or not ----------------------------------------------


@dataclass
class Upstream:
    """*total* records, *size* in a page. Beyond the last page it does what `beyond` says, for ever."""

    total: int
    size: int
    beyond: str
    tells_total: bool = False
    asked: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.size))

    def page(self, number: int) -> list[dict[str, int]]:
        if number > self.last:
            match self.beyond:
                case "clamped":
                    number = self.last
                case "starts again":
                    number = (number - 1) % self.last + 1
                case "first page":
                    number = 1
                case "second last page":
                    number = max(1, self.last - 1)
                case _:
                    return []
        first = (number - 1) * self.size
        return [{"id": n} for n in range(first, min(first + self.size, self.total))]

    def answer(self, number: int, more: dict[str, Any]) -> web.Response:
        self.asked.append(number)
        told = {"total": self.total} if self.tells_total else {}
        return json_answer({"items": self.page(number), **told, **more})


class ByNumber(Upstream):
    async def __call__(self, request: web.Request) -> web.Response:
        return self.answer(int(request.query["page"]), {})


class ByOffset(Upstream):
    """Beyond the end an offset of so many pages is what the number of a page is elsewhere."""

    async def __call__(self, request: web.Request) -> web.Response:
        offset = int(request.query["offset"])
        return self.answer(offset // self.size + 1 if offset < self.total else self.beyond_by(offset), {})

    def beyond_by(self, offset: int) -> int:
        return self.last + 1 + (offset - self.total) // self.size


class ByToken(Upstream):
    """A token for every page, a new one each time; the last page has none, unless it goes in circles."""

    async def __call__(self, request: web.Request) -> web.Response:
        number = int(request.query.get("cursor", "1"))
        ends = self.beyond == "empty" and number >= self.last
        return self.answer(number, {"next": None if ends else str(number + 1)})


class ByLink(Upstream):
    async def __call__(self, request: web.Request) -> web.Response:
        number = int(request.query.get("at", "1"))
        ends = self.beyond == "empty" and number >= self.last
        return self.answer(number, {"next": None if ends else f"?at={number + 1}"})


WAYS: dict[type[Upstream], dict[str, Any]] = {
    ByNumber: {"type": "page"},
    ByOffset: {"type": "offset"},
    ByToken: {"type": "cursor", "param": "cursor", "next": "next"},
    ByLink: {"type": "next_url", "path": "next"},
}
CIRCLES = ("clamped", "starts again", "first page", "second last page")


@given(
    way=st.sampled_from(list(WAYS)),
    total=st.integers(1, 90),
    size=st.integers(1, 12),
    beyond=st.sampled_from(("empty", *CIRCLES)),
    tells=st.booleans(),
    sized=st.booleans(),
    concurrency=st.integers(1, 9),
)
@example(ByNumber, 50, 10, "clamped", False, False, 9)
@example(ByNumber, 50, 10, "clamped", True, False, 9)
@settings(max_examples=120, deadline=None)
def test_every_record_comes_once_and_no_circle_costs_more_than_two_requests(
    way, total, size, beyond, tells, sized, concurrency
):
    async def check():
        api = way(total, size, beyond, tells)
        declared = dict(WAYS[way])
        if way is ByNumber and sized:
            declared |= {"size_param": "size", "size": size}
        if way is ByOffset:
            declared |= {"limit": size}
        async with serve(api) as server:
            declaration = declare(server.url, pagination=declared, rate_limit={"concurrency": concurrency})
            pages, error = await collected(declaration)
        assert ids(pages) == list(range(total))
        extra = sum(number > api.last for number in api.asked)
        assert extra <= EXTRA + (beyond == "empty")
        assert max(Counter(server.paths).values()) == 1
        assert error is None or isinstance(error, PaginationLoop)
        if beyond == "empty":
            assert error is None
        elif way in (ByToken, ByLink):
            assert isinstance(error, PaginationLoop)

    with capture_logs():
        asyncio.run(check())


@pytest.mark.parametrize("beyond", CIRCLES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_circle_is_named_and_its_cursor_is_that_of_the_last_real_page(way, beyond):
    api = way(50, 10, beyond)
    async with serve(api) as server:
        declared = {**WAYS[way], **({"limit": 10} if way is ByOffset else {})}
        pages, error = await collected(declare(server.url, pagination=declared))
    assert isinstance(error, PaginationLoop)
    assert ids(pages) == list(range(50))
    assert len(api.asked) <= 5 + EXTRA
    assert pages[-1].cursor is not None
    assert pages[-1].cursor["ordinal"] == 6


async def test_a_single_page_that_came_before_does_not_end_a_fetch():
    """Ten records were inserted while page 3 was on its way: page 4 is page 3 again, and page 5 is new."""

    async def shifting(request: web.Request) -> web.Response:
        number = int(request.query["page"])
        real = number if number < 4 else number - 1
        return json_answer([{"id": n} for n in range(real * 10, real * 10 + 10)] if real < 9 else [])

    async with serve(shifting) as server:
        pages, error = await collected(declare(server.url, pagination="page"))
    assert error is None
    assert sorted(set(ids(pages))) == list(range(10, 90))


# --- pagination: auto -----------------------------------------------------------------------------------------------------

Handler = Callable[[web.Request, int, list[dict[str, int]], bool], web.Response]
TOTAL, SIZE = 47, 10
LAST = -(-TOTAL // SIZE)


def _plus(request: web.Request, **query: Any) -> str:
    return str(request.url.update_query({name: str(value) for name, value in query.items()}))


def _link(request: web.Request, number: int, rows: list[Any], more: Any) -> web.Response:
    links = [
        f'<{_plus(request, page=1)}>; rel="first"',
        f'</all?page={number + 1}>; title="a, b"; rel="last next"',
    ]
    response = json_answer(rows)
    response.headers.add("Link", links[0])
    if more:
        response.headers.add("Link", links[1])
    return response


def _stripe(request: web.Request, number: int, rows: list[Any], more: Any) -> web.Response:
    return json_answer({"object": "list", "data": rows, "has_more": more})


SHAPES: dict[str, tuple[str, Callable[[web.Request, int, list[Any], bool], web.Response]]] = {
    "link header": ("link_header", _link),
    "next": ("next_url", lambda r, n, rows, more: json_answer({"results": rows, "next": _plus(r, page=n + 1) if more else None})),
    "links.next": ("next_url", lambda r, n, rows, more: json_answer({"data": rows, "links": {"next": f"/all?page={n + 1}" if more else None}})),
    "_links.next.href": ("next_url", lambda r, n, rows, more: json_answer({"items": rows, "_links": {"next": {"href": f"?page={n + 1}"}} if more else {}})),
    "@odata.nextLink": ("next_url", lambda r, n, rows, more: json_answer({"items": rows, **({"@odata.nextLink": _plus(r, page=n + 1)} if more else {})})),
    "nextRecordsUrl": ("next_url", lambda r, n, rows, more: json_answer({"items": rows, "done": not more, **({"nextRecordsUrl": f"/all?page={n + 1}"} if more else {})})),
    "paging.next": ("next_url", lambda r, n, rows, more: json_answer({"data": rows, "paging": {"next": f"/all?page={n + 1}"} if more else {}})),
    "next_cursor": ("cursor", lambda r, n, rows, more: json_answer({"data": rows, "meta": {"next_cursor": str(n + 1) if more else None}})),
    "nextPageToken": ("cursor", lambda r, n, rows, more: json_answer({"items": rows, **({"nextPageToken": str(n + 1)} if more else {})})),
    "pageInfo": ("cursor", lambda r, n, rows, more: json_answer({"items": rows, "pageInfo": {"endCursor": str(n + 1), "hasNextPage": more}})),
    "a cursor in a header": ("cursor", lambda r, n, rows, more: json_answer(rows, headers={"X-Next-Cursor": str(n + 1)} if more else {})),
    "has_more and ids": ("cursor", _stripe),
    "page and total_pages": ("page", lambda r, n, rows, more: json_answer({"data": rows, "page": n, "total_pages": LAST})),
    "page from 0": ("page", lambda r, n, rows, more: json_answer({"data": rows, "number": n - 1, "totalPages": LAST})),
    "meta.current_page": ("page", lambda r, n, rows, more: json_answer({"data": rows, "meta": {"current_page": n, "last_page": LAST}})),
    "page and has_more": ("page", lambda r, n, rows, more: json_answer({"data": rows, "page": n, "has_more": more})),
    "total pages in a header": ("page", lambda r, n, rows, more: json_answer(rows, headers={"X-WP-TotalPages": str(LAST)})),
    "next_page, a number": ("cursor", lambda r, n, rows, more: json_answer({"items": rows, "next_page": n + 1 if more else None})),
    "meta.next_page, a number, at last missing": ("cursor", lambda r, n, rows, more: json_answer({"data": rows, "meta": {"next_page": n + 1} if more else {}})),
    "pagination.next, at last 0": ("cursor", lambda r, n, rows, more: json_answer({"data": rows, "pagination": {"next": n + 1 if more else 0}})),
    "offset and limit": ("offset", lambda r, n, rows, more: json_answer({"data": rows, "offset": (n - 1) * SIZE, "limit": SIZE, "total": TOTAL})),
    "startAt and maxResults": ("offset", lambda r, n, rows, more: json_answer({"items": rows, "startAt": (n - 1) * SIZE, "maxResults": SIZE})),
}  # fmt: skip


@dataclass
class Shaped:
    """Pages by whatever parameter the answers of a *shape* lead to."""

    shape: str
    asked: int = 0

    def number(self, query: Any) -> int:
        for name in ("offset", "startAt"):
            if name in query:
                return -(-int(query[name]) // SIZE) + 1
        if "starting_after" in query:
            return int(query["starting_after"]) // SIZE + 2
        named = ("page", "cursor", "pageToken", "after")
        number = int(next((query[name] for name in named if name in query), "1"))
        return number + 1 if self.shape == "page from 0" and "page" in query else number

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked += 1
        number = self.number(request.query)
        rows = [{"id": n} for n in range((number - 1) * SIZE, min(number * SIZE, TOTAL))]
        return SHAPES[self.shape][1](request, number, rows, number < LAST)


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_pagination_is_found_in_the_first_answer_and_said(shape):
    api = Shaped(shape)
    async with serve(api) as server:
        declaration = declare(
            f"{server.url}/all", params={"q": "x"} if shape == "next" else {}, pagination="auto"
        )
        pages = await fetch(declaration)
        assert ids(pages) == list(range(TOTAL))
        assert codes(pages) == [NoticeCode.PAGINATION_DETECTED]
        found = pages[0].notices[0].details["pagination"]
        assert found["type"] == SHAPES[shape][0]
        assert api.asked <= LAST + 3
        for cut, page in enumerate(pages[:-1]):
            rest = await fetch(declaration, json.loads(json.dumps(page.cursor)))
            assert ids(rest) == ids(pages[cut + 1 :])
            assert codes(rest) == []
        declared = declare(f"{server.url}/all", params=declaration.params, pagination=dict(found))
        if found["type"] != "offset" and found.get("start") != 0:
            assert ids(await fetch(declared)) == list(range(TOTAL))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([{"id": 1}], "so there is one$"),
        ({"items": [{"id": 1}], "next": None}, "so there is one$"),
        ({"items": [{"id": 1}], "page": 7}, "so there is one$"),
        ({"items": [{"id": 1}], "next_page": 7}, "so there is one$"),
        ({"items": [{"id": 1}], "next": True}, "so there is one$"),
        ({"items": [{"id": 1}], "next": "soon"}, "so there is one$"),
        ({"items": [{"id": 1}], "total": 9}, "there are 9 records, and 1 came"),
        ({"items": [], "cursor": "x"}, "so there is one$"),
    ],
)
async def test_where_nothing_shows_there_is_one_page_and_that_is_said(answer, said):
    async def handler(_request: web.Request) -> web.Response:
        return json_answer(answer)

    async with serve(handler) as server:
        pages = await fetch(declare(server.url, pagination="auto"))
    assert [page.cursor for page in pages] == [None]
    assert codes(pages) == [NoticeCode.PAGINATION_NOT_DETECTED]
    assert (
        pages[0].notices[0].message.endswith(said.rstrip("$"))
        or said.rstrip("$") in pages[0].notices[0].message
    )
    assert len(server.requests) == 1


async def test_a_parameter_guessed_wrongly_is_noticed_within_two_requests():
    async def deaf(_request: web.Request) -> web.Response:
        return json_answer({"items": [{"id": 1}], "next_cursor": "always"})

    async with serve(deaf) as server:
        pages, error = await collected(declare(server.url, pagination="auto"))
    assert ids(pages) == [1]
    assert isinstance(error, PaginationLoop)
    assert len(server.requests) <= 1 + EXTRA


async def test_a_next_page_elsewhere_is_not_followed_by_auto_either():
    async def handler(_request: web.Request) -> web.Response:
        return json_answer({"items": [{"id": 1}], "next": "http://169.254.169.254/latest"})

    async with serve(handler) as server:
        _, error = await collected(declare(server.url, pagination="auto"))
    assert isinstance(error, ForeignOrigin)


async def test_a_cursor_of_auto_that_was_tampered_with_starts_from_the_beginning():
    api = Shaped("page and total_pages")
    async with serve(api) as server:
        for cursor in ({"auto": {"type": "nonsense"}, "page": 3, "ordinal": 3}, {"page": 3, "ordinal": 3}):
            pages = await fetch(declare(server.url, pagination="auto"), cursor)
            assert ids(pages) == list(range(TOTAL))


# --- where the page is named, and what is declared about the end -----------------------------------------------------------


@dataclass
class Posted:
    """A search that is asked by POST: page, offset or cursor come in the body or in headers."""

    bodies: list[Any] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        self.bodies.append(body)
        asked = body.get("variables", {}) or {name.lower()[2:]: v for name, v in request.headers.items()}
        number = int(asked.get("page", 1))
        if "after" in asked:
            number = int((asked["after"] or [0])[0]) // SIZE + 1
        if "from" in asked:
            number = -(-int(asked["from"]) // SIZE) + 1
        rows = [{"id": n} for n in range((number - 1) * SIZE, min(number * SIZE, TOTAL))]
        sort = [rows[-1]["id"] + 1, "x"] if rows else []
        more = number < LAST
        return json_answer(
            {"items": rows, "sort": sort, "more": more, "next": str(number + 1) if more else ""}
        )


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "page", "in": "body", "param": "variables.page", "has_more": "more"},
        {"type": "page", "in": "body", "param": "variables.page", "size_param": "variables.n", "size": SIZE},
        {"type": "offset", "in": "body", "offset_param": "variables.from", "limit_param": "variables.n", "limit": SIZE},
        {"type": "cursor", "in": "body", "param": "variables.after", "next": "sort", "has_more": "more"},
        {"type": "page", "in": "header", "param": "X-Page", "has_more": "more"},
        {"type": "cursor", "in": "header", "param": "X-Page", "next": "next"},
        {"type": "page", "in": "header", "param": "X-Page", "total": "`47`"},
    ],
)  # fmt: skip
async def test_pages_are_named_in_bodies_and_headers_fetched_ahead_and_resumed(pagination):
    api = Posted()
    body = (
        {"query": "all", "variables": {"keep": [1.5, None]}}
        if pagination["in"] == "body"
        else {"query": "all"}
    )
    async with serve(api) as server:
        declaration = declare(server.url, method="POST", body=body, pagination=pagination)
        pages = await fetch(declaration)
        assert ids(pages) == list(range(TOTAL))
        assert {request.path_qs for request in server.requests} == {"/"}
        for cut, page in enumerate(pages[:-1]):
            assert ids(await fetch(declaration, json.loads(json.dumps(page.cursor)))) == ids(pages[cut + 1 :])
    assert all(sent["query"] == "all" for sent in api.bodies)
    if pagination["in"] == "body":
        assert all(sent["variables"]["keep"] == [1.5, None] for sent in api.bodies)


@pytest.mark.parametrize(
    ("pagination", "requests"),
    [
        ({"type": "page", "total": "total"}, 5),
        ({"type": "page", "has_more": "more"}, 5),
        ({"type": "page"}, 6),
        ({"type": "offset", "limit": 10, "total": "total"}, 5),
    ],
)
async def test_a_declared_end_spares_the_request_that_confirms_it(pagination, requests):
    api = ByNumber(50, 10, "empty") if pagination["type"] == "page" else ByOffset(50, 10, "empty")
    api.answer = lambda number, _more: (  # type: ignore[method-assign]
        api.asked.append(number) or json_answer({"items": api.page(number), "total": 50, "more": number < 5})
    )
    async with serve(api) as server:
        pages = await fetch(declare(server.url, pagination=pagination, rate_limit={"concurrency": 1}))
    assert ids(pages) == list(range(50))
    assert len(api.asked) == requests


@pytest.mark.parametrize("pagination", [{"type": "page"}, {"type": "auto"}, {"type": "link_header"}])
async def test_max_pages_ends_the_fetch_and_says_so(pagination):
    api = Shaped("link header")
    async with serve(api) as server:
        pages = await fetch(declare(f"{server.url}/all", pagination={**pagination, "max_pages": 3}))
    assert ids(pages) == list(range(30))
    assert pages[-1].cursor is None
    assert codes(pages)[-1] is NoticeCode.PAGES_LEFT_OUT
    assert api.asked == 3


@pytest.mark.parametrize("total", [30, 25], ids=["full pages", "a short one at the end"])
@pytest.mark.parametrize("told", [{}, {"total": "total"}, {"size_param": "size", "size": 10}], ids=str)
@pytest.mark.parametrize("snapshot", [True, False])
async def test_a_refusal_is_no_proof_that_a_snapshot_is_whole(snapshot, told, total):
    """Whatever else the source had behind it would be deleted."""
    api = ByNumber(total, 10, "empty", tells_total="total" in told)
    answered = api.answer

    def refusing(number: int, more: dict[str, Any]) -> web.Response:
        return answered(number, more) if number <= api.last else web.Response(status=404)

    api.answer = refusing  # type: ignore[method-assign]
    async with serve(api) as server:
        pages = await fetch(declare(server.url, pagination={"type": "page", **told}, snapshot=snapshot))
    assert ids(pages) == list(range(total))
    open_end = snapshot and ("total" not in told) and (total == 30 or "size" not in told)
    assert codes(pages) == ([NoticeCode.PAGES_LEFT_OUT] if open_end else [])


async def test_max_pages_that_nobody_reaches_says_nothing():
    api = Shaped("link header")
    async with serve(api) as server:
        pages = await fetch(
            declare(f"{server.url}/all", pagination={"type": "link_header", "max_pages": LAST})
        )
    assert (ids(pages), codes(pages)) == (list(range(TOTAL)), [])


async def test_a_misspelt_has_more_fails_the_run_instead_of_ending_the_data():
    async with serve(ByNumber(50, 10, "empty")) as server:
        _, error = await collected(declare(server.url, pagination={"type": "page", "has_more": "mor"}))
    assert isinstance(error, UnexpectedContent)
