"""Pages that are counted: by number, by position, or because there is only one. Declared pagination in, the next place out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from yarl import URL

from kasparro.core.etl_config import OffsetPagination, PagePagination
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position

GONE: Final = frozenset({404, 410, 416})
"""What a source says of a page beyond the last."""

DOUBTED: Final = GONE | {400, 422}


class Single:
    """One request answers with everything."""

    key: ClassVar[str] = "page"
    first: Position = 1

    def url(self, base: URL, at: Position) -> URL:  # noqa: ARG002  # there is only one
        return base

    def after(self, place: Place, answer: Answer) -> Place | None:  # noqa: ARG002  # there is none
        return None

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:  # noqa: ARG002  # as above
        return None

    def beyond_end(self, place: Place) -> frozenset[int]:  # noqa: ARG002  # as above
        return frozenset()

    def understands(self, at: Any) -> bool:
        return at is None


class Counted:
    """Pages that are counted: the end shows by an empty page, or by one shorter than a size the source is known to honour."""

    size: int | None

    def beyond_end(self, place: Place) -> frozenset[int]:
        if place.ordinal == 1:
            return frozenset()
        return DOUBTED if place.doubted else GONE

    def understands(self, at: Any) -> bool:
        return isinstance(at, int) and not isinstance(at, bool) and at >= 0

    def _following(self, place: Place, at: int, count: int) -> Place | None:
        short = self.size is not None and count < self.size
        if count == 0 or (short and place.full):
            return None
        full = place.full or (self.size is not None and not short)
        return replace(place.step(at), full=full, doubted=short)


class Numbered(Counted):
    """Pages have numbers."""

    key: ClassVar[str] = "page"

    def __init__(self, declared: PagePagination) -> None:
        self.declared = declared
        self.first: Position = declared.start
        self.size = declared.size

    def url(self, base: URL, at: Position) -> URL:
        pairs = {self.declared.param: str(at)}
        if self.declared.size_param is not None:
            pairs[self.declared.size_param] = str(self.size)
        return with_query(base, pairs.items())

    def after(self, place: Place, answer: Answer) -> Place | None:
        return self._following(place, _number(place) + 1, answer.count)

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:
        size = self.size if self.size is not None and place.full else answer.count
        ends = [self.declared.start + pages for pages in (answer.pages, _pages(answer.total, size)) if pages]
        return Outlook(1, min(ends, default=None))


class Offsets(Counted):
    """Pages are cut by position. The offset grows by what was received, so a source that gives less than asked loses nothing."""

    key: ClassVar[str] = "offset"
    first: Position = 0

    def __init__(self, declared: OffsetPagination) -> None:
        self.declared = declared
        self.size = declared.limit

    def url(self, base: URL, at: Position) -> URL:
        pairs = {self.declared.offset_param: str(at), self.declared.limit_param: str(self.size)}
        return with_query(base, pairs.items())

    def after(self, place: Place, answer: Answer) -> Place | None:
        return self._following(place, _number(place) + answer.count, answer.count)

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:  # noqa: ARG002  # it says nothing more
        return Outlook(answer.count, answer.total)


def _pages(total: int | None, size: int) -> int | None:
    return None if total is None else -(-total // size)


def _number(place: Place) -> int:
    if not isinstance(place.at, int):
        raise TypeError(place.at)  # a defect: counted pages have numbers
    return place.at
