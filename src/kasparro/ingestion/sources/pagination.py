"""How to get from one page to the next: a declared `pagination` in, for each page its URL and where the one after it is out."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, assert_never

from yarl import URL

from kasparro.core.errors import NotSupportedYet
from kasparro.core.etl_config import (
    HEADER_PREFIX,
    AutoPagination,
    CursorPagination,
    LinkHeaderPagination,
    NextUrlPagination,
    NoPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
)
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.sources.counted_pages import Numbered, Offsets, Single
from kasparro.ingestion.sources.named_pages import Links, Tokens
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.selector import compile_selector


class Paging(Protocol):
    """One way of handing out pages."""

    key: ClassVar[str]
    first: Position

    def url(self, base: URL, at: Position) -> URL:
        """The address of a page, without credentials."""
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

    def understands(self, at: Any) -> bool:
        """Whether *at*, from a cursor, is a place of this kind."""
        ...


def paging_of(declared: Pagination, credentials: Credentials) -> Paging:  # noqa: PLR0911  # one for each kind
    match declared:
        case NoPagination():
            return Single()
        case PagePagination():
            return Numbered(declared)
        case OffsetPagination():
            return Offsets(declared)
        case CursorPagination(next=name) if name.startswith(HEADER_PREFIX):
            return Tokens(declared.param, None, name.removeprefix(HEADER_PREFIX))
        case CursorPagination():
            return Tokens(declared.param, compile_selector(declared.next), None)
        case LinkHeaderPagination():
            return Links(None, credentials)
        case NextUrlPagination():
            return Links(compile_selector(declared.path), credentials)
        case AutoPagination():
            raise NotSupportedYet("pagination: auto is not supported yet")
    assert_never(declared)
