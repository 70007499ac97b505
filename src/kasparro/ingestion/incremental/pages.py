"""An API that is asked only for what changed: its pages and a mark in, fewer pages with cursors that carry the mark out.

Made by `opening`, around `sources.api.ApiPages`. The mark moves only with records that are committed together with it, never
beyond what was seen, and not into the future; docs/sources/rest.md has the rules.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from kasparro.core import clock
from kasparro.core.etl_config import CONCURRENCY, ApiSource, Incremental, read_bound
from kasparro.core.moments import (
    DAY,
    EARLIEST,
    SECOND,
    Format,
    as_datetime,
    format_named,
    of_datetime,
    of_timedelta,
)
from kasparro.ingestion.incremental.asking import Asking
from kasparro.ingestion.incremental.merging import merged
from kasparro.ingestion.incremental.progress import Fetch, Slice, Unfinished, read_cursor
from kasparro.ingestion.incremental.version import ReadVersion
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.ingest import Cursor, Notice, NoticeCode, Page, RawRecord

log = structlog.get_logger(__name__)

TOLERANCE: Final = 300 * SECOND
"""How far clocks may differ: a later time than this, from now, is taken for wrong. Where times are dates, a day."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The moments in the records of a page that can be relied on, and how many cannot be read or lie in the future."""

    moments: list[int]
    unusable: int
    ahead: int


class IncrementalPages:
    """See `ingestion.ports.Source`. *now* is the time."""

    def __init__(
        self,
        declaration: ApiSource,
        declared: Incremental,
        read: ReadVersion,
        pages: ApiPages,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._name = declaration.name
        self._declared = declared
        self._read = read
        self._pages = pages
        self._now = now
        self._sent = format_named(declared.format)
        self._kept = format_named(declared.version_format)
        self._asking = Asking(declared, declaration, pages.target)
        limit = declaration.rate_limit
        self._width = limit.concurrency if limit else CONCURRENCY

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        fetch = self._fetch(after)
        if fetch.complete:
            yield self._marked(fetch, Page([], None), ())
            return
        async with aclosing(self._slices(fetch)) as found:
            async for number, page in found:
                looked = self._look(page.records)
                in_order = fetch.see(number, page.cursor, looked.moments)
                yield self._marked(fetch, page, tuple(self._notices(fetch, looked, in_order=in_order)))

    def _marked(self, fetch: Fetch, page: Page, notices: Sequence[Notice]) -> Page:
        return replace(
            page,
            cursor=fetch.cursor(),
            last=fetch.complete,
            total=page.total if fetch.count == 1 else None,
            notices=(*page.notices, *notices),
            mark=as_datetime(fetch.mark) if fetch.mark is not None and self._kept.timed else None,
            known_until=fetch.before,
        )

    def _fetch(self, after: Cursor | None) -> Fetch:
        """The fetch to go on with, or a new one from the mark."""
        stored = None if after is None else read_cursor(after)
        if after is not None and stored is None:
            log.warning("cursor.not_understood", source=self._name, incremental=self._declared.field)
        mark = None if stored is None else stored.mark
        if stored is not None and stored.fetch is not None:
            return Fetch(
                mark, stored.fetch
            )  # of a sorted source no fetch is kept, unless it turned out not to be one
        return Fetch(mark, self._plan(mark), ascending=self._declared.order == "ascending")

    def _plan(self, mark: int | None) -> Unfinished:
        """From `initial`, or from the mark less the lookback and one unit: then both `>=` and `>` include the mark itself."""
        declared = self._declared
        initial = None if declared.initial is None else read_bound(declared.initial, declared.format)
        start = initial
        if mark is not None:
            start = mark - of_timedelta(declared.lookback) - self._sent.unit
            start = max(start, EARLIEST) if self._sent.timed else start
            start = start if initial is None else max(start, initial)
        step = None if declared.step is None else of_timedelta(declared.step)
        begun = of_datetime(self._now()) if self._kept.timed else None
        return Unfinished(begun, start, self._until(), step)

    def _until(self) -> int | None:
        if not self._declared.bounded:
            return None
        if self._declared.end is not None:
            return read_bound(self._declared.end, self._declared.format)
        return of_datetime(self._now()) + self._sent.unit

    async def _slices(self, fetch: Fetch) -> AsyncGenerator[tuple[int, Page]]:
        """The pages of what is left, with the number of their slice: one slice after the other, or several at once."""
        width = min(self._width, fetch.count)
        opened = (partial(self._slice, part, fetch.after(part.number), width) for part in fetch.left())
        async with aclosing(merged(opened, width) if width > 1 else _one_by_one(opened)) as found:
            async for item in found:
                yield item

    async def _slice(self, part: Slice, after: Cursor | None, width: int) -> AsyncGenerator[tuple[int, Page]]:
        target = self._asking.target(self._overlapping(part), part.until)
        pages = self._pages.aimed(target, concurrency=1 if width > 1 else None)
        async with aclosing(pages.pages(after)) as found:
            async for page in found:
                yield part.number, page

    def _overlapping(self, part: Slice) -> int | None:
        """Begin a unit before the slice does, for sources that leave out both ends; of dates one end is always included."""
        if not part.number or part.since is None or self._sent.unit >= DAY:
            return part.since
        return part.since - self._sent.unit

    def _look(self, records: Sequence[RawRecord]) -> _Found:
        read = [self._read(record.payload) for record in records]
        moments = [moment for moment in read if moment is not None]
        latest = self._latest()
        plausible = moments if latest is None else [moment for moment in moments if moment <= latest]
        return _Found(plausible, len(read) - len(moments), len(moments) - len(plausible))

    def _latest(self) -> int | None:
        """The latest moment that is believed."""
        if not self._kept.timed:
            return None
        return of_datetime(self._now()) + (DAY if self._kept.unit >= DAY else TOLERANCE)

    def _notices(self, fetch: Fetch, found: _Found, *, in_order: bool) -> Iterator[Notice]:
        field = self._declared.field
        if found.unusable:
            became = (
                "are rejected" if self._declared.nulls == "reject" else "are taken, and do not move the mark"
            )
            message = f"{found.unusable:,} records have no {field} that can be read as {self._kept.name}; they {became}"
            yield Notice(NoticeCode.CURSOR_UNUSABLE, message, {"records": found.unusable, "field": field})
        if found.ahead:
            message = f"{found.ahead:,} records have a {field} in the future; the mark does not follow them"
            yield Notice(NoticeCode.CURSOR_IN_FUTURE, message, {"records": found.ahead, "field": field})
        if self._declared.order == "ascending" and not in_order:
            message = f"records are not sorted by {field}, as `order: ascending` says; the mark moves at the end only"
            yield Notice(NoticeCode.CURSOR_REGRESSION, message, {"field": field})
        if fetch.complete and fetch.went_back:
            message = f"the newest {field} of what came is older than the mark {shown(fetch.before, self._kept)}, which stays"
            yield Notice(
                NoticeCode.CURSOR_REGRESSION,
                message,
                {"field": field, "mark": shown(fetch.before, self._kept)},
            )


async def _one_by_one(
    opened: Iterator[Callable[[], AsyncGenerator[tuple[int, Page]]]],
) -> AsyncGenerator[tuple[int, Page]]:
    for open_slice in opened:
        async with aclosing(open_slice()) as pages:
            async for item in pages:
                yield item


def shown(moment: int | None, form: Format) -> str:
    return "" if moment is None else str(format_named("iso8601").write(moment) if form.timed else moment)
