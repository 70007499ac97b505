"""Requests for one file on the web: a range or all of it in, the answer's head and body out.

The rules are those of `ingestion.http`: one origin, credentials for it alone, redirects within it, errors without credentials,
and tried again as declared. Called by `web`, on the loop of a `LoopThread`.
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
from kasparro.ingestion.http.client import MOST_REDIRECTS
from kasparro.ingestion.http.credentials import Credentials
from kasparro.ingestion.http.failures import translated
from kasparro.ingestion.http.origin import resolve_link
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.retry import Waiting
from kasparro.ingestion.http.status import EXCERPT, excerpt, status_error

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)
"""For a connection, and for the next bytes: a file may take as long as it is large."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
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

    session: aiohttp.ClientSession
    url: URL
    headers: Mapping[str, str] = field(repr=False)
    credentials: Credentials
    redact: Redactor
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
            raw = await self._follow(span)
            try:
                return await self._understood(raw, start or 0)
            except BaseException:
                raw.close()
                raise

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.place, self.redact):
                yield
        except SourceError as error:
            if error.hint is not None:
                error.hint = error.hint.replace("`url`", "`path`")
            raise

    async def _follow(self, span: Mapping[str, str]) -> aiohttp.ClientResponse:
        url = self.url
        for _ in range(MOST_REDIRECTS + 1):
            raw = await self._send(url, span)
            if raw.status not in _REDIRECTS:
                return raw
            location = raw.headers.get("Location")
            raw.close()
            if location is None:
                raise UnexpectedContent(f"answered {raw.status}, a redirect, without saying where to")
            url = resolve_link(location, url, "the file (by a redirect)")
        raise PermanentSourceError(f"redirects more than {MOST_REDIRECTS} times")

    async def _send(self, url: URL, span: Mapping[str, str]) -> aiohttp.ClientResponse:
        ours = {"User-Agent": f"kasparro/{__version__}", "Accept": "*/*"}
        given = {name.title(): value for name, value in self.headers.items()}
        sent = {**ours, **given, "Accept-Encoding": "identity", **span, **self.credentials.headers}
        return await self.session.get(
            with_query(url, self.credentials.query.items()),
            headers=sent,
            allow_redirects=False,
            timeout=_TIMEOUT,
        )

    async def _understood(self, raw: aiohttp.ClientResponse, start: int) -> Answer:
        if raw.status not in _ANSWERS:
            raise await self._refusal(raw)
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

    async def _refusal(self, raw: aiohttp.ClientResponse) -> SourceError:
        """The error for this status, with the beginning of what the server says about it."""
        error = status_error(raw.status, raw.headers, self.credentials.sent, self.waiting.now())
        if error.hint is not None and not isinstance(error, AuthenticationFailed):
            error.hint = "Check the address in `path`"
        try:
            body = await raw.content.read(20 * EXCERPT)
        except (aiohttp.ClientError, OSError):  # the status says enough
            return error
        said = self.redact(excerpt(body))[:EXCERPT]
        error.message += f": {said}" if said else ""
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
