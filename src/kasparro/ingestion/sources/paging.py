"""What every kind of paging can do, and what most of them have in common. `api` walks along; `pagination` picks the kind."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from kasparro.ingestion.http.client import Request
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.target import Target
from kasparro.schemas.ingest import Cursor, Notice


class Paging(Protocol):
    """One way of handing out pages, during one fetch."""

    def first(self) -> Place:
        """Where a fetch begins."""
        ...

    def request(self, target: Target, at: Position) -> Request:
        """The request for a page, without credentials."""
        ...

    def after(self, place: Place, answer: Answer) -> Place | None:
        """Where the next page is; `None` at the end."""
        ...

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:
        """Where the pages after *place* will be, which *answer* leads to; `None` where only its own answer tells."""
        ...

    def beyond_end(self, place: Place) -> frozenset[int]:
        """The error statuses that say of *place* that there is no such page."""
        ...

    def cursor(self, place: Place) -> Cursor:
        """What a checkpoint keeps of *place*."""
        ...

    def place(self, cursor: Cursor) -> Place | None:
        """The place that *cursor* names; `None` if it is not one of this kind."""
        ...

    def notices(self) -> list[Notice]:
        """What was found out about the paging since the last time."""
        ...


class Plain:
    """A kind whose places are kept in a cursor as they are, under `key`. It foretells nothing and finds nothing out."""

    key: ClassVar[str]

    def outlook(self, place: Place, answer: Answer) -> Outlook | None:  # noqa: ARG002  # only an answer knows
        return None

    def beyond_end(self, place: Place) -> frozenset[int]:  # noqa: ARG002  # a page that was named must be there
        return frozenset()

    def cursor(self, place: Place) -> Cursor:
        return {self.key: place.at, "ordinal": place.ordinal}

    def place(self, cursor: Cursor) -> Place | None:
        at, ordinal = cursor.get(self.key), cursor.get("ordinal")
        return Place(at, ordinal) if self.understands(at) and isinstance(ordinal, int) else None

    def understands(self, at: Any) -> bool:
        return isinstance(at, str) and at != ""

    def notices(self) -> list[Notice]:
        return []
