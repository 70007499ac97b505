"""REST APIs as sources: a declaration in, pages of records with resumable cursors out. The composition root makes them.

A page's records are the texts that were received, byte for byte (transcoded to UTF-8). A cursor names the next page:
`{"page": 7, "ordinal": 7}`, or `offset`, `token`, `url` instead of `page`, by the kind of pagination.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from aiolimiter import AsyncLimiter
from yarl import URL

from kasparro.core.errors import SourceError, UnexpectedContent
from kasparro.core.etl_config import ApiSource, RateLimit
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
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.loops import LoopWatch
from kasparro.ingestion.sources.pagination import paging_of
from kasparro.ingestion.sources.places import Answer, Place
from kasparro.ingestion.sources.selector import compile_selector
from kasparro.schemas.ingest import ApiOrigin, Cursor, Page, RawRecord, Reject

log = structlog.get_logger(__name__)

_LARGE: Final = 512 * 1024
"""Bodies from this size on, in bytes, are taken apart beside the event loop."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page, taken apart, and the bytes received for it."""

    answer: Answer
    size: int


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
        self._base = with_query(parse_url(declaration.url), _params(declaration).items())
        self._headers, self._body = _content(declaration)

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        place: Place | None = self._start(after)
        watch = LoopWatch()
        async with open_session() as session:
            client = self._client(session)
            while place is not None:
                with translated(self._place(self._base), self._redact):
                    watch.enter(place)
                    attempt = partial(self._fetch, client, place)
                    fetched = await with_retries(attempt, self._declared.retry, self._waiting)
                following = self._following(place, fetched.answer, watch)
                page = self._page(place, fetched, following)
                log.debug(
                    "page.fetched",
                    source=self._declared.name,
                    url=self._place(fetched.answer.url),
                    page=place.ordinal,
                    records=len(page.records),
                    rejects=len(page.rejects),
                    bytes=fetched.size,
                )
                yield page
                place = following

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

    async def _fetch(self, client: HttpClient, place: Place) -> Fetched:
        """One attempt at one page. A body that ends early fails the attempt, whether HTTP or JSON shows it."""
        request = Request(
            url=self._paging.url(self._base, place.at),
            method=self._declared.method,
            headers=self._headers,
            body=self._body,
            also=self._paging.beyond_end(place),
        )
        response = await client.fetch(request)
        with translated(self._place(response.url), self._redact):
            envelope = await self._open(request, response)
        return Fetched(Answer(response.url, response.headers, envelope), response.received)

    async def _open(self, request: Request, response: Response) -> Envelope:
        if response.status in request.also or response.status == HTTPStatus.NO_CONTENT:
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
        with translated(self._place(answer.url), self._redact):
            watch.see(place, answer.envelope.elements)
            following = self._paging.after(place, answer)
            if following is not None and self._redact.shows_secret(str(following.at)):
                raise UnexpectedContent(
                    "what the source gives to ask for the next page contains the credential, which is not stored",
                    hint="Use another `pagination`, such as page or offset",
                )
        return following

    def _page(self, place: Place, fetched: Fetched, following: Place | None) -> Page:
        url = self._place(fetched.answer.url)
        records: list[RawRecord] = []
        rejects: list[Reject] = []
        for position, element in enumerate(fetched.answer.envelope.elements):
            origin = ApiOrigin(url, place.ordinal, position)
            if isinstance(element, Flaw):
                rejects.append(Reject(element.payload, origin, element.reason, element.message))
            else:
                records.append(RawRecord(element, origin))
        return Page(
            records=records,
            rejects=rejects,
            cursor=None
            if following is None
            else {self._paging.key: following.at, "ordinal": following.ordinal},
            size=fetched.size,
            total=fetched.answer.envelope.total,
        )

    def _place(self, url: URL) -> str:
        return self._redact(str(url))


def limiter_of(declared: RateLimit | None) -> AsyncLimiter | None:
    """One request each per/requests seconds: a bucket of the declared size would let nearly twice as many through at first."""
    return None if declared is None else AsyncLimiter(1, declared.per.total_seconds() / declared.requests)


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
