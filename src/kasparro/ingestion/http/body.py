"""Bodies read within bounds: chunks as received in, decoded bytes out. At most one content encoding, capped in size and ratio."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Final

from kasparro.core.errors import ResponseTooLarge, TruncatedContent
from kasparro.ingestion.http.content_encoding import Plain, decoder_for, next_piece

MIB: Final = 1024 * 1024
_FED: Final = 16 * 1024
"""Bytes decoded at once: few, so that a bomb shows its ratio before much has become of it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most one body may come to.

    `size`: decoded bytes. `ratio`: decoded to received bytes, looked at beyond `lenient` decoded bytes. Pages of JSON records
    that differ in an id alone stay below 40 with gzip, which ends at 1,030, and below 150 with br and zstd, which hardly end.
    """

    size: int = 64 * MIB
    ratio: int = 500
    lenient: int = MIB
    hint: str = "Ask for smaller pages, in `pagination` or `params`"
    """What to do about a body that is larger than `size`."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body, decoded, and how many bytes were received for it."""

    content: bytes
    received: int


class BodyReader:
    """Hands a body out in blocks. `received` counts its bytes as sent, `ended` says that there is nothing more."""

    def __init__(self, chunks: AsyncIterable[bytes], encoding: str | None, bounds: Bounds) -> None:
        self.received = 0
        self.ended = False
        self.bounds = bounds
        self._chunks = aiter(chunks)
        self._encoding = encoding
        self._decoder = decoder_for(encoding)
        self._fed = sys.maxsize if isinstance(self._decoder, Plain) else _FED
        self._held = bytearray()
        self._chunk = memoryview(b"")
        self._decoded = 0

    async def block(self, size: int) -> bytes:
        """The next *size* decoded bytes, fewer at the end alone.

        Raises `ResponseTooLarge`, `TruncatedContent`, and `UnexpectedContent` for what cannot be decoded.
        """
        await self.fill(size)
        block = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return block

    async def fill(self, size: int) -> bool:
        """Wait for *size* bytes, without taking them. Whether there are so many."""
        while len(self._held) < size and not self.ended:
            await self._more()
        return len(self._held) >= size

    async def rest(self) -> bytes:
        return await self.block(sys.maxsize)

    async def _more(self) -> None:
        """One piece more; the decoder is fed only when it has given all it has, so no chunk becomes more than is needed."""
        if piece := next_piece(self._decoder, self._encoding):
            self._held += piece
            self._decoded += len(piece)
            self._check()
            return
        if self._chunk:
            fed, self._chunk = bytes(self._chunk[: self._fed]), self._chunk[self._fed :]
            self.received += len(fed)
            self._decoder.feed(fed)
            return
        chunk = await anext(self._chunks, None)
        if chunk is not None:
            self._chunk = memoryview(chunk)
            return
        self.ended = True
        if self.received and not self._decoder.complete:
            message = f"the {self._encoding} data ends before its end, after {self.received} bytes"
            raise TruncatedContent(message)

    def _check(self) -> None:
        bounds = self.bounds
        if self._decoded > bounds.size:
            raise ResponseTooLarge(f"the answer is larger than {_size(bounds.size)}", hint=bounds.hint)
        if self._decoded > bounds.lenient and self._decoded > self.received * bounds.ratio:
            message = f"the answer expands to more than {bounds.ratio} times what was received"
            raise ResponseTooLarge(message, hint="That is not what records compress to; look at the source")


async def read_body(chunks: AsyncIterable[bytes], encoding: str | None, bounds: Bounds) -> Body:
    """Read it all. Raises as `BodyReader` does."""
    reader = BodyReader(chunks, encoding, bounds)
    content = await reader.rest()
    return Body(content, reader.received)


def _size(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size} bytes"
