"""Pages of the feed: read once for all who ask, few at a time, kept for a moment, left when nobody waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from kasparro.api.change_events import HEARTBEAT
from kasparro.api.feed import Feed, FeedTiming
from kasparro.api.feed_pages import READERS, Pages
from kasparro.core.errors import DatabaseUnavailable
from kasparro.schemas.changes import Change, Changed, ChangeOp, FeedPosition, Place
from kasparro.schemas.query import Condition, Field, Op, RecordQuery

pytestmark = pytest.mark.anyio

ALL = RecordQuery()
START = FeedPosition()


def asking(number):
    return RecordQuery(where=(Condition(Field("title"), Op.EQ, (str(number),)),))


@dataclass
class Dataset:
    """Answers when it may, with a page of one change; the last says that there is nothing more."""

    last: int = 3
    free: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[RecordQuery, FeedPosition]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    error: Exception | None = None

    async def read(self, query, position, limit):
        self.asked.append((query, position))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.free.wait()
        finally:
            self.under_way -= 1
        if self.error:
            raise self.error
        number = position.places["a"].id + 1 if position.places else 1
        place = Place(1, 1, number, walking=True)
        change = Change(ChangeOp.UPSERT, "a", place, 1, number, str(number), '{"id":1}' + " " * 1000)
        return Changed(position, [change], position.moved("a", place), number < self.last)

    async def now(self, query):
        return START


@pytest.fixture
def dataset():
    return Dataset()


@pytest.fixture
async def pages(dataset):
    opened = Pages(dataset)
    yield opened
    await opened.close()


async def ask(pages, query=ALL, position=START):
    with pages.behind(query, position) as reading:
        await asyncio.wait((reading,))
        return reading.result()


async def until(condition):
    """Wait for what has no event."""
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0)


async def started(dataset, count):
    await until(lambda: len(dataset.asked) >= count)


async def test_who_asks_for_the_same_gets_the_same_of_one_reading(pages, dataset):
    asked = [asyncio.create_task(ask(pages)) for _ in range(50)]
    await started(dataset, 1)
    dataset.free.set()
    first, *others = await asyncio.gather(*asked)
    assert all(other is first for other in others)
    assert len(dataset.asked) == 1


async def test_few_are_read_at_a_time(pages, dataset):
    asked = [asyncio.create_task(ask(pages, asking(number))) for number in range(20)]
    await started(dataset, READERS)
    dataset.free.set()
    await asyncio.gather(*asked)
    assert (len(dataset.asked), dataset.most) == (20, READERS)


async def test_a_page_is_kept(pages, dataset):
    dataset.free.set()
    for _ in range(3):
        position = START
        for _ in range(dataset.last):
            position = (await ask(pages, ALL, position)).changed.after
    assert len(dataset.asked) == dataset.last


async def test_what_is_kept_has_little_room_and_expires(dataset):
    dataset.last = 1000
    dataset.free.set()
    pages = Pages(dataset, room=20_000, seconds=0.01)
    position = START
    for _ in range(20):
        position = (await ask(pages, ALL, position)).changed.after
        assert pages.bytes <= 20_000
    assert pages.bytes > 0
    await until(lambda: not pages.bytes)
    await ask(pages)
    assert len(dataset.asked) == 21
    await pages.close()


async def test_who_leaves_disturbs_nobody_and_the_last_ends_the_reading(pages, dataset):
    one, other = asyncio.create_task(ask(pages)), asyncio.create_task(ask(pages))
    await started(dataset, 1)
    one.cancel()
    await asyncio.wait((one,))
    assert dataset.under_way == 1
    other.cancel()
    await asyncio.wait((other,))
    await until(lambda: not dataset.under_way)

    dataset.free.set()
    assert (await ask(pages)).changed.changes
    assert len(dataset.asked) == 2


async def test_an_error_is_told_to_all_who_wait_and_kept_for_nobody(pages, dataset):
    dataset.error = DatabaseUnavailable("away")
    asked = [asyncio.create_task(ask(pages)) for _ in range(3)]
    dataset.free.set()
    assert all(
        isinstance(e, DatabaseUnavailable) for e in await asyncio.gather(*asked, return_exceptions=True)
    )
    dataset.error = None
    assert (await ask(pages)).changed.changes


async def test_who_waits_for_a_page_has_a_heartbeat(dataset):
    feed = Feed(dataset, "", FeedTiming(heartbeat=0.01, lifetime=0))
    stream = feed.stream(ALL, await feed.begin(ALL, START))
    assert (await anext(stream)).startswith(b"retry: ")
    assert [await anext(stream), await anext(stream)] == [HEARTBEAT, HEARTBEAT]
    dataset.free.set()
    while (part := await anext(stream)) == HEARTBEAT:
        pass
    assert b"event: upsert" in part
    assert [part async for part in stream] == []
    await feed.close()
