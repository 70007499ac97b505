"""Files on the web: in ranges of one version where the server offers that, else as one stream from the beginning.

Called by `csv.locations`, in a worker thread. The requests run on a loop of their own, in `web_client`.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, TypeVar, cast

from kasparro.core.errors import TransientSourceError, UnexpectedContent
from kasparro.core.etl_config import CsvSource, Retry
from kasparro.ingestion.files.loop_thread import LoopThread
from kasparro.ingestion.files.ranged import RangedFile
from kasparro.ingestion.files.stored import StoredFile
from kasparro.ingestion.files.streamed import StreamedFile
from kasparro.ingestion.files.web_client import Answer, Version, WebClient, check_version
from kasparro.ingestion.http.access import Access, access_of
from kasparro.ingestion.http.gate import Waiting, open_gate
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.retry import with_retries

_BUFFER_BYTES: Final = 256 * 1024
_FIRST_BYTES: Final = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """The address of a file, and how to ask for it. `shown` is without credentials."""

    url: str = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(repr=False)
    access: Access = field(repr=False)
    retry: Retry = field(repr=False)

    @property
    def place(self) -> str:
        return self.shown

    @property
    def file_name(self) -> str:
        return PurePosixPath(parse_url(self.url).path).name

    def open(self) -> StoredFile:
        return open_address(self)


def address_of(url: str, declaration: CsvSource) -> WebAddress:
    """The file at *url*; whether there is one is seen when it is opened."""
    access = access_of(declaration)
    return WebAddress(url, access.redact(url), declaration.headers, access, declaration.retry)


def open_address(file: WebAddress) -> StoredFile:
    """Ask for the beginning of the file; what the server answers decides how the rest is read."""
    reading = _Reading(file)
    try:
        return reading.open()
    except BaseException:
        reading.close()
        raise


class _Reading:
    """The session of one open file, and the version that was opened."""

    def __init__(self, file: WebAddress) -> None:
        self._file = file
        self._stack = AsyncExitStack()
        self._waiting = Waiting()
        self._gate = open_gate()
        self._loop = LoopThread()
        self._client = self._loop.run(self._connect())
        self._answer: Answer | None = None

    def open(self) -> StoredFile:
        answer, head = self._run(self._begin)
        version = answer.version
        self._answer = answer
        if head is not None:
            raw: io.RawIOBase = RangedFile(version.size or 0, partial(self._fetch, version), head)
        else:
            reopenings = self._file.retry.attempts - 1 if version.is_certain else 0
            raw = StreamedFile(version.size, self._read, partial(self._reopen, version), reopenings)
        return StoredFile(
            name=self._file.file_name,
            stream=cast("BinaryIO", io.BufferedReader(raw, _BUFFER_BYTES)),
            size=version.size,
            fingerprint=_fingerprint(version),
            close=self.close,
            interrupt=self._loop.interrupt,
        )

    def close(self) -> None:
        if self._loop.is_open:
            self._hang_up()
            self._loop.run(self._stack.aclose())
            self._loop.close()

    async def _connect(self) -> WebClient:
        access = self._file.access
        return WebClient(
            connections=await self._stack.enter_async_context(access.connect(self._waiting)),
            access=access,
            url=parse_url(self._file.url),
            headers=self._file.headers,
            place=self._file.place,
            waiting=self._waiting,
        )

    async def _begin(self) -> tuple[Answer, bytes | None]:
        """An answer, and the first bytes where the rest can be asked for in ranges."""
        answer = await self._client.ask(0, _FIRST_BYTES)
        if not answer.partial:
            return answer, None
        with closing(answer.raw):
            if answer.version.is_certain and answer.version.size is not None:
                expected = min(_FIRST_BYTES, answer.version.size)
                return answer, await self._client.read_whole(answer, expected)
        return await self._client.ask(None), None

    def _fetch(self, opened: Version, start: int, length: int) -> bytes:
        async def attempt() -> bytes:
            answer = await self._client.ask(start, length)
            with closing(
                answer.raw
            ):  # read to its end, its connection is free for the next range before that
                check_version(answer.version, opened, self._file.place)
                if not answer.partial:
                    raise UnexpectedContent("the server no longer sends ranges", place=self._file.place)
                return await self._client.read_whole(answer, length)

        return self._run(attempt)

    def _read(self, length: int) -> bytes:
        if self._answer is None:
            raise TransientSourceError("the connection is gone", place=self._file.place)
        return self._loop.run(self._client.read(self._answer, length))

    def _reopen(self, opened: Version) -> None:
        if not opened.is_certain:
            raise UnexpectedContent(
                "the file has to be read twice, and the server does not say whether it changed in between",
                place=self._file.place,
                hint="Have it send ETag or Last-Modified",
            )
        self._hang_up()
        self._answer = self._run(partial(self._client.ask, None))
        check_version(self._answer.version, opened, self._file.place)

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._loop.run(_close(self._answer))
        self._answer = None

    def _run(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._loop.run(with_retries(attempt, self._file.retry, self._waiting, self._gate))


async def _close(answer: Answer) -> None:
    answer.raw.close()


def _fingerprint(version: Version) -> dict[str, Any]:
    """One that no other opening has, where the server does not tell versions apart."""
    told = {"etag": version.etag, "last_modified": version.last_modified, "size": version.size}
    return told if version.is_certain else {**told, "opened": secrets.token_hex(8)}
