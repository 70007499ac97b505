"""Bodies read within bounds: chunks as received in, decoded bytes out. At most one content encoding, capped in size and ratio."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Final, Protocol

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent

MIB: Final = 1024 * 1024
ACCEPT_ENCODING: Final = "gzip, deflate"
_STEP: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most one body may come to.

    `size`: decoded bytes. `ratio`: decoded to received bytes, looked at beyond `lenient` decoded bytes. Pages of JSON records
    that differ in an id alone stay below 40, gzip ends at 1,030.
    """

    size: int = 64 * MIB
    ratio: int = 200
    lenient: int = MIB


class Decoder(Protocol):
    """Turns received bytes into decoded ones, a bounded piece at a time."""

    def feed(self, data: bytes) -> None: ...

    def piece(self) -> bytes:
        """The next piece; empty when all that was fed is decoded."""
        ...

    @property
    def complete(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Body:
    """A body, decoded, and how many bytes were received for it."""

    content: bytes
    received: int


async def read_body(chunks: AsyncIterable[bytes], encoding: str | None, bounds: Bounds) -> Body:
    """Read it all. Raises `ResponseTooLarge`, `TruncatedContent`, and `UnexpectedContent` for an encoding nobody asked for."""
    decoder = decoder_for(encoding)
    content = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        decoder.feed(chunk)
        while piece := _piece(decoder, encoding):
            content += piece
            _check(len(content), received, bounds)
    if received and not decoder.complete:
        raise TruncatedContent(f"the {encoding} data ends before its end, after {received} bytes")
    return Body(bytes(content), received)


def decoder_for(encoding: str | None) -> Decoder:
    """Choose by the Content-Encoding header (RFC 9110, section 8.4)."""
    match (encoding or "identity").strip().lower():
        case "identity" | "":
            return Plain()
        case "gzip" | "x-gzip":
            return Inflate(_GZIP)
        case "deflate":
            return Inflate(None)
        case other if "," in other:
            raise UnexpectedContent(f"the answer is encoded more than once ({other[:60]}), which is refused")
        case other:
            message = f"the answer is encoded as {other[:60]!r}; asked for was {ACCEPT_ENCODING}"
            raise UnexpectedContent(message)


class Plain:
    """No encoding."""

    complete = True

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data = data

    def piece(self) -> bytes:
        data, self._data = self._data, b""
        return data


class Inflate:
    """gzip, members one after the other included (RFC 1952), or deflate, with its zlib wrapper or without, as servers do."""

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits
        self._data = b""
        self._pending = False
        self._inflater: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def feed(self, data: bytes) -> None:
        self._data += data

    def piece(self) -> bytes:
        while self._data or self._pending:
            if self._inflater is None or (self._inflater.eof and self._wbits == _GZIP):
                self._inflater = zlib.decompressobj(self._wbits or _deflate_wbits(self._data[0]))
            if self._inflater.eof:
                raise UnexpectedContent("there is something after the end of the deflate data")
            piece = self._inflater.decompress(self._data, _STEP)
            self._data = self._inflater.unconsumed_tail or self._inflater.unused_data
            self._pending = len(piece) == _STEP and not self._inflater.eof
            if piece:
                return piece
        return b""


def _deflate_wbits(first: int) -> int:
    return zlib.MAX_WBITS if first & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS


def _piece(decoder: Decoder, encoding: str | None) -> bytes:
    try:
        return decoder.piece()
    except zlib.error as error:
        message = f"the answer is said to be {encoding} and cannot be decoded: {error}"
        raise UnexpectedContent(message) from error


def _check(decoded: int, received: int, bounds: Bounds) -> None:
    if decoded > bounds.size:
        raise ResponseTooLarge(
            f"the answer is larger than {bounds.size // MIB} MiB",
            hint="Ask for smaller pages, in `pagination` or `params`",
        )
    if decoded > bounds.lenient and decoded > received * bounds.ratio:
        message = f"the answer expands to more than {bounds.ratio} times what was received"
        raise ResponseTooLarge(message, hint="That is not what JSON compresses to; look at the source")
