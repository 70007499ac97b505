"""The HTTP client of one source: a request in, its whole answer out, or an error of the `SourceError` family.

It speaks to one origin, adds the credentials to what goes there, follows redirects within it and to the hosts declared for that,
and bounds every request in time and every body in size. A token that is refused is renewed once. `sources.api` calls it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol

import aiohttp
from yarl import URL

from kasparro import __version__
from kasparro.core import clock
from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.http.body import MIB, Body, BodyReader, Bounds, read_body
from kasparro.ingestion.http.conditional import NotModified
from kasparro.ingestion.http.content_encoding import ACCEPT_ENCODING
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.gate import Gate, open_gate
from kasparro.ingestion.http.headers import merged
from kasparro.ingestion.http.hops import AWAY, MOST_REDIRECTS, REDIRECTS, Hop, Way
from kasparro.ingestion.http.large_bodies import HELD, BlockTaker, hand_on
from kasparro.ingestion.http.origin import resolve_link
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.quota import asked_wait, quota_wait
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.redirects import Reach, RedirectRules
from kasparro.ingestion.http.session import Elsewhere
from kasparro.ingestion.http.status import EXCERPT, excerpt, status_error
from kasparro.ingestion.http.tokens import Token, TokenKeeper

_ERROR_BODY: Final = Bounds(size=MIB)
_ERROR_TIME: Final = 5.0
"""Seconds for what a source says of an error: one that says it byte by byte must not make a refusal a timeout."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask, without credentials; under which *conditions*."""

    url: URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    large: Large | None = None
    """What is given the answer's body where it is too large to be held."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer: `url` is where it came from in the end, without credentials; `received` counts the body's bytes."""

    url: URL
    status: int
    headers: Mapping[str, str]
    content: bytes
    received: int
    charset: str | None = None
    handed_on: bool = False
    """The body was too large to be held, and has been handed on in blocks."""

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "") or "no Content-Type"


class Large(BlockTaker, Protocol):
    """Takes the bodies that are too large to be held."""

    def takes(self, head: Response) -> bool:
        """Whether it can do so with this answer; otherwise the body is held all the same, up to its bounds."""
        ...


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Fetches from one origin. Each request, redirects and retries too, passes the `gate` first, which outlives the client.

    `tokens` are sent instead of `credentials` where there are some; `elsewhere` is asked where `rules` let a redirect lead away.
    """

    session: aiohttp.ClientSession
    home: URL
    credentials: Credentials
    redact: Redactor
    timeout: float
    gate: Gate = field(default_factory=open_gate)
    bounds: Bounds = field(default_factory=Bounds)
    now: Callable[[], datetime] = clock.now
    tokens: TokenKeeper | None = None
    rules: RedirectRules = field(default_factory=RedirectRules)
    elsewhere: Elsewhere | None = None

    async def fetch(self, request: Request) -> Response:
        """Ask, within `timeout` seconds for each hop, waits at the gate not included.

        Raises `NotModified` when the conditions of *request* say so.
        """
        resolve_link(str(request.url), self.home, "the request")
        if self.tokens is None:
            return await self._follow(request, self.credentials)
        token = await self.tokens.current()
        try:
            return await self._with(self.tokens, token, request)
        except AuthenticationFailed as refusal:
            if refusal.status != HTTPStatus.UNAUTHORIZED:
                raise
            token = await self.tokens.instead_of(token, refusal)
        return await self._with(self.tokens, token, request)

    async def _with(self, tokens: TokenKeeper, token: Token, request: Request) -> Response:
        """An answer to *token*, that nothing has changed included, says that it is taken."""
        try:
            response = await self._follow(request, token.credentials)
        except NotModified:
            tokens.accepted(token)
            raise
        tokens.accepted(token)
        return response

    async def _follow(self, request: Request, credentials: Credentials) -> Response:
        hop = Hop(request.url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._hop(request, hop, credentials)
            if isinstance(answer, Response):
                return answer
            hop = answer
        message = f"redirects more than {MOST_REDIRECTS} times"
        raise PermanentSourceError(message, place=self._place(hop))

    async def _hop(self, request: Request, hop: Hop, credentials: Credentials) -> Response | Hop:
        """One request: the answer, or where it redirects to."""
        await self.gate.passed()
        with translated(self._place(hop), self.redact):
            try:
                async with (
                    asyncio.timeout(self.timeout) as deadline,
                    self._send(request, hop, credentials) as raw,
                ):
                    wait = self._wait_after(raw)
                    self.gate.hold(wait)
                    answer = await self._receive(request, hop, raw, deadline)
            except TimeoutError as error:
                message = f"no complete answer within {self.timeout:g} s"
                raise TransientSourceError(
                    message, hint="A longer `timeout` or smaller pages may help"
                ) from error
        if wait:
            await self.gate.rest(wait)
        return answer

    def _wait_after(self, raw: aiohttp.ClientResponse) -> float:
        """Seconds that the next request has to wait, by what *raw* says of it."""
        read = quota_wait if raw.ok and raw.status not in REDIRECTS else asked_wait
        return read(raw.headers, self.now()) or 0.0

    @asynccontextmanager
    async def _send(
        self, request: Request, hop: Hop, credentials: Credentials
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        url, given, own, conditions = hop.url, request.headers, credentials.headers, request.conditions
        if hop.bare:
            given, own, conditions = {}, {}, {}
        elif credentials.query:
            url = with_query(url, credentials.query.items())
        headers = {"User-Agent": f"kasparro/{__version__}", "Accept": "application/json"}
        sent = merged(headers, given, conditions, {"Accept-Encoding": ACCEPT_ENCODING}, own)
        async with self._session(hop).request(
            request.method, url, headers=sent, data=request.body, allow_redirects=False
        ) as raw:
            yield raw

    def _session(self, hop: Hop) -> aiohttp.ClientSession:
        if hop.reach is Reach.HOME:
            return self.session
        if self.elsewhere is None:
            raise RuntimeError(hop.reach)  # a defect: rules that lead away come with a way to get there
        return self.elsewhere.session(hop.reach)

    async def _receive(
        self, request: Request, hop: Hop, raw: aiohttp.ClientResponse, deadline: asyncio.Timeout
    ) -> Response | Hop:
        if raw.status in REDIRECTS:
            return self._redirect(request, hop, raw)
        if not raw.ok:
            raise await self._refusal(hop, raw)
        if raw.status == HTTPStatus.NOT_MODIFIED and request.conditions:
            raise NotModified
        if raw.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise UnexpectedContent(f"answered {raw.status}, which is no answer to what was asked")
        if _is_cut_out(raw):
            raise TruncatedContent("answered 206 with a piece of the answer, and no piece was asked for")
        headers = raw.headers.copy()
        if "Link" in headers:
            headers["Link"] = ", ".join(raw.headers.getall("Link"))
        head = Response(hop.shown, raw.status, headers, b"", 0, raw.charset)
        body = BodyReader(raw.content.iter_any(), _encoding(raw), self.bounds)
        large = request.large
        if large is None or not await body.fill(HELD) or not large.takes(head):
            content = await body.rest()
            return replace(head, content=content, received=body.received)
        deadline.reschedule(None)
        await hand_on(body, large, self.timeout)
        return replace(head, received=body.received, handed_on=True)

    def _redirect(self, request: Request, hop: Hop, raw: aiohttp.ClientResponse) -> Hop:
        if request.method != "GET":
            message = f"answered {raw.status}, a redirect, which is followed for GET only"
            raise PermanentSourceError(
                message, hint="Declare the address it redirects to as the source's `url`"
            )
        way = Way(self.home, self.rules, self.credentials, self.redact)
        return way.onward(hop, raw.headers.get("Location"), raw.status, "the answer (by a redirect)")

    async def _refusal(self, hop: Hop, raw: aiohttp.ClientResponse) -> SourceError:
        """The error for this status, with the beginning of what the source says about it."""
        error = status_error(raw.status, raw.headers, AWAY if hop.bare else self.credentials.sent, self.now())
        if isinstance(error, AuthenticationFailed) and not hop.bare:
            error.status = raw.status
        try:
            async with asyncio.timeout(min(_ERROR_TIME, self.timeout / 2)):
                body = await _read(raw, _ERROR_BODY)
        except (SourceError, aiohttp.ClientError, OSError):  # the status says enough
            return error
        said = self.redact(excerpt(body.content))[:EXCERPT]
        error.message += f": {said}" if said else ""
        return error

    def _place(self, hop: Hop) -> str:
        return self.redact(str(hop.shown))


async def _read(raw: aiohttp.ClientResponse, bounds: Bounds) -> Body:
    return await read_body(raw.content.iter_any(), _encoding(raw), bounds)


def _is_cut_out(raw: aiohttp.ClientResponse) -> bool:
    """Whether these are some bytes of an answer. Some APIs give pages with status 206, in a unit of their own."""
    unit = raw.headers.get("Content-Range", "").strip().lower()
    return raw.status == HTTPStatus.PARTIAL_CONTENT and unit.startswith("bytes")


def _encoding(raw: aiohttp.ClientResponse) -> str:
    return ", ".join(raw.headers.getall("Content-Encoding", ()))
