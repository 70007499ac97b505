"""The HTTP client of one source: a request in, its whole answer out, or an error of the `SourceError` family.

It speaks to one origin only, adds the credentials to what goes there, follows redirects within it, and bounds every request in
time and every body in size. `sources.api` calls it; nothing else opens a connection to an API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

import aiohttp
from yarl import URL

from kasparro import __version__
from kasparro.core import clock
from kasparro.core.errors import (
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    UnexpectedContent,
)
from kasparro.ingestion.http.body import ACCEPT_ENCODING, MIB, Body, Bounds, read_body
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.gate import Gate, open_gate
from kasparro.ingestion.http.origin import resolve_link
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.quota import asked_wait, quota_wait
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.status import EXCERPT, excerpt, status_error

MOST_REDIRECTS: Final = 5
CONNECTIONS: Final = 100
_HEADER_SIZE: Final = 64 * 1024
_ERROR_BODY: Final = Bounds(size=MIB)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask, without credentials."""

    url: URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer: `url` is where it came from in the end, without credentials; `received` counts the body's bytes."""

    url: URL
    status: int
    headers: Mapping[str, str]
    content: bytes
    received: int
    charset: str | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "") or "no Content-Type"


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Fetches from one origin. Each request, redirects and retries too, passes the `gate` first, which outlives the client."""

    session: aiohttp.ClientSession
    home: URL
    credentials: Credentials
    redact: Redactor
    timeout: float
    gate: Gate = field(default_factory=open_gate)
    bounds: Bounds = field(default_factory=Bounds)
    now: Callable[[], datetime] = clock.now

    async def fetch(self, request: Request) -> Response:
        """Ask, within `timeout` seconds for each hop, waits at the gate not included."""
        for _ in range(MOST_REDIRECTS + 1):
            resolve_link(str(request.url), self.home, "the request")
            answer = await self._hop(request)
            if isinstance(answer, Response):
                return answer
            request = replace(request, url=answer)
        message = f"redirects more than {MOST_REDIRECTS} times"
        raise PermanentSourceError(message, place=self._place(request.url))

    async def _hop(self, request: Request) -> Response | URL:
        """One request: the answer, or where it redirects to."""
        await self.gate.passed()
        place = self._place(request.url)
        with translated(place, self.redact):
            try:
                async with asyncio.timeout(self.timeout), self._send(request) as raw:
                    wait = self._wait_after(raw)
                    self.gate.hold(wait)
                    answer = await self._receive(request, raw)
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
        read = quota_wait if raw.ok and raw.status not in _REDIRECTS else asked_wait
        return read(raw.headers, self.now()) or 0.0

    @asynccontextmanager
    async def _send(self, request: Request) -> AsyncGenerator[aiohttp.ClientResponse]:
        credentials = self.credentials.query
        url = with_query(request.url, credentials.items()) if credentials else request.url
        headers = {"User-Agent": f"kasparro/{__version__}", "Accept": "application/json"}
        sent = _merged(
            headers, request.headers, {"Accept-Encoding": ACCEPT_ENCODING}, self.credentials.headers
        )
        async with self.session.request(
            request.method, url, headers=sent, data=request.body, allow_redirects=False
        ) as raw:
            yield raw

    async def _receive(self, request: Request, raw: aiohttp.ClientResponse) -> Response | URL:
        if raw.status in _REDIRECTS:
            return self._redirect(request, raw)
        if not raw.ok:
            raise await self._refusal(raw)
        if raw.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise UnexpectedContent(f"answered {raw.status}, which is no answer to what was asked")
        body = await _read(raw, self.bounds)
        headers = raw.headers.copy()
        if "Link" in headers:
            headers["Link"] = ", ".join(raw.headers.getall("Link"))
        return Response(request.url, raw.status, headers, body.content, body.received, raw.charset)

    def _redirect(self, request: Request, raw: aiohttp.ClientResponse) -> URL:
        if request.method != "GET":
            message = f"answered {raw.status}, a redirect, which is followed for GET only"
            raise PermanentSourceError(
                message, hint="Declare the address it redirects to as the source's `url`"
            )
        location = raw.headers.get("Location")
        if location is None:
            raise UnexpectedContent(f"answered {raw.status}, a redirect, without saying where to")
        return resolve_link(location, request.url, "the answer (by a redirect)")

    async def _refusal(self, raw: aiohttp.ClientResponse) -> SourceError:
        """The error for this status, with the beginning of what the source says about it."""
        error = status_error(raw.status, raw.headers, self.credentials.sent, self.now())
        try:
            body = await _read(raw, _ERROR_BODY)
        except (SourceError, aiohttp.ClientError, OSError):  # the status says enough
            return error
        said = self.redact(excerpt(body.content))[:EXCERPT]
        error.message += f": {said}" if said else ""
        return error

    def _place(self, url: URL) -> str:
        return self.redact(str(url))


@asynccontextmanager
async def open_session(connections: int = CONNECTIONS) -> AsyncGenerator[aiohttp.ClientSession]:
    """A session without cookies, without proxies from the environment, and that leaves decoding to us.

    It keeps up to *connections* connections and uses them again.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_field_size=_HEADER_SIZE,
        max_line_size=_HEADER_SIZE,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trust_env=False,
    ) as session:
        yield session


async def _read(raw: aiohttp.ClientResponse, bounds: Bounds) -> Body:
    encoding = ", ".join(raw.headers.getall("Content-Encoding", ()))
    return await read_body(raw.content.iter_any(), encoding, bounds)


def _merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Later layers win, whatever their capital letters."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        merged.update({name.lower(): (name, value) for name, value in layer.items()})
    return dict(merged.values())
