"""`pagination: auto`: the first answer decides how a source hands out its pages, and the cursor keeps the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from kasparro.core.etl_config import NoPagination, Pagination
from kasparro.ingestion.http.client import Request
from kasparro.ingestion.sources.counted_pages import Single
from kasparro.ingestion.sources.detecting import detected
from kasparro.ingestion.sources.paging import Paging
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.target import Target
from kasparro.schemas.ingest import Cursor, Notice, NoticeCode

_DECLARED: Final[TypeAdapter[Pagination]] = TypeAdapter(Pagination)
_KEPT: Final = "auto"


class Detected:
    """Undecided until the first answer, then of the kind that it shows; of one page where it shows none."""

    def __init__(self, of: Callable[[Pagination], Paging]) -> None:
        self._of = of
        self._found: Pagination | None = None
        self._paging: Paging = Single()
        self._news: list[Notice] = []

    def first(self) -> Place:
        """As the source is declared: nothing is added to the first request, as nobody knows what. Its answer decides anew."""
        self._found, self._paging = None, Single()
        return Place(None)

    def request(self, target: Target, at: Position) -> Request:
        return target.request(target.base) if at is None else self._paging.request(target, at)

    def after(self, place: Place, answer: Answer) -> Place | None:
        if self._found is not None:
            return self._paging.after(place, answer)
        found = detected(answer) or NoPagination()
        self._decide(found)
        self._news.append(_notice(found, answer))
        return self._paging.after(self._paging.first(), answer)

    def _decide(self, found: Pagination) -> None:
        self._found, self._paging = found, self._of(found)

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:
        return self._paging.outlook(place, answer)

    def beyond_end(self, place: Place) -> frozenset[int]:
        return self._paging.beyond_end(place)

    def cursor(self, place: Place) -> Cursor:
        """Within the first page, as long as nobody knows how to go on, the place is that page."""
        if self._found is None:
            return {_KEPT: None}
        return {_KEPT: _declaration(self._found), **self._paging.cursor(place)}

    def place(self, cursor: Cursor) -> Place | None:
        """The place, with the decision that was taken when it was found."""
        try:
            declared = _DECLARED.validate_python(cursor.get(_KEPT))
        except ValidationError:
            return None
        self._decide(declared)
        return self._paging.place(cursor)

    def notices(self) -> list[Notice]:
        news, self._news = self._news, []
        return news


def _declaration(found: Pagination) -> dict[str, object]:
    return {"type": found.type, **found.model_dump(by_alias=True, exclude_defaults=True)}


def _notice(found: Pagination, answer: Answer) -> Notice:
    declaration = _declaration(found)
    if not isinstance(found, NoPagination):
        return Notice(
            NoticeCode.PAGINATION_DETECTED,
            f"pagination: auto found {_written(declaration)}",
            {"pagination": declaration},
        )
    total = answer.total
    more = total is not None and total > answer.count
    said = f"; the source says that there are {total} records, and {answer.count} came" if more else ""
    return Notice(
        NoticeCode.PAGINATION_NOT_DETECTED,
        f"pagination: auto found nothing in the answer that leads to another page, so there is one{said}",
        {"records": answer.count, "total": total},
    )


def _written(declaration: dict[str, object]) -> str:
    """As it would stand in the catalog."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in declaration.items()) + "}"
