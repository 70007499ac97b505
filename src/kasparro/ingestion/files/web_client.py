"""Requests for one file on the web: a range or all of it in, the answer's head and body out.

The rules are those of `ingestion.http`: credentials for one origin alone, redirects within it and to declared hosts, a refused
token renewed once, errors without credentials, and tried again as declared. Called by `web`, on the loop of a `LoopThread`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp
from yarl import URL

from kasparro import __version__
from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    SourceChanged,
    SourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.http.access import Access, Connections
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.headers import merged
from kasparro.ingestion.http.hops import AWAY, MOST_REDIRECTS, REDIRECTS, Hop, Way
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.redirects import Reach
from kasparro.ingestion.http.retry import Waiting
from kasparro.ingestion.http.status import EXCERPT, excerpt, status_error

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)
"""For a connection, and for the next bytes: a file may take as long as it is large."""
_ANSWERS: Final = frozenset(
    {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}
)
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip"})
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Version:
    """What a server says to tell one version of a file from another."""

    etag: str | None
    last_modified: str | None
    size: int | None

    @property
    def is_certain(self) -> bool:
        """Whether another version would be noticed: a weak ETag (RFC 9110, section 8.8.1) does not promise that."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return strong or self.last_modified is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer whose body can be read: of which version it is, and whether it is the range that was asked for."""

    raw: aiohttp.ClientResponse
    version: Version
    partial: bool


@dataclass(frozen=True, slots=True)
class WebClient:
    """Asks for one address."""

    connections: Connections
    access: Access
    url: URL
    headers: Mapping[str, str] = field(repr=False)
    place: str
    waiting: Waiting

    async def ask(self, start: int | None, length: int | None = None) -> Answer:
        """Ask for *length* bytes (None: all) from *start* on; without a start, for the file as it is, not for a range of it."""
        span = (
            {}
            if start is None
            else {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        )
        with self._translated():
            return await self._authenticated(span, start or 0)

    async def read(self, answer: Answer, length: int) -> bytes:
        """The next bytes of the body, *length* at most; none at its end."""
        with self._translated():
            return await answer.raw.content.read(length)

    async def read_whole(self, answer: Answer, length: int) -> bytes:
        """The whole body, which must have *length* bytes."""
        parts, missing = [], length
        while length and (part := await self.read(answer, missing + 1)):
            parts.append(part)
            missing -= len(part)
            if missing < 0:
                raise UnexpectedContent("the server sends more than it was asked for", place=self.place)
        if missing:
            raise TruncatedContent(f"{missing} of {length} bytes did not come", place=self.place)
        return b"".join(parts)

    async def _authenticated(self, span: Mapping[str, str], start: int) -> Answer:
        tokens = self.connections.tokens
        if tokens is None:
            return await self._asked(self.access.credentials, span, start)
        token = await tokens.current()
        try:
            answer = await self._asked(token.credentials, span, start)
        except AuthenticationFailed as refusal:
            if refusal.status != HTTPStatus.UNAUTHORIZED:
                raise
            token = await tokens.instead_of(token, refusal)
            answer = await self._asked(token.credentials, span, start)
        tokens.accepted(token)
        return answer

    async def _asked(self, credentials: Credentials, span: Mapping[str, str], start: int) -> Answer:
        raw, hop = await self._follow(credentials, span)
        try:
            return await self._understood(raw, hop, start)
        except BaseException:
            raw.close()
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.place, self.access.redact):
                yield
        except SourceError as error:
            if error.hint is not None:
                error.hint = error.hint.replace("`url`", "`path`")
            raise

    async def _follow(
        self, credentials: Credentials, span: Mapping[str, str]
    ) -> tuple[aiohttp.ClientResponse, Hop]:
        hop = Hop(self.url)
        way = Way(self.url, self.access.rules, self.access.credentials, self.access.redact)
        for _ in range(MOST_REDIRECTS + 1):
            raw = await self._send(hop, credentials, span)
            if raw.status not in REDIRECTS:
                return raw, hop
            location = raw.headers.get("Location")
            raw.close()
            hop = way.onward(hop, location, raw.status, "the file (by a redirect)")
        raise PermanentSourceError(f"redirects more than {MOST_REDIRECTS} times")

    async def _send(
        self, hop: Hop, credentials: Credentials, span: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        ours = {"User-Agent": f"kasparro/{__version__}", "Accept": "*/*"}
        given = {} if hop.bare else {name.title(): value for name, value in self.headers.items()}
        own, query = ({}, {}) if hop.bare else (credentials.headers, credentials.query)
        at_home = hop.reach is Reach.HOME
        session = self.connections.session if at_home else self.connections.elsewhere.session(hop.reach)
        return await session.get(
            with_query(hop.url, query.items()) if query else hop.url,
            headers=merged(ours, given, {"Accept-Encoding": "identity"}, span, own),
            allow_redirects=False,
            timeout=_TIMEOUT,
        )

    async def _understood(self, raw: aiohttp.ClientResponse, hop: Hop, start: int) -> Answer:
        if raw.status not in _ANSWERS:
            raise await self._refusal(raw, hop)
        encoding = raw.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _ENCODINGS:  # a gzip encoding is unpacked by what it looks like, as a .gz file is
            raise UnexpectedContent(f"the answer is encoded as {encoding[:60]!r}; asked for was no encoding")
        if raw.status == HTTPStatus.OK:
            if (
                raw.content_length is None
                and "chunked" not in raw.headers.get("Transfer-Encoding", "").lower()
            ):
                raise UnexpectedContent(
                    "the server does not say where the file ends, so a part of it cannot be told from the whole",
                    hint="Have it send Content-Length or chunks",
                )
            return Answer(raw, _version(raw, raw.content_length), partial=False)
        return self._ranged(raw, start)

    def _ranged(self, raw: aiohttp.ClientResponse, start: int) -> Answer:
        match = _RANGE.fullmatch(raw.headers.get("Content-Range", "").strip())
        if match is None:
            raise UnexpectedContent(
                f"answered {raw.status} without saying which bytes it sends (Content-Range)"
            )
        size = None if match[3] == "*" else int(match[3])
        if match[1] is None:
            raw.close()  # a range beyond the end: what comes with it is prose
            return Answer(raw, _version(raw, size), partial=True)
        if int(match[1]) != start:
            raise UnexpectedContent(
                f"asked for the bytes from {start} on, the server sends those from {match[1]} on"
            )
        return Answer(raw, _version(raw, size), partial=True)

    async def _refusal(self, raw: aiohttp.ClientResponse, hop: Hop) -> SourceError:
        """The error for this status, with the beginning of what the server says about it."""
        said = AWAY if hop.bare else self.access.credentials.sent
        error = status_error(raw.status, raw.headers, said, self.waiting.now())
        if isinstance(error, AuthenticationFailed) and not hop.bare:
            error.status = raw.status
        if error.hint is not None and not isinstance(error, AuthenticationFailed):
            error.hint = "Check the address in `path`"
        try:
            body = await raw.content.read(20 * EXCERPT)
        except (aiohttp.ClientError, OSError):  # the status says enough
            return error
        shown = self.access.redact(excerpt(body))[:EXCERPT]
        error.message += f": {shown}" if shown else ""
        return error


def check_version(now: Version, opened: Version, place: str) -> None:
    """Raise `SourceChanged` when the server speaks of another version than the one that was opened."""
    if now != opened:
        raise SourceChanged(
            "the file was replaced while it was being read",
            place=place,
            hint="Nothing of the mixed state was taken; run again",
        )


def _version(raw: aiohttp.ClientResponse, size: int | None) -> Version:
    return Version(raw.headers.get("ETag"), raw.headers.get("Last-Modified"), size)
