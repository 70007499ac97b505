"""REST APIs as sources: a declaration in, pages of records with resumable cursors out. The composition root makes them.

A page's records are the texts that were received, byte for byte (transcoded to UTF-8). A cursor names the next page:
`{"page": 7, "ordinal": 7}`, or `offset`, `token`, `url` instead of `page`, by the kind of pagination.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from aiolimiter import AsyncLimiter
from yarl import URL

from kasparro.core.errors import PermanentSourceError, SourceError, UnexpectedContent
from kasparro.core.etl_config import CONCURRENCY, ApiSource, RateLimit
from kasparro.ingestion.http.client import HttpClient, Request, Response, open_session
from kasparro.ingestion.http.credentials import credentials_of
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.json_text import utf8_text
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.retry import Waiting, with_retries
from kasparro.ingestion.http.status import EXCERPT, excerpt
from kasparro.ingestion.sources.envelope import EMPTY, Envelope, open_envelope
from kasparro.ingestion.sources.fetching_ahead import FetchingAhead
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.loops import LoopWatch
from kasparro.ingestion.sources.pagination import paging_of
from kasparro.ingestion.sources.places import Answer, Outlook, Place, Position
from kasparro.ingestion.sources.selector import compile_selector
from kasparro.schemas.ingest import ApiOrigin, Cursor, Page, RawRecord, Reject

log = structlog.get_logger(__name__)

_LARGE: Final = 512 * 1024
"""Bodies from this size on, in bytes, are taken apart beside the event loop."""


class ApiPages:
    """See `ingestion.ports.Source`. *waiting* is time, sleep and chance."""

    def __init__(self, declaration: ApiSource, waiting: Waiting | None = None) -> None:
        self._declared = declaration
        self._waiting = waiting or Waiting()
        self._credentials = credentials_of(declaration.auth)
        self._redact = Redactor(self._credentials.secrets)
        self._paging = paging_of(declaration.pagination, self._credentials)
        self._records = compile_selector(declaration.records) if declaration.records is not None else None
        self._limiter = limiter_of(declaration.rate_limit)
        self._concurrency = declaration.rate_limit.concurrency if declaration.rate_limit else CONCURRENCY
        self._base = with_query(parse_url(declaration.url), _params(declaration).items())
        self._base_place = self._place(self._base)
        self._headers, self._body = _content(declaration)

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        place: Place | None = self._start(after)
        outlook: Outlook | None = None
        watch = LoopWatch()
        async with open_session(self._concurrency) as session:
            fetch = partial(self._fetch, self._client(session))
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

    def _client(self, session: aiohttp.ClientSession) -> HttpClient:
        return HttpClient(
            session=session,
            home=self._base,
            credentials=self._credentials,
            redact=self._redact,
            timeout=self._declared.timeout.total_seconds(),
            limiter=self._limiter,
            now=self._waiting.now,
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
            self._paging.url(self._base, at)
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
        return Answer(self._paging.url(self._base, place.at), {}, EMPTY)

    async def _fetch(self, client: HttpClient, at: Position) -> Answer:
        attempt = partial(self._attempt, client, at)
        return await with_retries(attempt, self._declared.retry, self._waiting, client.pause)

    async def _attempt(self, client: HttpClient, at: Position) -> Answer:
        """One attempt at one page. A body that ends early fails the attempt, whether HTTP or JSON shows it."""
        request = Request(
            url=self._paging.url(self._base, at),
            method=self._declared.method,
            headers=self._headers,
            body=self._body,
        )
        response = await client.fetch(request)
        with translated(self._place(response.url), self._redact):
            envelope = await self._open(response)
        return Answer(response.url, response.headers, envelope, response.received)

    async def _open(self, response: Response) -> Envelope:
        if response.status == HTTPStatus.NO_CONTENT:
            return EMPTY
        if len(response.content) >= _LARGE:
            return await asyncio.to_thread(self._read, response)
        return self._read(response)

    def _read(self, response: Response) -> Envelope:
        text = utf8_text(response.content, response.charset)
        return open_envelope(text, self._records, partial(self._describe, response, text))

    def _describe(self, response: Response, text: bytes) -> str:
        beginning = self._redact(excerpt(text))[:EXCERPT]
        return f"{response.content_type}: {beginning}" if beginning else f"empty ({response.content_type})"

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
        )

    def _place(self, url: URL) -> str:
        return self._redact(str(url))


def limiter_of(declared: RateLimit | None) -> AsyncLimiter | None:
    """One request each per/requests seconds: a bucket of the declared size would let nearly twice as many through at first."""
    if declared is None or declared.requests is None:
        return None
    return AsyncLimiter(1, declared.per.total_seconds() / declared.requests)


def _params(declaration: ApiSource) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in declaration.params.items()
    }


def _content(declaration: ApiSource) -> tuple[dict[str, str], bytes | None]:
    if declaration.body is None:
        return dict(declaration.headers), None
    named = {name.lower() for name in declaration.headers}
    added = {} if "content-type" in named else {"Content-Type": "application/json"}
    return {**added, **declaration.headers}, msgspec.json.encode(declaration.body)
