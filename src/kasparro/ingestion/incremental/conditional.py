"""An API of one page that is asked only whether it has changed: its page and an ETag in; no page at all out, when it has not.

Safe only where the one answer is everything that was fetched, and names what comes next itself: then an answer that has not
changed means a source that has not changed. Made by `opening`, around `sources.api.ApiPages`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from kasparro.core.etl_config import (
    HEADER_PREFIX,
    ApiSource,
    CursorPagination,
    NextUrlPagination,
    NoPagination,
)
from kasparro.ingestion.http.conditional import NotModified
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.ingest import ApiOrigin, Cursor, Page

log = structlog.get_logger(__name__)

WHOLE = "whole"
"""The key of a cursor that stands for a complete fetch of one page."""


def can_be_conditional(declaration: ApiSource) -> bool:
    """Whether an answer says by itself that it is all there is. A header is not part of what a 304 stands for."""
    if declaration.method != "GET":
        return False
    match declaration.pagination:
        case NoPagination() | NextUrlPagination():
            return True
        case CursorPagination(next=name):
            return not name.startswith(HEADER_PREFIX)
        case _:
            return False


class ConditionalPages:
    """See `ingestion.ports.Source`. Its cursors are those of the pages, and after a fetch of one page what to ask with next."""

    def __init__(self, declaration: ApiSource, pages: ApiPages) -> None:
        self._name = declaration.name
        self._recipe = declaration.recipe_fingerprint()
        self._pages = pages

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        whole = None if after is None else after.get(WHOLE)
        start = after if whole is None else None
        conditions, records = self._asked_with(whole)
        pages = (
            self._pages.aimed(replace(self._pages.target, conditions=conditions))
            if conditions
            else self._pages
        )
        try:
            async with aclosing(pages.pages(start)) as found:
                async for page in found:
                    if conditions:
                        # What was committed with these conditions is no longer what is stored, from its first part on.
                        yield Page([], cursor=None)
                        conditions = {}
                    yield self._kept(page) if start is None else page
        except NotModified:
            log.info("source.not_modified", source=self._name, records=records)
            yield Page([], cursor=after, unchanged=records, last=True)

    def _asked_with(self, whole: Any) -> tuple[dict[str, str], int]:
        if not isinstance(whole, dict) or whole.get("recipe") != self._recipe:
            return {}, 0
        return dict(whole["conditions"]), int(whole["records"])

    def _kept(self, page: Page) -> Page:
        """The page with what to ask next time, if it is all there is."""
        if page.cursor is not None or not page.conditions:
            return page
        whole = {"conditions": dict(page.conditions), "records": _count(page), "recipe": self._recipe}
        return replace(page, cursor={WHOLE: whole}, last=True)


def _count(page: Page) -> int:
    """The records of an answer by the last of them: of a large one, others have been handed on before."""
    origins = [record.origin for record in page.records[-1:]] + [
        reject.origin for reject in page.rejects[-1:]
    ]
    return max((origin.position + 1 for origin in origins if isinstance(origin, ApiOrigin)), default=0)
