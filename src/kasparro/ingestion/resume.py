"""Checkpoints of another declaration are not resumed: a source in, the same source with its cursors signed out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.ports import Source
from kasparro.schemas.ingest import REJECTED, Cursor, Page

log = structlog.get_logger(__name__)


class ResumableSource:
    """Signs each cursor with the declaration's `fetch_fingerprint`, and says whether it is that of the last page.

    "Page 7" means something else once the page size or the address has changed: then the source is read from the beginning, which
    costs a lookup for each record that is stored already. So it is when all has been read and something was rejected: storage
    notes that in the cursor. Not so where the source gives only what changed (*rereads* is false): a mended record is that.
    """

    def __init__(self, declaration: SourceDeclaration, source: Source, *, rereads: bool = True) -> None:
        self._name = declaration.name
        self._fingerprint = declaration.fetch_fingerprint()
        self._source = source
        self._rereads = rereads

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        async with aclosing(self._source.pages(self._own(after))) as pages:
            async for page in pages:
                yield page if page.cursor is None else replace(page, cursor=self._signed(page.cursor, page))

    def _signed(self, cursor: Cursor, page: Page) -> Cursor:
        return {"fetch": self._fingerprint, "after": cursor, "complete": page.last}

    def _own(self, after: Cursor | None) -> Cursor | None:
        if after is None:
            return None
        if after.get("fetch") != self._fingerprint:
            log.info("checkpoint.ignored", source=self._name, reason="the declaration has changed since")
            return None
        if self._rereads and after.get("complete") and after.get(REJECTED):
            log.info(
                "checkpoint.ignored", source=self._name, reason="there were rejects, which are tried again"
            )
            return None
        inner: Cursor = after["after"]
        return inner
