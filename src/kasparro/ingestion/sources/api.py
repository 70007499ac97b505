"""REST APIs as sources: a declaration in, pages of records with resumable cursors out. The composition root makes them.

A page's records are the texts that were received, byte for byte (transcoded to UTF-8). A cursor names the next page:
`{"page": 7, "ordinal": 7}`, or `offset`, `token`, `url` instead of `page`, by the kind of pagination.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Self

import structlog
from yarl import URL

from kasparro.core.errors import PermanentSourceError, SourceError, UnexpectedContent
from kasparro.core.etl_config import CONCURRENCY, ApiSource
from kasparro.ingestion.http.access import Access, Connections, access_of
from kasparro.ingestion.http.client import HttpClient
from kasparro.ingestion.http.conditional import conditions_of
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.gate import Gate, Waiting, local_gate
from kasparro.ingestion.http.retry import with_retries
from kasparro.ingestion.sources.answers import AnswerReader
from kasparro.ingestion.sources.envelope import EMPTY
from kasparro.ingestion.sources.fetching_ahead import FetchingAhead
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.loops import LoopWatch
from kasparro.ingestion.sources.pagination import paging_of
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.target import Target, target_of
from kasparro.schemas.ingest import ApiOrigin, Cursor, Page, RawRecord, Reject

log = structlog.get_logger(__name__)


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
        self._paging = paging_of(declaration.pagination, self._access.credentials)
        self._reader = AnswerReader(declaration, self._redact)
        self._gate = gate or local_gate(declaration, self._waiting)
        self._concurrency = declaration.rate_limit.concurrency if declaration.rate_limit else CONCURRENCY
        self._base_place = self._place(self._target.base)

    @property
    def target(self) -> Target:
        """What it asks."""
        return self._target

    def aimed(self, target: Target, concurrency: int | None = None) -> Self:
        """The same source, asked something else, so many pages at once; what holds requests back holds for both."""
        other = copy.copy(self)
        other._target = target  # noqa: SLF001  # one of its own kind
        other._base_place = self._place(target.base)  # noqa: SLF001  # as above
        other._concurrency = concurrency or self._concurrency  # noqa: SLF001  # as above
        return other

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        place: Place | None = self._start(after)
        outlook: Outlook | None = None
        watch = LoopWatch()
        async with self._access.connect(self._waiting, self._concurrency) as connections:
            fetch = partial(self._fetch, self._client(connections))
            async with FetchingAhead(fetch, self._concurrency) as ahead:
                while place is not None:
                    with translated(self._base_place, self._redact):
                        watch.enter(place)
                        answer = await self._answer(ahead, place, outlook)
                    url = self._place(answer.url)
                    with translated(url, self._redact):
                        following = self._following(place, answer, watch)
                    page = self._page(url, place, answer, following)
                    self._log(url, place, page)
                    yield page
                    outlook = None if following is None else self._paging.outlook(following, answer)
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
            now=self._waiting.now,
            tokens=connections.tokens,
            rules=self._access.rules,
            elsewhere=connections.elsewhere,
        )

    def _start(self, after: Cursor | None) -> Place:
        """The place a cursor names. One of another kind (the declaration has changed) starts from the beginning."""
        if after is None:
            return Place(self._paging.first)
        at, ordinal = after.get(self._paging.key), after.get("ordinal")
        if self._paging.understands(at) and isinstance(ordinal, int) and self._is_here(at):
            return Place(at, ordinal)
        log.warning(
            "cursor.not_understood", source=self._declared.name, pagination=self._declared.pagination.type
        )
        return Place(self._paging.first)

    def _is_here(self, at: Any) -> bool:
        try:
            self._paging.url(self._target.base, at)
        except SourceError:
            return False
        return True

    async def _answer(self, ahead: FetchingAhead, place: Place, outlook: Outlook | None) -> Answer:
        """What is at *place*. A refusal that means that there is no such page is an empty one."""
        try:
            return await ahead.page(place, outlook)
        except PermanentSourceError as refusal:
            if refusal.status not in self._paging.beyond_end(place):
                raise
        return Answer(self._paging.url(self._target.base, place.at), {}, EMPTY)

    async def _fetch(self, client: HttpClient, at: Position) -> Answer:
        attempt = partial(self._attempt, client, at)
        return await with_retries(attempt, self._declared.retry, self._waiting, client.gate)

    async def _attempt(self, client: HttpClient, at: Position) -> Answer:
        """One attempt at one page. A body that ends early fails the attempt, whether HTTP or JSON shows it."""
        first = at == self._paging.first
        response = await client.fetch(
            self._target.request(self._paging.url(self._target.base, at), first=first)
        )
        with translated(self._place(response.url), self._redact):
            envelope = await self._reader.open(response)
        return Answer(response.url, response.headers, envelope, response.received)

    def _following(self, place: Place, answer: Answer, watch: LoopWatch) -> Place | None:
        watch.see(place, answer.envelope.elements)
        following = self._paging.after(place, answer)
        if following is not None and self._redact.shows_secret(str(following.at)):
            raise UnexpectedContent(
                "what the source gives to ask for the next page contains the credential, which is not stored",
                hint="Use another `pagination`, such as page or offset",
            )
        return following

    def _page(self, url: str, place: Place, answer: Answer, following: Place | None) -> Page:
        found = [(e, ApiOrigin(url, place.ordinal, n)) for n, e in enumerate(answer.envelope.elements)]
        return Page(
            records=[RawRecord(text, origin) for text, origin in found if not isinstance(text, Flaw)],
            rejects=[
                Reject(flaw.payload, origin, flaw.reason, flaw.message)
                for flaw, origin in found
                if isinstance(flaw, Flaw)
            ],
            cursor=None
            if following is None
            else {self._paging.key: following.at, "ordinal": following.ordinal},
            size=answer.size,
            total=answer.total,
            conditions=self._conditions(place, answer),
        )

    def _conditions(self, place: Place, answer: Answer) -> dict[str, str]:
        if place.ordinal > 1 or self._target.method != "GET":
            return {}
        found = conditions_of(answer.headers)
        return {name: value for name, value in found.items() if not self._redact.shows_secret(value)}

    def _place(self, url: URL) -> str:
        return self._redact(str(url))
