"""Several sequences of pages at once, handed on one after the other: openers in, pages out in the order of the openers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from kasparro.schemas.ingest import Page

PAGES_KEPT = 1
"""Pages of a sequence that wait for their turn; it rests until they are taken."""

Opener = Callable[[], AsyncGenerator[Page]]


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Feed:
    """One sequence, read by a task of its own."""

    queue: asyncio.Queue[Page | _End]
    task: asyncio.Task[None]


async def side_by_side(following: Callable[[], Awaitable[Opener | None]], most: int) -> AsyncGenerator[Page]:
    """At most *most* sequences are read at once; *following* gives the next, `None` when there is none.

    A sequence that fails ends the others when its turn comes; the pages before it have been handed on.
    """
    feeds: deque[_Feed] = deque()
    more = True
    try:
        while True:
            while more and len(feeds) < most:
                opener = await following()
                more = opener is not None
                if opener is not None:
                    feeds.append(_started(opener))
            if not feeds:
                return
            while not isinstance(item := await feeds[0].queue.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
            feeds.popleft()
    finally:
        for feed in feeds:
            feed.task.cancel()
        await asyncio.gather(*(feed.task for feed in feeds), return_exceptions=True)


def _started(opener: Opener) -> _Feed:
    queue: asyncio.Queue[Page | _End] = asyncio.Queue(PAGES_KEPT)
    return _Feed(queue, asyncio.create_task(_feed(opener, queue), name="sequence"))


async def _feed(opener: Opener, queue: asyncio.Queue[Page | _End]) -> None:
    error = None
    async with aclosing(opener()) as pages:
        try:
            async for page in pages:
                await queue.put(page)
        except Exception as failure:  # noqa: BLE001  # a task boundary: whoever takes the pages raises it again
            error = failure
    await queue.put(_End(error))
