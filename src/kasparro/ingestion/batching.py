"""Pages in, hauls out: as many records as one transaction commits, or as few as have come when the interval is over.

Fetching runs ahead of the writing by a bounded number of pages, so memory is bounded whatever the size of the source.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from kasparro.core.cancelling import cancelled
from kasparro.core.clock import monotonic
from kasparro.core.errors import RunInterrupted
from kasparro.schemas.ingest import Cursor, Notice, Page, RawRecord, Reject

PAGES_AHEAD = 2
"""Pages that wait while a haul is at work; of small ones, as many as come to a haul."""


@dataclass(frozen=True, slots=True)
class Haul:
    """What is committed together. `cursor` resumes after it; `complete`: the source has nothing more.

    `unchanged` records were found to be as they are stored without being read.
    """

    records: Sequence[RawRecord]
    rejects: Sequence[Reject]
    cursor: Cursor | None
    complete: bool
    unchanged: int = 0
    notices: Sequence[Notice] = ()
    mark: datetime | None = None
    known_until: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """When a haul is full: so many records, or so many seconds after its first page."""

    records: int
    seconds: float
    clock: Callable[[], float] = monotonic


@dataclass(frozen=True, slots=True)
class _End:
    """What the fetching task leaves behind: nothing more to come, or why it stopped."""

    error: Exception | None = None


@dataclass(slots=True)
class _Pile:
    """The pages of the haul being gathered. `moved`: there are some, if only empty ones, that the cursor has passed."""

    cursor: Cursor | None
    moved: bool = False
    started: float = 0.0
    records: list[RawRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    unchanged: int = 0
    notices: list[Notice] = field(default_factory=list)
    mark: datetime | None = None
    known_until: int | None = None

    def __len__(self) -> int:
        return len(self.records) + len(self.rejects)

    @property
    def pending(self) -> bool:
        """Whether there is anything to commit."""
        return bool(len(self) or self.notices or self.moved)

    def has_no_room_for(self, page: Page, most: int) -> bool:
        return 0 < len(self) > most - len(page.records)

    def move(self, page: Page) -> None:
        """All of *page* has been added."""
        self.cursor, self.mark = page.cursor, page.mark
        self.moved = self.moved or page.cursor is not None

    def add(self, page: Page) -> None:
        self.records.extend(page.records)
        self.rejects.extend(page.rejects)
        self.unchanged += page.unchanged
        self.notices.extend(page.notices)
        self.known_until = page.known_until

    def take(self, size: int | None = None, *, complete: bool = False) -> Haul:
        """Hand out the first *size* records (`None`: all) and keep the rest."""
        haul = Haul(
            records=self.records[:size],
            rejects=self.rejects,
            cursor=self.cursor,
            complete=complete,
            unchanged=self.unchanged,
            notices=tuple(self.notices),
            mark=self.mark,
            known_until=self.known_until,
        )
        self.records = [] if size is None else self.records[size:]
        self.rejects = []
        self.unchanged = 0
        self.notices = []
        self.moved = False
        return haul


async def hauls(
    pages: AsyncGenerator[Page], after: Cursor | None, pace: Pace, stop: asyncio.Event
) -> AsyncGenerator[Haul]:
    """Gather *pages* into hauls. What was fetched before a source failed is handed out before its error is raised.

    Setting *stop* ends the fetching at once: what has been gathered is handed out, then `RunInterrupted` is raised.
    """
    pile = _Pile(cursor=after)
    async with _fetching(pages, _Ahead(pace.records), stop) as queue:
        while not isinstance(item := await _next(queue, pile, pace), _End):
            due = pile.pending if item is None else pile.has_no_room_for(item, pace.records)
            if due:
                yield pile.take()
            if item is not None:
                for haul in _pile_up(pile, item, pace):
                    yield haul
        if item.error is None or pile.pending:
            yield pile.take(complete=item.error is None)
        if item.error is not None:
            raise item.error


def _pile_up(pile: _Pile, page: Page, pace: Pace) -> Iterator[Haul]:
    """Add *page*. One larger than a haul goes out in parts, and only the last part moves the cursor."""
    if not pile.pending:
        pile.started = pace.clock()
    pile.add(page)
    while len(pile.records) > pace.records:
        yield pile.take(pace.records)
    pile.move(page)
    if len(pile) >= pace.records:
        yield pile.take()


async def _next(queue: asyncio.Queue[Page | _End], pile: _Pile, pace: Pace) -> Page | _End | None:
    """The next page, the end, or `None` when the interval of a pile that has begun is over."""
    if not pile.pending:
        return await queue.get()
    try:
        async with asyncio.timeout(max(0.0, pile.started + pace.seconds - pace.clock())):
            return await queue.get()
    except TimeoutError:
        return None


class _Ahead(asyncio.Queue[Page | _End]):
    """Pages that wait for their turn. Full when they are `PAGES_AHEAD` and come to a haul, so the next one is soon there."""

    def __init__(self, records: int) -> None:
        super().__init__()
        self._most = records
        self._waiting = 0

    def full(self) -> bool:
        return self.qsize() >= PAGES_AHEAD and self._waiting >= self._most

    def _put(self, item: Page | _End) -> None:
        super()._put(item)
        self._waiting += _records(item)

    def _get(self) -> Page | _End:
        item = super()._get()
        self._waiting -= _records(item)
        return item


def _records(item: Page | _End) -> int:
    return len(item.records) if isinstance(item, Page) else 0


@asynccontextmanager
async def _fetching(
    pages: AsyncGenerator[Page], queue: asyncio.Queue[Page | _End], stop: asyncio.Event
) -> AsyncIterator[asyncio.Queue[Page | _End]]:
    """Fetch into *queue*, in a task of its own, as long as the context lasts."""
    task = asyncio.create_task(_fetch_until(stop, pages, queue), name="fetch")
    try:
        yield queue
    finally:
        await cancelled(task)


async def _fetch_until(
    stop: asyncio.Event, pages: AsyncGenerator[Page], queue: asyncio.Queue[Page | _End]
) -> None:
    fetching = asyncio.create_task(_fetch(pages, queue))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not fetching.done()
    finally:
        await cancelled(stopping)
        await cancelled(fetching)
    await queue.put(_End(RunInterrupted()) if interrupted else fetching.result())


async def _fetch(pages: AsyncGenerator[Page], queue: asyncio.Queue[Page | _End]) -> _End:
    async with aclosing(pages):
        try:
            async for page in pages:
                await queue.put(page)
        except Exception as error:  # noqa: BLE001  # a task boundary: whoever gathers the pages raises it again
            return _End(error)
        return _End()
