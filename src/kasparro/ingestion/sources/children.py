"""Dependent resources: one fetch for each record of another source. A declaration with `parent` in, pages of records out.

Parents are read from the dataset in the order of their keys, a few at a time. The cursor names the parent in hand and the page
within it: `{"parent": "17", "after": {"page": 3, "ordinal": 3}}`, or `null` for its first page; without `after` that parent is
done. So it stays small however many parents there are, and none that is done is asked for again. With `changed_only` it also
holds the version of the parents' dataset from which on (`since`) and up to which (`until`) they have been dealt with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from kasparro.core.errors import PermanentSourceError
from kasparro.core.etl_config import ApiSource, Parent, SourceName
from kasparro.ingestion.http.client import HttpClient
from kasparro.ingestion.http.gate import Gate, Waiting
from kasparro.ingestion.ports import Parents
from kasparro.ingestion.sources.api import ApiPages
from kasparro.ingestion.sources.filling import Filled, Filling, Unusable, carrying
from kasparro.ingestion.sources.side_by_side import Opener, side_by_side
from kasparro.schemas.ingest import Cursor, Notice, NoticeCode, Page, ParentRecord, RawRecord

AT_ONCE: Final = 100
"""Parents that are read from the database together."""

_GONE: Final = frozenset({404, 410})
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a fetch begins: *within* a parent, `after` being a cursor of its pages, behind it, or with the first one."""

    parent: str | None = None
    within: bool = False
    after: Cursor | None = None
    since: int | None = None
    until: int | None = None


class ChildPages:
    """See `ingestion.ports.Source`."""

    def __init__(
        self,
        declaration: ApiSource,
        parent: Parent,
        parents: Parents,
        waiting: Waiting | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._parent = parent
        self._parents = parents
        self._filling = Filling(declaration, parent)
        self._pages = ApiPages(declaration, waiting, gate=gate)

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        start = await self._start(after)
        bounds = {"since": start.since, "until": start.until} if self._parent.changed_only else {}
        most = self._pages.concurrency
        async with self._pages.connected() as client:
            children = partial(self._children, client, asyncio.Semaphore(most), bounds)
            following = _Following(self._source, self._parents, start, children)
            async with aclosing(side_by_side(following, most)) as pages:
                async for page in pages:
                    yield page
        yield Page((), {"since": start.until} if self._parent.changed_only else None, last=True)

    @property
    def _source(self) -> SourceName:
        return SourceName(self._parent.source)

    async def _start(self, after: Cursor | None) -> _Start:
        given = after or {}
        at, inner = given.get("parent"), given.get("after")
        start = _Start(
            parent=at if isinstance(at, str) else None,
            within=isinstance(at, str) and "after" in given,
            after=inner if isinstance(inner, dict) else None,
            since=_version(given.get("since")),
            until=_version(given.get("until")),
        )
        if not self._parent.changed_only:
            return replace(start, since=None, until=None)
        return (
            start
            if start.until is not None
            else replace(start, until=await self._parents.version(self._source))
        )

    async def _children(
        self,
        client: HttpClient,
        places: asyncio.Semaphore,
        bounds: Cursor,
        parent: ParentRecord,
        after: Cursor | None,
    ) -> AsyncGenerator[Page]:
        """The pages of one parent, with cursors that name it."""
        done = {"parent": parent.key, **bounds}
        try:
            filled = self._filling.of(parent)
        except Unusable as fault:
            yield Page((), done, notices=[_notice(NoticeCode.PARENT_UNUSABLE, str(fault), parent)])
            return
        source = self._pages.aimed(filled.target, places=places)
        try:
            async with aclosing(source.pages_through(client, after)) as pages:
                async for page in pages:
                    yield _of_parent(page, filled, done)
        except PermanentSourceError as refusal:
            if refusal.status not in _GONE:
                raise
            message = f"the source answered {refusal.status}: it has nothing for this parent (any more)"
            yield Page((), done, notices=[_notice(NoticeCode.PARENT_GONE, message, parent)])


@dataclass(slots=True)
class _Following:
    """The parents one after the other, each as the opener of its children."""

    source: SourceName
    parents: Parents
    start: _Start
    children: Callable[[ParentRecord, Cursor | None], AsyncGenerator[Page]]
    _read: Sequence[ParentRecord] = ()
    _at: int = 0
    _last: str | None = None
    _begun: bool = False

    async def __call__(self) -> Opener | None:
        if not self._begun:
            self._begun, self._last = True, self.start.parent
            if self.start.parent is not None and self.start.within:
                parent = await self.parents.one(self.source, self.start.parent)
                if parent is not None:
                    return partial(self.children, parent, self.start.after)
        if self._at >= len(self._read):
            self._read = await self.parents.read(self.source, self._last, AT_ONCE, self.start.since)
            self._at = 0
        if not self._read:
            return None
        parent = self._read[self._at]
        self._at, self._last = self._at + 1, parent.key
        return partial(self.children, parent, None)


def _of_parent(page: Page, filled: Filled, done: Cursor) -> Page:
    """*page* with what its records carry; the total of one parent says nothing about the whole, and is left out."""
    records = [RawRecord(carrying(r.payload, filled.carried), r.origin, r.repeat) for r in page.records]
    cursor = done if page.last else {**done, "after": page.cursor}
    return replace(page, records=records, cursor=cursor, total=None, last=False)


def _notice(code: NoticeCode, message: str, parent: ParentRecord) -> Notice:
    return Notice(code, message, {"parent": parent.key[:_SHOWN]})


def _version(given: Any) -> int | None:
    return given if isinstance(given, int) and not isinstance(given, bool) else None
