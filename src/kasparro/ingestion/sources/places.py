"""Where a page is, and what was found there: the values that the kinds of pagination work with.

A place is a page number, an offset, a token or a URL; `None` is the first page where that needs no name. Places go into cursors,
so none ever holds a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from yarl import URL

from kasparro.ingestion.sources.envelope import Envelope

Position = int | str | None

_TOTALS: Final = ("X-Total-Count", "X-Total", "X-WP-Total")
_PAGES: Final = ("X-Total-Pages", "X-WP-TotalPages")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Place:
    """A page to fetch. `ordinal` counts the pages of the complete fetch from 1.

    `full`: a page as large as asked for has been seen, so the source honours the size. `doubted`: the page before was shorter
    than that, or said to be the last, and this one is asked for only to make sure that it was. `seen`: the records of the pages
    before, where the pages are counted.
    """

    at: Position
    ordinal: int = 1
    full: bool = False
    doubted: bool = False
    seen: int = 0

    def step(self, at: Position) -> Place:
        return replace(self, at=at, ordinal=self.ordinal + 1, doubted=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page as received: where from, with which headers, what was in it, and the bytes received for it.

    `refused` is the status of a refusal that was taken for an empty page.
    """

    url: URL
    headers: Mapping[str, str]
    envelope: Envelope
    size: int = 0
    refused: int | None = None

    @property
    def count(self) -> int:
        return self.envelope.count

    @property
    def digest(self) -> bytes | None:
        """That by which the page is known again; `None` where there are no records."""
        return self.envelope.digest

    @property
    def total(self) -> int | None:
        """The number of records there are, where the answer says so."""
        told = self.envelope.total
        return _number(self.headers, _TOTALS) if told is None else told

    @property
    def pages(self) -> int | None:
        """The number of pages there are, where the answer says so."""
        told = self.envelope.pages
        return _number(self.headers, _PAGES) if told is None else told


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where pages can be foretold: *step* after the one before, and none from *end* on. `None`: the end is not known.

    From *bound* on none is wanted, whether there is one or not.
    """

    step: int
    end: int | None
    bound: int | None = None


def _number(headers: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    given = next((headers[name] for name in names if name in headers), "").strip()
    return int(given) if _WHOLE.fullmatch(given) else None
