"""Content encodings (RFC 9110, section 8.4): received bytes in, decoded ones out, a bounded piece at a time. `body` feeds them.

One encoding at most: what is packed twice is refused, since it multiplies what a few bytes can become.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

import brotli

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.files.zstandard import DecompressionParameter, ZstdDecompressor, ZstdError

ACCEPT_ENCODING: Final = "gzip, deflate, br, zstd"
_STEP: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8
_WINDOW_LOG: Final = 23
"""8 MiB: the largest window of zstd as a content encoding (RFC 9659)."""


class Decoder(Protocol):
    """Turns received bytes into decoded ones, a bounded piece at a time."""

    def feed(self, data: bytes) -> None: ...

    def piece(self) -> bytes:
        """The next piece; empty when all that was fed is decoded."""
        ...

    @property
    def complete(self) -> bool: ...


def decoder_for(encoding: str | None) -> Decoder:
    """Choose by the Content-Encoding header. Raises `UnexpectedContent` for an encoding nobody asked for, and for several."""
    match (encoding or "identity").strip().lower():
        case "identity" | "":
            return Plain()
        case "gzip" | "x-gzip":
            return Inflate(_GZIP)
        case "deflate":
            return Inflate(None)
        case "br":
            return Brotli()
        case "zstd":
            return Zstandard()
        case other if "," in other:
            raise UnexpectedContent(f"the answer is encoded more than once ({other[:60]}), which is refused")
        case other:
            message = f"the answer is encoded as {other[:60]!r}; asked for was {ACCEPT_ENCODING}"
            raise UnexpectedContent(message)


def next_piece(decoder: Decoder, encoding: str | None) -> bytes:
    """Raises `UnexpectedContent` for what is not in the encoding it is said to be in."""
    try:
        return decoder.piece()
    except (zlib.error, brotli.error, ZstdError) as error:
        message = f"the answer is said to be {encoding} and cannot be decoded: {error}"
        raise UnexpectedContent(message) from error


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
                raise _after_the_end("deflate")
            piece = self._inflater.decompress(self._data, _STEP)
            self._data = self._inflater.unconsumed_tail or self._inflater.unused_data
            self._pending = len(piece) == _STEP and not self._inflater.eof
            if piece:
                return piece
        return b""


class Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._data = b""
        self._pending = False
        self._decompressor = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        finished: bool = self._decompressor.is_finished()
        return finished

    def feed(self, data: bytes) -> None:
        self._data += data

    def piece(self) -> bytes:
        decompressor = self._decompressor
        while self._data or self._pending:
            if decompressor.is_finished():
                raise _after_the_end("br")
            data = b""
            if decompressor.can_accept_more_data():
                data, self._data = self._data, b""
            piece: bytes = decompressor.process(data, output_buffer_limit=_STEP)
            held = bool(piece) or not decompressor.can_accept_more_data()
            self._pending = held and not decompressor.is_finished()
            if piece:
                return piece
        return b""


class Zstandard:
    """zstd, frames one after the other included (RFC 8878)."""

    def __init__(self) -> None:
        self._data = b""
        self._decompressor: ZstdDecompressor | None = None

    @property
    def complete(self) -> bool:
        return self._decompressor is not None and self._decompressor.eof

    def feed(self, data: bytes) -> None:
        self._data += data

    def piece(self) -> bytes:
        while self._data or self._pending:
            if self._decompressor is None or self._decompressor.eof:
                self._decompressor = ZstdDecompressor(
                    options={DecompressionParameter.window_log_max: _WINDOW_LOG}
                )
            piece = self._decompressor.decompress(self._data, _STEP)
            self._data = self._decompressor.unused_data if self._decompressor.eof else b""
            if piece:
                return piece
        return b""

    @property
    def _pending(self) -> bool:
        decompressor = self._decompressor
        return decompressor is not None and not decompressor.eof and not decompressor.needs_input


def _deflate_wbits(first: int) -> int:
    return zlib.MAX_WBITS if first & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS


def _after_the_end(encoding: str) -> UnexpectedContent:
    return UnexpectedContent(f"there is something after the end of the {encoding} data")
