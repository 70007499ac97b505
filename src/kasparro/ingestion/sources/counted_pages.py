"""Pages that are counted: by number, by position, or because there is only one. Declared pagination in, the next place out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from kasparro.core.etl_config import OffsetPagination, PagePagination
from kasparro.ingestion.http.client import Request
from kasparro.ingestion.sources.asking import asking
from kasparro.ingestion.sources.ends import Ends
from kasparro.ingestion.sources.paging import Plain
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.target import Target
from kasparro.schemas.ingest import Cursor, Notice, NoticeCode

GONE: Final = frozenset({404, 410, 416})
"""What a source says of a page beyond the last."""

DOUBTED: Final = GONE | {400, 422}


def doubtful_end(status: int) -> Notice:
    """Of a fetch that ended with *status*, where nothing before had shown that an end is near."""
    return Notice(
        NoticeCode.PAGES_LEFT_OUT,
        f"the list ended with {status}, and nothing shows that this was its end; `pagination.total` or `has_more` would",
        {"status": status},
    )


class Single(Plain):
    """One request answers with everything."""

    key: ClassVar[str] = "page"

    def first(self) -> Place:
        return Place(1)

    def request(self, target: Target, at: Position) -> Request:  # noqa: ARG002  # there is only one
        return target.request(target.base, first=True)

    def after(self, place: Place, answer: Answer) -> Place | None:  # noqa: ARG002  # there is none
        return None

    def understands(self, at: Any) -> bool:
        return at is None


class Counted(Plain):
    """Pages that are counted: the end shows by an empty page, by one shorter than a size the source is known to honour, or by
    what the source is declared to say about it.
    """

    size: int | None
    ends: Ends

    def beyond_end(self, place: Place) -> frozenset[int]:
        if place.ordinal == 1:
            return frozenset()
        return DOUBTED if place.doubted else GONE

    def understands(self, at: Any) -> bool:
        return isinstance(at, int) and not isinstance(at, bool) and at >= 0

    def _following(self, place: Place, at: int, answer: Answer, seen: int) -> Place | None:
        """*seen* records have come, those of *answer* included."""
        more, total = self.ends.more(place, answer), self.ends.total(place, answer)
        if more is False or (total is not None and seen >= total):
            return None
        short = self.size is not None and answer.count < self.size
        outlook = self.outlook(place, answer)
        end = None if outlook is None else outlook.end
        believed = short and place.full and (end is None or at >= end)  # no total says that there is more
        if more is None and (answer.count == 0 or believed):
            return None
        full = place.full or (self.size is not None and not short)
        counted = seen if self.ends.counts else 0
        last = short or (end is not None and at >= end)
        return replace(place.step(at), full=full, doubted=last and more is None, seen=counted)


class Numbered(Counted):
    """Pages have numbers."""

    key: ClassVar[str] = "page"

    def __init__(self, declared: PagePagination) -> None:
        self.declared = declared
        self.size = declared.size
        self.ends = Ends(declared.has_more, declared.total)

    def first(self) -> Place:
        return Place(self.declared.start)

    def request(self, target: Target, at: Position) -> Request:
        values: dict[str, Any] = {self.declared.param: at}
        if self.declared.size_param is not None:
            values[self.declared.size_param] = self.size
        return asking(target, self.declared.in_, values)

    def after(self, place: Place, answer: Answer) -> Place | None:
        return self._following(place, _number(place) + 1, answer, place.seen + answer.count)

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:
        size = self.size if self.size is not None and place.full else answer.count
        total = _declared_or_told(self.ends, place, answer)
        ends = [self.declared.start + pages for pages in (answer.pages, _pages(total, size)) if pages]
        return Outlook(1, min(ends, default=None))

    def cursor(self, place: Place) -> Cursor:
        return {**super().cursor(place), **({"seen": place.seen} if self.ends.counts else {})}

    def place(self, cursor: Cursor) -> Place | None:
        place, seen = super().place(cursor), cursor.get("seen")
        return replace(place, seen=seen) if place is not None and isinstance(seen, int) else place


class Offsets(Counted):
    """Pages are cut by position. The offset grows by what was received, so a source that gives less than asked loses nothing."""

    key: ClassVar[str] = "offset"

    def __init__(self, declared: OffsetPagination) -> None:
        self.declared = declared
        self.size = declared.limit
        self.ends = Ends(declared.has_more, declared.total)

    def first(self) -> Place:
        return Place(0)

    def request(self, target: Target, at: Position) -> Request:
        values = {self.declared.offset_param: at, self.declared.limit_param: self.size}
        return asking(target, self.declared.in_, values)

    def after(self, place: Place, answer: Answer) -> Place | None:
        """An empty page leads nowhere, whatever the source says: the next one would be at the same offset."""
        reached = _number(place) + answer.count
        return self._following(place, reached, answer, reached) if answer.count else None

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:
        return Outlook(answer.count, _declared_or_told(self.ends, place, answer)) if answer.count else None


def _declared_or_told(ends: Ends, place: Place, answer: Answer) -> int | None:
    declared = ends.total(place, answer)
    return answer.total if declared is None else declared


def _pages(total: int | None, size: int) -> int | None:
    return None if total is None or not size else -(-total // size)


def _number(place: Place) -> int:
    if not isinstance(place.at, int):
        raise TypeError(place.at)  # a defect: counted pages have numbers
    return place.at
