"""Which pages are under way when, with a fetch that ends when the test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from yarl import URL

from kasparro.core.errors import PermanentSourceError
from kasparro.ingestion.sources.envelope import EMPTY, Envelope
from kasparro.ingestion.sources.fetching_ahead import ROOM, UNPROVED, FetchingAhead
from kasparro.ingestion.sources.json_records import Document
from kasparro.ingestion.sources.places import Answer, Outlook, Place

pytestmark = pytest.mark.anyio

UNKNOWN = Outlook(1, None)
FULL = Envelope(Document(b"[1]", None), [b"1"])


class Pages:
    """What was asked for, in order, and an answer to each when it is given."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: dict[int, asyncio.Future[Answer]] = {}

    async def fetch(self, at):
        self.asked.append(at)
        return await self.answers.setdefault(at, asyncio.get_running_loop().create_future())

    def give(self, at, envelope=FULL, content=None):
        """Every page holds something else, unless *content* says what."""
        future = self.answers.setdefault(at, asyncio.get_running_loop().create_future())
        digest = (content or str(at)).encode() if envelope.elements else None
        future.set_result(Answer(URL(f"http://h.example/{at}"), {}, replace(envelope, digest=digest)))

    @staticmethod
    def is_last(place, answer):
        """Each answer is asked at its own place."""
        assert str(place.at) == answer.url.name
        return answer.envelope.pages == place.at

    def fail(self, at):
        future = self.answers.setdefault(at, asyncio.get_running_loop().create_future())
        future.set_exception(PermanentSourceError(f"page {at}"))


@asynccontextmanager
async def fetching(concurrency, known=frozenset()):
    pages = Pages()
    async with FetchingAhead(pages.fetch, concurrency, known.__contains__, pages.is_last) as ahead:
        yield pages, ahead
    assert all(future.done() for at, future in pages.answers.items() if at in pages.asked)


async def idle():
    for _ in range(5):
        await asyncio.sleep(0)


async def handed(pages, ahead, until, outlook):
    """Hand out the pages up to *until*."""
    for at in range(1, until + 1):
        pages.give(at)
        await ahead.page(Place(at), outlook if at > 1 else None)


async def waiting_for(pages, ahead, at, outlook):
    """The pages that are under way while the one at *at* is waited for."""
    task = asyncio.create_task(ahead.page(Place(at), outlook))
    await idle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return [asked for asked in pages.asked if asked >= at]


async def test_the_first_page_goes_out_alone():
    async with fetching(8) as (pages, ahead):
        assert await waiting_for(pages, ahead, 1, None) == [1]


async def test_where_the_end_is_not_known_the_second_page_goes_out_alone_too():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 1, UNKNOWN)
        assert await waiting_for(pages, ahead, 2, UNKNOWN) == [2]


async def test_where_the_end_is_not_known_two_pages_are_under_way_the_one_waited_for_included():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, UNKNOWN)
        assert await waiting_for(pages, ahead, 3, UNKNOWN) == list(range(3, 3 + UNPROVED))


async def test_pages_that_came_early_with_something_new_make_room_for_as_many_more():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, UNKNOWN)
        pages.give(3)
        pages.give(4)
        await ahead.page(Place(3), UNKNOWN)
        await idle()
        assert await waiting_for(pages, ahead, 4, UNKNOWN) == [4, 5, 6]


@pytest.mark.parametrize("content", ["2", "3"])
async def test_a_page_that_came_early_and_was_there_before_proves_nothing(content):
    async with fetching(8, known={b"1", b"2"}) as (pages, ahead):
        await handed(pages, ahead, 2, UNKNOWN)
        pages.give(3, content="3")
        pages.give(4, content=content)
        await ahead.page(Place(3), UNKNOWN)
        await idle()
        known_now = await waiting_for(pages, ahead, 4, UNKNOWN)
        assert known_now == ([4, 5] if content == "2" else [4, 5, 6])


async def test_where_the_end_is_known_and_paging_works_as_many_as_declared_are_under_way():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 1, Outlook(1, 100))
        assert await waiting_for(pages, ahead, 2, Outlook(1, 100)) == [2, 3]
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, 100))
        assert await waiting_for(pages, ahead, 3, Outlook(1, 100)) == list(range(3, 11))


async def test_nothing_is_asked_for_that_is_not_wanted_and_wanting_is_no_proof_that_it_is_there():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, 100, 5))
        assert await waiting_for(pages, ahead, 3, Outlook(1, 100, 5)) == [3, 4]
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, None, 50))
        assert await waiting_for(pages, ahead, 3, Outlook(1, None, 50)) == [3, 4]


@pytest.mark.parametrize("end", [2, 3, 4, 5])
async def test_nothing_is_asked_for_from_the_known_end_on(end):
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, end))
        assert await waiting_for(pages, ahead, 3, Outlook(1, end)) == list(range(3, max(end, 4)))


async def test_an_end_once_known_is_not_moved_further_off():
    async with fetching(8) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, 5))
        assert await waiting_for(pages, ahead, 3, Outlook(1, 100)) == [3, 4]


@pytest.mark.parametrize(("concurrency", "under_way"), [(1, [3]), (2, [3, 4]), (3, [3, 4, 5])])
async def test_never_more_than_declared_are_under_way(concurrency, under_way):
    for outlook, most in ((UNKNOWN, UNPROVED), (Outlook(1, 100), 100)):
        async with fetching(concurrency) as (pages, ahead):
            await handed(pages, ahead, 2, outlook)
            assert await waiting_for(pages, ahead, 3, outlook) == under_way[:most]


@pytest.mark.parametrize(("share", "under_way"), [(2, [3, 4, 5]), (1, [3, 4]), (0.9, [3])])
async def test_large_pages_are_fetched_fewer_at_once(share, under_way):
    large = Envelope(Document(b" " * int(ROOM / share), None), [b"1"])
    async with fetching(8) as (pages, ahead):
        pages.give(1, large)
        await ahead.page(Place(1), None)
        pages.give(2)
        await ahead.page(Place(2), None)
        assert await waiting_for(pages, ahead, 3, Outlook(1, 100)) == under_way


LEADS_NOWHERE = {
    "empty": lambda pages: pages.give(4, EMPTY),
    "failed": lambda pages: pages.fail(4),
    "last": lambda pages: pages.give(4, replace(FULL, pages=4)),
}


@pytest.mark.parametrize("gone", LEADS_NOWHERE)
async def test_nothing_is_asked_for_beyond_a_page_that_came_early_and_leads_nowhere(gone):
    async with fetching(4) as (pages, ahead):
        await handed(pages, ahead, 2, UNKNOWN)
        task = asyncio.create_task(ahead.page(Place(3), UNKNOWN))
        await idle()
        LEADS_NOWHERE[gone](pages)
        pages.give(3)
        await task
        task = asyncio.create_task(ahead.page(Place(4), UNKNOWN))
        await asyncio.gather(task, return_exceptions=True)
        assert pages.asked == [1, 2, 3, 4]


async def test_an_error_waits_for_its_turn():
    async with fetching(4) as (pages, ahead):
        await handed(pages, ahead, 2, Outlook(1, 100))
        pages.fail(5)
        for at in (3, 4):
            pages.give(at)
            await ahead.page(Place(at), Outlook(1, 100))
        with pytest.raises(PermanentSourceError, match="page 5"):
            await ahead.page(Place(5), Outlook(1, 100))


async def test_what_was_foretold_wrongly_is_cancelled_and_nothing_is_foretold_any_more():
    async with fetching(4) as (pages, ahead):
        for at in (0, 10, 20):
            pages.give(at)
            await ahead.page(Place(at), Outlook(10, 1000) if at else None)
        assert pages.asked == [0, 10, 20, 30, 40, 50]
        await idle()
        pages.give(27)
        await ahead.page(Place(27), Outlook(7, 1000))
        assert [pages.answers[at].cancelled() for at in (30, 40, 50)] == [True] * 3
        pages.give(34)
        await ahead.page(Place(34), Outlook(7, 1000))
        assert pages.asked == [0, 10, 20, 30, 40, 50, 27, 34]


async def test_leaving_cancels_what_is_under_way_and_waits_for_its_end():
    before = asyncio.all_tasks()
    async with fetching(4) as (pages, ahead):
        await handed(pages, ahead, 3, Outlook(1, 100))
        pages.fail(4)  # an error that nobody asks for any more is no warning either
        await idle()
    assert asyncio.all_tasks() == before
    assert [pages.answers[at].cancelled() for at in (5, 6)] == [True, True]
