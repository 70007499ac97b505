"""Answers too large to be held: blocks of a body in, as they arrive, its records out in parts, and in the end its envelope.

`answers` makes one for each attempt at a page. The last part is kept back and becomes the page that knows where the next one is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from kasparro.core.errors import SourceError
from kasparro.ingestion.http.body import Bounds
from kasparro.ingestion.http.client import Response
from kasparro.ingestion.sources.envelope import Envelope
from kasparro.ingestion.sources.json_records import Element
from kasparro.ingestion.sources.opened_answer import OpenedAnswer
from kasparro.ingestion.sources.page_digest import Contents, texts_of


@dataclass(frozen=True, slots=True)
class Part:
    """Records of one answer; `first` is the position of the first of them."""

    elements: Sequence[Element]
    first: int


HandOn = Callable[[Part], Awaitable[None]]
Begun = Callable[[], Awaitable[None]]
Open = Callable[[Response], OpenedAnswer | None]


class LargeAnswer:
    """See `http.client.Large`. *opened* opens an answer that can be read in pieces, *begun* is called before the first."""

    def __init__(self, opened: Open, bounds: Bounds, hand_on: HandOn, begun: Begun) -> None:
        self.bounds = bounds
        self._open = opened
        self._hand_on = hand_on
        self._begun = begun
        self._answer: OpenedAnswer | None = None
        self._held: list[Element] = []
        self._before = 0
        self._size = 0
        self._contents = Contents()

    def takes(self, head: Response) -> bool:
        self._answer = self._open(head)
        return self._answer is not None

    async def take(self, block: bytes) -> None:
        if not self._size:
            await self._begun()
        self._size += len(block)
        found = await asyncio.to_thread(self._feed, block)
        if found and self._held:
            await self._hand_on(Part(self._held, self._before))
            self._before += len(self._held)
        self._held = found or self._held

    async def envelope(self) -> Envelope:
        """What is around the records. The last of them are in it."""
        answer = self._opened()
        found = await asyncio.to_thread(self._end)
        self._held += found
        envelope = answer.envelope(self._held, self._before)
        return replace(envelope, size=self._size, digest=self._contents.digest())

    def _feed(self, block: bytes) -> list[Element]:
        return self._seen(self._opened().feed(block))

    def _end(self) -> list[Element]:
        return self._seen(self._opened().end())

    def _seen(self, found: list[Element]) -> list[Element]:
        self._contents.add(texts_of(found))
        return found

    def _opened(self) -> OpenedAnswer:
        if self._answer is None:
            raise SourceError("the answer was not opened")
        return self._answer
