"""Pages fetched ahead, against real servers that count: order, number of requests, politeness, errors, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from integration.api_server import NOW, Naps, declare, fetch, ids, json_answer, serve
from kasparro.core.errors import PaginationLoop, PermanentSourceError, SourceError, SourceParked
from kasparro.core.etl_config import CONCURRENCY, ApiSource
from kasparro.ingestion.http.gate import Waiting, gate_of
from kasparro.ingestion.limits import LocalLimits
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.limits import Policy

pytestmark = pytest.mark.anyio

IN_VAIN = 2
"""Requests that are allowed to lead nowhere where the end is not told."""

TELLS: dict[str, Callable[[list[Any], int, int], web.Response]] = {
    "nothing": lambda rows, _total, _pages: json_answer(rows),
    "a total": lambda rows, total, _pages: json_answer({"data": rows, "total": total}),
    "a number of pages": lambda rows, _total, pages: json_answer({"data": rows, "total_pages": pages}),
    "a total in a header": lambda rows, total, _pages: json_answer(
        rows, headers={"X-Total-Count": str(total)}
    ),
    "pages in a header": lambda rows, _total, pages: json_answer(rows, headers={"X-Total-Pages": str(pages)}),
    "a total that is too large": lambda rows, total, _: json_answer({"data": rows, "total": total * 3 + 50}),
    "a total that is too small": lambda rows, total, _: json_answer({"data": rows, "total": total // 2}),
    "the count of the page as a total": lambda rows, _, __: json_answer({"data": rows, "total": len(rows)}),
}
END_KNOWN = ("a total", "a number of pages", "a total in a header", "pages in a header")


@dataclass
class Collection:
    """*total* records by page (from 1) or by offset. It counts what it is asked, and how much of it at once."""

    total: int
    size: int = 10
    tells: str = "nothing"
    latency: Callable[[int], float] = field(default=lambda _page: 0.0)
    asked: list[int] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    async def __call__(self, request: web.Request) -> web.Response:
        query = request.query
        first = int(query["offset"]) if "offset" in query else (int(query["page"]) - 1) * self.size
        self.asked.append(first // self.size + 1)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer(first // self.size + 1, first)
        finally:
            self.under_way -= 1

    async def answer(self, page: int, first: int) -> web.Response:
        await asyncio.sleep(self.latency(page))
        rows = [{"id": number} for number in range(first, min(first + self.size, self.total))]
        return TELLS[self.tells](rows, self.total, -(-self.total // self.size))


def by_page(url: str, size: int | None = 10, **keys: Any) -> ApiSource:
    sized = {} if size is None else {"size_param": "size", "size": size}
    return declare(url, pagination={"type": "page", **sized}, **keys)


def by_offset(url: str, size: int = 10, **keys: Any) -> ApiSource:
    return declare(url, pagination={"type": "offset", "limit": size}, **keys)


async def fetched_before(declaration: ApiSource) -> tuple[list[Any], SourceError]:
    return await before_the_error(ApiPages(declaration, Naps().waiting()))


async def before_the_error(source: ApiPages) -> tuple[list[Any], SourceError]:
    """The ids that came before the error, and the error."""
    pages = []
    try:
        async for page in source.pages(None):
            pages.append(page)  # noqa: PERF401  # what came before the error counts
    except SourceError as error:
        return ids(pages), error
    raise AssertionError("it went well")


# --- every record, once, in order -----------------------------------------------------------------------------------------


@given(
    total=st.integers(0, 95),
    size=st.integers(1, 12),
    declared=st.booleans(),
    offset=st.booleans(),
    tells=st.sampled_from(sorted(TELLS)),
    concurrency=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40)
def test_whatever_the_sizes_totals_and_latencies_every_record_comes_once_in_order_and_every_cursor_resumes(
    total, size, declared, offset, tells, concurrency, seed
):
    async def check():
        dice = random.Random(seed)
        api = Collection(total, size, tells, latency=lambda _: dice.choice((0, 0, 0.001, 0.003)))
        async with serve(api) as server:
            limit = {"concurrency": concurrency}
            declaration = (
                by_offset(server.url, size, rate_limit=limit)
                if offset
                else by_page(server.url, size if declared else None, rate_limit=limit)
            )
            pages = await fetch(declaration)
            assert ids(pages) == list(range(total))
            assert [record.origin.page for page in pages for record in page.records] == [
                number // size + 1 for number in range(total)
            ]
            assert max(Counter(server.paths).values()) == 1
            assert api.most <= concurrency
            needed = max(page.records[0].origin.page for page in pages if page.records) if total else 0
            assert len(api.asked) <= needed + 1 + max(IN_VAIN, concurrency - 1)
            cut = dice.randrange(len(pages))
            if pages[cut].cursor is not None:
                assert ids(await fetch(declaration, pages[cut].cursor)) == ids(pages[cut + 1 :])

    with capture_logs():
        asyncio.run(check())


@pytest.mark.parametrize("declared", [by_page, by_offset])
async def test_a_run_that_ends_anywhere_is_finished_by_the_next(declared):
    api = Collection(95, tells="a total", latency=lambda page: 0.002 * (page % 3))
    async with serve(api) as server:
        declaration = declared(server.url)
        for number in range(1, 10):
            pages = ApiPages(declaration).pages(None)
            async with contextlib.aclosing(pages):
                came = [await anext(pages) for _ in range(number)]
            rest = await fetch(declaration, came[-1].cursor)
            assert ids(came) + ids(rest) == list(range(95))


# --- how many requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells", END_KNOWN)
@pytest.mark.parametrize("total", [1, 9, 11, 21, 95, 239])
async def test_where_the_end_is_told_no_request_goes_beyond_it(tells, total):
    api = Collection(total, tells=tells)
    async with serve(api) as server:
        pages = await fetch(by_page(server.url, rate_limit={"concurrency": 8}))
        assert ids(pages) == list(range(total))
    confirming = (
        1 if total < api.size else 0
    )  # no full page yet: it may be that the source does not heed the size
    assert sorted(api.asked) == list(range(1, -(-total // 10) + 1 + confirming))


@pytest.mark.parametrize("tells", END_KNOWN)
async def test_a_full_last_page_is_confirmed_by_one_request_whatever_the_total_says(tells):
    api = Collection(90, tells=tells)
    async with serve(api) as server:
        await fetch(by_page(server.url, rate_limit={"concurrency": 8}))
    assert sorted(api.asked) == list(range(1, 11))


@pytest.mark.parametrize("declared", [by_page, by_offset])
@pytest.mark.parametrize("total", [21, 30, 95, 100])
async def test_where_the_end_is_not_told_two_requests_at_most_are_in_vain(declared, total):
    api = Collection(total)
    async with serve(api) as server:
        assert ids(await fetch(declared(server.url, rate_limit={"concurrency": 8}))) == list(range(total))
    needed = total // api.size + 1
    assert needed <= len(api.asked) <= needed + IN_VAIN


@pytest.mark.parametrize("total", [35, 40])
@pytest.mark.parametrize("declared", [by_page, by_offset])
async def test_behind_a_last_page_that_came_before_its_turn_nothing_is_asked_for(declared, total):
    """The page before it comes late. That it is the last one shows by `has_more`, or because it is short."""
    last_goes, last_came = asyncio.Event(), asyncio.Event()

    class Late(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            if page == 3:
                await last_came.wait()
            if page == 4:
                last_goes.set()
            rows = [{"id": number} for number in range(first, min(first + self.size, self.total))]
            return json_answer({"data": rows, **({"more": page < 4} if total == 40 else {})})

    api = Late(total)
    async with serve(api) as server:
        declaration = declared(server.url, rate_limit={"concurrency": 8})
        if total == 40:
            ends = declaration.pagination.model_copy(update={"has_more": "more"})
            declaration = declaration.model_copy(update={"pagination": ends})
        fetching = asyncio.create_task(fetch(declaration))
        await last_goes.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        last_came.set()
        assert ids(await fetching) == list(range(total))
    assert api.asked == [1, 2, 3, 4]


@pytest.mark.parametrize("tells", ["nothing", "a total"])
async def test_a_source_with_one_page_is_asked_as_often_as_without_fetching_ahead(tells):
    for declared, requests in ((by_page, 2), (by_offset, 2)):
        api = Collection(4, tells=tells)
        async with serve(api) as server:
            await fetch(declared(server.url))
        assert len(api.asked) == requests


async def test_the_first_page_alone_costs_one_request():
    api = Collection(1000, tells="a total")
    async with serve(api) as server:
        pages = ApiPages(by_page(server.url)).pages(None)
        await anext(pages)
        await pages.aclose()
    assert api.asked == [1]


async def test_an_api_that_repeats_its_last_page_for_ever_is_left_after_two_requests_in_vain():
    class Clamped(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            return await super().answer(min(page, 5), min(first, 40))

    api = Clamped(50)
    async with serve(api) as server:
        fetched, error = await fetched_before(by_page(server.url, None, rate_limit={"concurrency": 8}))
    assert fetched == list(range(50))
    assert isinstance(error, PaginationLoop)
    assert len(api.asked) <= 6 + IN_VAIN


async def test_an_api_that_does_not_heed_the_page_is_left_before_many_are_under_way():
    class Deaf(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            return await super().answer(1, 0)

    api = Deaf(500, tells="a total")
    async with serve(api) as server:
        fetched, error = await fetched_before(by_page(server.url, rate_limit={"concurrency": 8}))
    assert fetched == list(range(10))
    assert isinstance(error, PaginationLoop)
    assert len(api.asked) <= 2 + IN_VAIN


async def test_an_offset_that_was_foretold_wrongly_costs_few_requests_and_no_record():
    class Uneven(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            rows = [{"id": n} for n in range(first, min(first + 7 + first % 4, self.total))]
            return json_answer({"data": rows, "total": self.total})

    api = Uneven(200)
    async with serve(api) as server:
        assert ids(await fetch(by_offset(server.url, 50))) == list(range(200))
    steps, at = 1, 0
    while at < 200:
        steps, at = steps + 1, at + 7 + at % 4
    assert len(api.asked) <= steps + CONCURRENCY


# --- how many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, {"concurrency": 1}, {"concurrency": 2}, {"concurrency": 9}])
async def test_as_many_requests_as_declared_are_under_way_at_once_and_never_more(limit):
    most = CONCURRENCY if limit is None else limit["concurrency"]
    together = asyncio.Event()

    class Gated(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            if self.under_way >= most:
                together.set()
            if page >= 4:
                await together.wait()
            return await super().answer(page, first)

    api = Gated(600, tells="a total")
    async with serve(api) as server:
        assert ids(await fetch(by_page(server.url, rate_limit=limit))) == list(range(600))
    assert api.most == most


async def test_a_page_that_is_not_taken_stops_the_fetching():
    api = Collection(10_000, tells="a total")
    async with serve(api) as server:
        pages = ApiPages(by_page(server.url)).pages(None)
        async with contextlib.aclosing(pages):
            for _ in range(5):
                await anext(pages)
            for _ in range(200):
                await asyncio.sleep(0)
            assert len(api.asked) <= 4 + CONCURRENCY


async def test_connections_are_used_again():
    connections = set()

    class Noted(Collection):
        async def __call__(self, request: web.Request) -> web.Response:
            assert request.transport is not None
            connections.add(request.transport.get_extra_info("peername"))
            return await super().__call__(request)

    async with serve(Noted(500, tells="a total")) as server:
        await fetch(by_page(server.url))
    assert len(connections) <= CONCURRENCY


async def test_pages_ahead_go_through_the_rate_limit():
    naps, asked = Naps(), []

    class Timed(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            asked.append(naps.now())
            return await super().answer(page, first)

    async with serve(Timed(300, tells="a total")) as server:
        limited = by_page(server.url, rate_limit={"requests": 10, "per": "100s", "concurrency": 8})
        assert ids(await fetch(limited, waiting=naps.waiting())) == list(range(300))
    assert len(asked) == 31
    assert naps.taken == [pytest.approx(10.025)] * 30


# --- errors ---------------------------------------------------------------------------------------------------------------


@dataclass
class Failing(Collection):
    """Answers to some pages are errors: *errors* has those of each page, in turn; the last one stays."""

    errors: dict[int, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)

    async def answer(self, page: int, first: int) -> web.Response:
        if errors := self.errors.get(page):
            status, headers = errors[0] if errors[0][0] == 403 else errors.pop(0)
            return json_answer({"message": "no"}, status=status, headers=headers)
        return await super().answer(page, first)


@pytest.mark.parametrize("tells", ["nothing", "a total"])
async def test_a_page_that_fails_ahead_of_its_turn_fails_the_run_only_then(tells):
    api = Failing(300, tells=tells, latency=lambda page: 0.02 * (page == 5), errors={7: [(403, {})]})
    async with serve(api) as server:
        fetched, error = await fetched_before(by_page(server.url))
    assert fetched == list(range(60))
    assert isinstance(error, PermanentSourceError)
    assert "page=7&size=10: answered 403" in str(error)
    assert max(api.asked) <= 7 + CONCURRENCY - 1


async def test_an_error_beyond_the_end_is_none():
    asked_beyond = asyncio.Event()

    class Ends(Failing):
        async def answer(self, page: int, first: int) -> web.Response:
            if page == 5:
                asked_beyond.set()
            if page == 4:
                await asked_beyond.wait()
            return await super().answer(page, first)

    api = Ends(35, errors={page: [(403, {})] for page in range(5, 9)})
    async with serve(api) as server:
        assert ids(await fetch(by_page(server.url))) == list(range(35))


@pytest.mark.parametrize("status", [404, 410, 416])
async def test_a_page_beyond_the_last_may_be_refused_also_ahead_of_its_turn(status):
    api = Failing(40, errors={page: [(status, {})] * 9 for page in range(5, 12)})
    async with serve(api) as server:
        pages = await fetch(by_page(server.url))
    assert (ids(pages), pages[-1].cursor) == (list(range(40)), None)


async def test_a_page_is_tried_again_while_the_others_come():
    naps = Naps()
    api = Failing(300, tells="a total", errors={5: [(500, {}), (500, {})], 6: [(503, {})]})
    async with serve(api) as server:
        assert ids(await fetch(by_page(server.url), waiting=naps.waiting())) == list(range(300))
    assert sorted(naps.taken) == [1.0, 1.0, 2.0]
    assert (api.asked.count(5), api.asked.count(6)) == (3, 2)


@dataclass
class Rest:
    """Sleeps take no time, but for the rest of 17 s that was asked for: that one ends when the test says so."""

    api: Failing
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    backed_off: asyncio.Event = field(default_factory=asyncio.Event)
    asked_meanwhile: list[int] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        if seconds != 17:
            self.backed_off.set()
        else:
            before = len(self.api.asked)
            self.begun.set()
            await self.over.wait()
            self.asked_meanwhile = self.api.asked[before:]


async def test_a_rest_that_one_request_is_asked_for_holds_up_all_of_them():
    """Page 4 is to wait for 17 s. Page 5, which failed, may be tried again at once, and the pages after it are due."""

    class Limited(Failing):
        async def answer(self, page: int, first: int) -> web.Response:
            if {4, 5, 6} <= set(self.asked):
                all_asked.set()
            if page == 4:
                await all_asked.wait()
            elif page in {3, 5, 6}:
                await rest.begun.wait()
            return await super().answer(page, first)

    api = Limited(200, tells="a total", errors={4: [(429, {"Retry-After": "17"})], 5: [(500, {})]})
    rest = Rest(api)
    all_asked = asyncio.Event()
    async with serve(api) as server:
        waiting = Waiting(sleep=rest.sleep, chance=lambda: 0.0, now=lambda: NOW)
        pages = ApiPages(by_page(server.url), waiting).pages(None)
        async with contextlib.aclosing(pages):
            came = [await anext(pages) for _ in range(3)]
            fourth = asyncio.ensure_future(anext(pages))
            await rest.backed_off.wait()
            for _ in range(300):
                await asyncio.sleep(0)
            assert not fourth.done()
            rest.over.set()
            came += [await fourth, *[page async for page in pages]]
    assert ids(came) == list(range(200))
    assert rest.asked_meanwhile == []


async def test_a_rest_that_is_too_long_ends_the_run_without_another_request():
    """Page 5 is told to come back tomorrow; page 4 fails and would be tried again."""
    told = asyncio.Event()

    class Limited(Failing):
        async def answer(self, page: int, first: int) -> web.Response:
            if page == 4:
                await told.wait()
            return await super().answer(page, first)

    api = Limited(200, tells="a total", errors={5: [(429, {"Retry-After": "86400"})], 4: [(500, {})]})

    async def sleep(_seconds: float) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    class Told(LocalLimits):
        async def rest(self, policy: Policy, seconds: float) -> datetime:
            told.set()
            return await super().rest(policy, seconds)

    async with serve(api) as server:
        declaration, waiting = by_page(server.url), Waiting(sleep=sleep)
        gate = gate_of(declaration, Told(), waiting)
        fetched, error = await before_the_error(ApiPages(declaration, waiting, gate=gate))
    assert fetched == list(range(30))
    assert isinstance(error, SourceParked)
    assert error.asked
    assert api.asked.count(4) == api.asked.count(5) == 1


# --- leaving --------------------------------------------------------------------------------------------------------------


async def test_closing_cancels_what_is_under_way_and_leaves_no_task_and_no_connection():
    """The server answers to three pages, then reads until the client hangs up."""
    asked, hung_up = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                page = int(head.partition(b"page=")[2].partition(b"&")[0])
                if page > 3:
                    asked.release()
                    await reader.readexactly(1)
                body = b'{"total": 1000, "data": [{"id": %d}]}' % page
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()
        hung_up.release()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        before = asyncio.all_tasks()
        pages = ApiPages(by_page(f"http://{host}:{port}", 1)).pages(None)
        for _ in range(3):
            await anext(pages)
        under_way = CONCURRENCY - 1
        for _ in range(under_way):
            await asked.acquire()
        await pages.aclose()
        for _ in range(under_way):
            await hung_up.acquire()
        ours = {task for task in asyncio.all_tasks() - before if "answer" not in repr(task.get_coro())}
        assert ours == set()


async def test_a_task_that_is_cancelled_while_it_waits_for_a_page_takes_the_others_along():
    held = asyncio.Event()

    class Holding(Collection):
        async def answer(self, page: int, first: int) -> web.Response:
            if page > 3:
                if self.under_way == CONCURRENCY:
                    held.set()
                await asyncio.Event().wait()
            return await super().answer(page, first)

    async def drain(pages: Any) -> None:
        async with contextlib.aclosing(pages):
            async for _ in pages:
                pass

    async with serve(Holding(1000, tells="a total")) as server:
        task = asyncio.create_task(drain(ApiPages(by_page(server.url)).pages(None)))
        await held.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [
            other.get_name() for other in asyncio.all_tasks() if other.get_name().startswith("page ")
        ] == []
