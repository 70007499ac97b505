"""Pages fetched before their turn: the place of the page whose turn it is in, what was received there out. `api` asks, in order.

The first page goes out alone. Where an answer tells the end, nothing beyond it is fetched ahead. Where none does, at most
`UNPROVED` pages are under way that nothing has shown to be there, the one in hand included: no more requests lead into a circle.
What has come and holds records that no page held before is proof. Behind one that has come and says that it is the last
nothing is asked for. An error waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from kasparro.ingestion.http.body import MIB
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position

UNPROVED: Final = 2
ROOM: Final = 32 * MIB
"""The most that pages fetched ahead should come to, in bytes: large ones are fetched fewer at once."""

_PROVED: Final = 2
"""So many pages handed out show that there is more than one, and that the source heeds the paging."""

Fetch = Callable[[Position], Coroutine[Any, Any, Answer]]
IsLast = Callable[[Place, Answer], bool]


class FetchingAhead:
    """At most *concurrency* pages are under way or kept. Leaving the context cancels what is under way, and waits for its end."""

    def __init__(
        self, fetch: Fetch, concurrency: int, knows: Callable[[bytes], bool], is_last: IsLast
    ) -> None:
        """*knows* says whether a page with these contents, by their digest, was handed out before; *is_last* whether an answer
        leads to no other, as far as that shows before its turn.
        """
        self._fetch = fetch
        self._knows = knows
        self._is_last = is_last
        self._ahead = concurrency - 1
        self._tasks: dict[Position, asyncio.Task[Answer]] = {}
        self._end: int | None = None
        self._largest = 1
        self._handed = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def page(self, place: Place, outlook: Outlook | None) -> Answer:
        """What is at *place*, fetched now or before. *outlook* says where the pages after it will be."""
        if self._tasks and place.at not in self._tasks:
            self._ahead = 0  # foretold wrongly: from now on one after the other
            await self._drop()
        task = self._started(place.at)
        if outlook is not None:
            self._look_ahead(place, outlook)
        answer = await task
        del self._tasks[place.at]
        self._handed += 1
        self._largest = max(self._largest, len(answer.envelope.document.text), answer.envelope.size)
        return answer

    def _look_ahead(self, place: Place, outlook: Outlook) -> None:
        """Start what may be, up to the first page that is known to be the last or to have failed."""
        before = self._tasks[place.at]
        unproved, contents = 0, set[bytes]()
        for at in self._foretold(place, outlook):
            if self._leads_nowhere(place, before):
                return
            unproved += not self._is_proof(before, contents)
            if unproved >= UNPROVED and not self._trusts_the_end:
                return
            before, place = self._started(at), replace(place, at=at)

    def _is_proof(self, task: asyncio.Task[Answer], contents: set[bytes]) -> bool:
        """Whether *task* has brought records that neither an earlier page held nor, by their *contents*, one before it."""
        digest = task.result().digest if task.done() else None
        if digest is None or digest in contents or self._knows(digest):
            return False
        contents.add(digest)
        return True

    def _leads_nowhere(self, place: Place, task: asyncio.Task[Answer]) -> bool:
        if not task.done():
            return False
        failed = task.cancelled() or task.exception() is not None
        return failed or not task.result().count or self._is_last(place, task.result())

    @property
    def _trusts_the_end(self) -> bool:
        return self._end is not None and self._handed >= _PROVED

    def _foretold(self, place: Place, outlook: Outlook) -> Iterator[int]:
        if not isinstance(place.at, int):
            return
        if outlook.end is not None:
            self._end = outlook.end if self._end is None else min(self._end, outlook.end)
        for number in range(1, self._most() + 1):
            at = place.at + number * outlook.step
            if any(end is not None and at >= end for end in (self._end, outlook.bound)):
                return
            yield at

    def _most(self) -> int:
        """How many pages beyond the one in hand may be under way or kept."""
        if self._handed < _PROVED and self._end is None:
            return 0  # it may be the only one
        return min(self._ahead, ROOM // self._largest)

    def _started(self, at: Position) -> asyncio.Task[Answer]:
        if at not in self._tasks:
            self._tasks[at] = asyncio.create_task(self._fetch(at), name=f"page {at}")
        return self._tasks[at]

    async def _drop(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
