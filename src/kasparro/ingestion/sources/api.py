"""REST APIs as sources: a declaration in, pages of records with resumable cursors out. The composition root makes them.

A page's records are the texts that were received, byte for byte (transcoded to UTF-8). A cursor names the next page:
`{"page": 7, "ordinal": 7}`, or `offset`, `token`, `url` instead of `page`, by the kind of pagination (`Paging.cursor`).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import structlog
from yarl import URL

from kasparro.core.errors import PermanentSourceError, SourceError, UnexpectedContent
from kasparro.core.etl_config import CONCURRENCY, ApiSource
from kasparro.ingestion.http.access import Access, Connections, access_of
from kasparro.ingestion.http.client import HttpClient, Request
from kasparro.ingestion.http.conditional import conditions_of
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.gate import Gate, Waiting, local_gate
from kasparro.ingestion.http.retry import with_retries
from kasparro.ingestion.sources.answers import AnswerReader
from kasparro.ingestion.sources.counted_pages import doubtful_end
from kasparro.ingestion.sources.envelope import EMPTY
from kasparro.ingestion.sources.fetching_ahead import FetchingAhead
from kasparro.ingestion.sources.handing_on import HandingOn
from kasparro.ingestion.sources.large_answers import HandOn, Part
from kasparro.ingestion.sources.loops import LoopWatch
from kasparro.ingestion.sources.named_pages import STALE, is_named
from kasparro.ingestion.sources.pagination import Bound, paging_of
from kasparro.ingestion.sources.paging import Paging
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.target import Target, target_of
from kasparro.schemas.ingest import ApiOrigin, Cursor, Notice, NoticeCode, Page, RawRecord, Reject

log = structlog.get_logger(__name__)

PART_RECORDS: Final = 5_000
"""The most records of a page that is a part of a large answer."""


@dataclass(slots=True)
class Habits:
    """What is known of a source whatever it is asked: `honours_size`, that it has given a page as large as asked for."""

    honours_size: bool = False


class ApiPages:
    """See `ingestion.ports.Source`. *waiting* is time, sleep and chance; *target* what to ask, *access* how it is reached, where
    that is not as declared; *gate* what each request passes, where its limits are shared with others.
    """

    def __init__(
        self,
        declaration: ApiSource,
        waiting: Waiting | None = None,
        target: Target | None = None,
        access: Access | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._declared = declaration
        self._target = target or target_of(declaration)
        self._waiting = waiting or Waiting()
        self._access = access or access_of(declaration)
        self._redact = self._access.redact
        self._bound = Bound(declaration.pagination)
        self._reader = AnswerReader(declaration, self._redact)
        self._gate = gate or local_gate(declaration, self._waiting)
        self._concurrency = declaration.rate_limit.concurrency if declaration.rate_limit else CONCURRENCY
        self._habits = Habits()
        self._blindly = True
        self._places: AbstractAsyncContextManager[Any] = nullcontext()
        self._base_place = self._place(self._target.base)

    @property
    def target(self) -> Target:
        """What it asks."""
        return self._target

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def aimed(
        self, target: Target, concurrency: int | None = None, places: asyncio.Semaphore | None = None
    ) -> Self:
        """The same source, asked something else, so many pages at once; what holds requests back holds for both.

        One of many that are asked together has *places*, which all of them share, and asks for no page of which nobody knows
        whether it is there.
        """
        other = copy.copy(self)
        other._target = target  # noqa: SLF001  # one of its own kind
        other._base_place = self._place(target.base)  # noqa: SLF001  # as above
        other._concurrency = concurrency or self._concurrency  # noqa: SLF001  # as above
        other._places, other._blindly = places or self._places, places is None  # noqa: SLF001  # as above
        return other

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        async with self.connected() as client, aclosing(self.pages_through(client, after)) as pages:
            async for page in pages:
                yield page

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[HttpClient]:
        """A client of this source, which keeps its connections as long as the context lasts."""
        async with self._access.connect(self._waiting, self._concurrency) as connections:
            yield self._client(connections)

    async def pages_through(self, client: HttpClient, after: Cursor | None) -> AsyncGenerator[Page]:
        """The same, by requests of *client*, which may fetch other pages of the same origin too.

        A token or link that was kept and is not taken any more, as those that expire are, leads back to the beginning.
        """
        begun = False
        async with aclosing(self._pages_from(client, after)) as pages:
            try:
                async for page in pages:
                    begun = True
                    yield page
            except PermanentSourceError as refusal:
                if begun or refusal.status not in STALE or not is_named(after):
                    raise
                status = refusal.status
            else:
                return
        message = f"the place where the fetch should go on is refused with {status}; it begins again"
        told = [Notice(NoticeCode.PLACE_EXPIRED, message, {"status": status})]
        async with aclosing(self._pages_from(client, None)) as pages:
            async for page in pages:
                yield replace(page, notices=(*told, *page.notices))
                told.clear()

    async def _pages_from(self, client: HttpClient, after: Cursor | None) -> AsyncGenerator[Page]:
        paging = paging_of(self._declared.pagination, self._access.credentials)
        place: Place | None = self._start(paging, after)
        outlook: Outlook | None = None
        watch, held, handing_on = LoopWatch(), list[Page](), HandingOn()
        fetch = partial(self._fetch, client, paging, handing_on)
        is_last = partial(_is_last, paging)
        async with FetchingAhead(fetch, self._concurrency, watch.knows, is_last) as ahead:
            while place is not None:
                with translated(self._base_place, self._redact):
                    watch.enter(place)
                    answering = asyncio.create_task(self._answer(ahead, paging, place, outlook))
                    async with handing_on.taking(place.at, answering) as parts:
                        while (part := await parts.next()) is not None:
                            for page in (*held, *self._part(paging, place, part)):
                                yield page
                            held.clear()
                    answer = await answering
                url = self._place(answer.url)
                with translated(url, self._redact):
                    repeated = watch.see(place, answer.digest)
                    following, notices = self._following(paging, place, answer)
                    outlook = self._outlook(paging, following, answer, repeated=repeated)
                held.append(self._page(url, paging, place, answer, following, notices))
                self._log(url, place, held[-1])
                # A page that came before may be the first of a circle: it is handed on with what shows that it is not.
                if not repeated or following is None:
                    for page in held:
                        yield page
                    held.clear()
                place = following

    def _log(self, url: str, place: Place, page: Page) -> None:
        log.debug(
            "page.fetched",
            source=self._declared.name,
            url=url,
            page=place.ordinal,
            records=len(page.records),
            rejects=len(page.rejects),
            bytes=page.size,
        )

    def _client(self, connections: Connections) -> HttpClient:
        return HttpClient(
            session=connections.session,
            home=self._target.base,
            credentials=self._access.credentials,
            redact=self._redact,
            timeout=self._declared.timeout.total_seconds(),
            gate=self._gate,
            bounds=self._reader.bounds,
            now=self._waiting.now,
            tokens=connections.tokens,
            rules=self._access.rules,
            elsewhere=connections.elsewhere,
        )

    def _start(self, paging: Paging, after: Cursor | None) -> Place:
        """The place a cursor names. One of another kind (the declaration has changed) starts from the beginning."""
        if after is None:
            return self._first(paging)
        place = paging.place(after)
        if place is None and after == paging.cursor(paging.first()):  # within a large first page
            return self._first(paging)
        if place is not None and self._is_here(paging, place):
            return place
        log.warning(
            "cursor.not_understood", source=self._declared.name, pagination=self._declared.pagination.type
        )
        return self._first(paging)

    def _first(self, paging: Paging) -> Place:
        return replace(paging.first(), full=self._habits.honours_size)

    def _is_here(self, paging: Paging, place: Place) -> bool:
        try:
            paging.request(self._target, place.at)
        except SourceError:
            return False
        return True

    async def _answer(
        self, ahead: FetchingAhead, paging: Paging, place: Place, outlook: Outlook | None
    ) -> Answer:
        """What is at *place*. A refusal that means that there is no such page is an empty one."""
        try:
            return await ahead.page(place, outlook)
        except PermanentSourceError as refusal:
            if refusal.status not in paging.beyond_end(place):
                raise
            url = paging.request(self._target, place.at).url
            return Answer(url, {}, EMPTY, refused=refusal.status)

    async def _fetch(self, client: HttpClient, paging: Paging, handing_on: HandingOn, at: Position) -> Answer:
        attempt = partial(self._attempt, client, paging.request(self._target, at), handing_on.to(at))
        return await with_retries(attempt, self._declared.retry, self._waiting, client.gate)

    async def _attempt(self, client: HttpClient, request: Request, hand_on: HandOn) -> Answer:
        """One attempt at one page. A body that ends early fails the attempt, whether HTTP or JSON shows it."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._places)
            # One that waits to be taken must not keep the one from its place that is waited for.
            large = self._reader.large(hand_on, begun=stack.aclose)
            response = await client.fetch(replace(request, large=large))
        with translated(self._place(response.url), self._redact):
            envelope = await (large.envelope() if response.handed_on else self._reader.open(response))
        return Answer(response.url, response.headers, envelope, response.received)

    def _following(self, paging: Paging, place: Place, answer: Answer) -> tuple[Place | None, list[Notice]]:
        following = paging.after(place, answer)
        self._habits.honours_size |= following is not None and following.full
        if following is not None and self._redact.shows_secret(str(following.at)):
            raise UnexpectedContent(
                "what the source gives to ask for the next page contains the credential, which is not stored",
                hint="Use another `pagination`, such as page or offset",
            )
        if following is not None and self._bound.reached(following):
            return None, [*paging.notices(), self._bound.notice()]
        if answer.refused is not None and self._declared.snapshot and not place.doubted:
            return None, [*paging.notices(), doubtful_end(answer.refused)]
        return following, paging.notices()

    def _outlook(
        self, paging: Paging, following: Place | None, answer: Answer, *, repeated: bool
    ) -> Outlook | None:
        """Behind a page that came before, and behind an empty one, nothing is foretold."""
        if following is None or repeated or not answer.count:
            return None
        outlook = self._bound.outlook(following, paging.outlook(following, answer))
        return outlook if self._blindly or outlook is None or outlook.end is not None else None

    def _page(  # what was found, from all sides
        self,
        url: str,
        paging: Paging,
        place: Place,
        answer: Answer,
        following: Place | None,
        notices: Sequence[Notice],
    ) -> Page:
        part = Part(answer.envelope.elements, answer.envelope.before)
        cursor = None if following is None else paging.cursor(following)
        return replace(
            self._page_of(url, place, part, cursor),
            size=answer.size,
            total=answer.total,
            last=following is None,
            notices=notices,
            conditions=self._conditions(place, answer),
        )

    def _part(self, paging: Paging, place: Place, part: Part) -> Iterator[Page]:
        """A part of a page: who resumes after it asks for the page again, which does no harm."""
        url = self._place(paging.request(self._target, place.at).url)
        cursor = paging.cursor(place)
        for start in range(0, len(part.elements), PART_RECORDS):
            some = Part(part.elements[start : start + PART_RECORDS], part.first + start)
            yield self._page_of(url, place, some, cursor)

    def _page_of(self, url: str, place: Place, part: Part, cursor: Cursor | None) -> Page:
        records, rejects = [], []
        for position, element in enumerate(part.elements, part.first):
            origin = ApiOrigin(url, place.ordinal, position)
            if isinstance(element, bytes):
                records.append(RawRecord(element, origin))
            else:
                rejects.append(
                    Reject(element.payload, origin, element.reason, element.message, element.field)
                )
        return Page(records, cursor, rejects)

    def _conditions(self, place: Place, answer: Answer) -> dict[str, str]:
        if place.ordinal > 1 or self._target.method != "GET":
            return {}
        found = conditions_of(answer.headers)
        return {name: value for name, value in found.items() if not self._redact.shows_secret(value)}

    def _place(self, url: URL) -> str:
        return self._redact(str(url))


def _is_last(paging: Paging, place: Place, answer: Answer) -> bool:
    try:
        return paging.after(place, answer) is None
    except SourceError:
        return True  # it is told when the turn of that page comes
