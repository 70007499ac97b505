"""A declared `pagination` in, how to get from one page to the next out. `api` asks for it once a fetch."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from kasparro.core.etl_config import (
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
from kasparro.ingestion.sources.detected_pages import Detected
from kasparro.ingestion.sources.named_pages import Links, Tokens
from kasparro.ingestion.sources.paging import Paging
from kasparro.ingestion.sources.places import Outlook, Place
from kasparro.ingestion.sources.selector import compile_selector
from kasparro.schemas.ingest import Notice, NoticeCode


def paging_of(declared: Pagination, credentials: Credentials) -> Paging:  # noqa: PLR0911  # one for each kind
    match declared:
        case NoPagination():
            return Single()
        case PagePagination():
            return Numbered(declared)
        case OffsetPagination():
            return Offsets(declared)
        case CursorPagination():
            return Tokens(declared)
        case LinkHeaderPagination():
            return Links(None, credentials)
        case NextUrlPagination():
            return Links(compile_selector(declared.path), credentials)
        case AutoPagination():
            return Detected(lambda found: paging_of(found, credentials))
    assert_never(declared)


class Bound:
    """`max_pages`: a fetch that ends after so many pages, whatever comes behind them."""

    def __init__(self, declared: Pagination) -> None:
        self.most = None if isinstance(declared, NoPagination) else declared.max_pages

    def reached(self, following: Place) -> bool:
        return self.most is not None and following.ordinal > self.most

    def outlook(self, place: Place, outlook: Outlook | None) -> Outlook | None:
        """*outlook* as far as it goes: nothing is asked for that will not be used."""
        if outlook is None or self.most is None or not isinstance(place.at, int):
            return outlook
        return replace(outlook, bound=place.at + outlook.step * (self.most - place.ordinal + 1))

    def notice(self) -> Notice:
        return Notice(
            NoticeCode.PAGES_LEFT_OUT,
            f"the fetch ended after {self.most} pages (max_pages), and there is a next one",
            {"max_pages": self.most},
        )
