"""Where a page is, and what was found there: the values that the kinds of pagination work with.

A place is a page number, an offset, a token or a URL; `None` is the first page where that needs no name. Places go into cursors,
so none ever holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from yarl import URL

from kasparro.ingestion.sources.envelope import Envelope

Position = int | str | None


@dataclass(frozen=True, slots=True)
class Place:
    """A page to fetch. `ordinal` counts the pages of the complete fetch from 1.

    `full`: a page as large as asked for has been seen, so the source honours the size. `doubted`: the page before was shorter
    than that, and this one is asked for only to make sure that it was the last.
    """

    at: Position
    ordinal: int = 1
    full: bool = False
    doubted: bool = False

    def step(self, at: Position) -> Place:
        return replace(self, at=at, ordinal=self.ordinal + 1, doubted=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page as received: where from, with which headers, and what was in it."""

    url: URL
    headers: Mapping[str, str]
    envelope: Envelope
