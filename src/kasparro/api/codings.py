"""Content codings: which of ours a request accepts (RFC 9110, 12.5.3), and how an answer is packed.

Accept-Encoding --> Accepted --> pack, at once | Packer, piece by piece
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from struct import Struct
from typing import Final, Protocol, assert_never

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_LEVEL: Final = 3
"""Its window is within the 8 MiB that every client has to have (RFC 9659)."""
BROTLI_QUALITY: Final = 4
GZIP_LEVEL: Final = 4
KEPT_LEVEL: Final = 6
"""For what is packed once and sent often."""

GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
BARE_WINDOW: Final = -zlib.MAX_WBITS
LONGEST_REMEMBERED: Final = 200
MOST_STORED: Final = 0xFFFF
"""Bytes of a block of gzip that is not packed."""


class Coding(StrEnum):
    """In the order in which we choose where a client does not mind: the least work for the size first."""

    ZSTD = "zstd"
    BROTLI = "br"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class Accepted:
    """`best` is the coding to use, None for none; `gzip` tells whether that would be as welcome as the best."""

    best: Coding | None = None
    gzip: bool = False


NOTHING: Final = Accepted()


def accepted(value: bytes) -> Accepted:
    """What an `Accept-Encoding` of *value* accepts. What cannot be read in it is not accepted."""
    return _remembered(value) if len(value) <= LONGEST_REMEMBERED else _accepted(value)


def _accepted(value: bytes) -> Accepted:
    weights: dict[str, float] = {}
    for item in value.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights["gzip" if name == "x-gzip" else name] = _weight(parameters)
    other = weights.get("*", 0.0)
    ours = {coding: weights.get(coding, other) for coding in Coding}
    most = max(ours.values())
    if most <= 0 or most < weights.get("identity", 0.0):
        return NOTHING
    best = next(coding for coding in Coding if ours[coding] == most)
    return Accepted(best, gzip=ours[Coding.GZIP] == most)


_remembered = lru_cache(maxsize=1024)(_accepted)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(text)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


class Packer(Protocol):
    """Packs what comes in pieces. What was put in so far can be read from what came out."""

    def pack(self, piece: bytes) -> bytes: ...

    def finish(self, piece: bytes) -> bytes: ...


class _Zstd:
    def __init__(self) -> None:
        self._packer = zstd.ZstdCompressor(level=ZSTD_LEVEL)

    def pack(self, piece: bytes) -> bytes:
        return self._packer.compress(piece, mode=zstd.ZstdCompressor.FLUSH_BLOCK)

    def finish(self, piece: bytes) -> bytes:
        return self._packer.compress(piece, mode=zstd.ZstdCompressor.FLUSH_FRAME)


class _Brotli:
    def __init__(self) -> None:
        self._packer = brotli.Compressor(quality=BROTLI_QUALITY)

    def pack(self, piece: bytes) -> bytes:
        return bytes(self._packer.process(piece) + self._packer.flush())

    def finish(self, piece: bytes) -> bytes:
        return bytes(self._packer.process(piece) + self._packer.finish())


class _Gzip:
    def __init__(self) -> None:
        self._packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)

    def pack(self, piece: bytes) -> bytes:
        return self._packer.compress(piece) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, piece: bytes) -> bytes:
        return self._packer.compress(piece) + self._packer.flush()


def packer(coding: Coding) -> Packer:
    match coding:
        case Coding.ZSTD:
            return _Zstd()
        case Coding.BROTLI:
            return _Brotli()
        case Coding.GZIP:
            return _Gzip()
        case _:
            assert_never(coding)


def deflated(text: bytes) -> bytes:
    """*text* as the end of a gzip file, which `gzip_around` puts a beginning before."""
    bare = zlib.compressobj(KEPT_LEVEL, zlib.DEFLATED, BARE_WINDOW)
    return bare.compress(text) + bare.flush()


GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
STORED: Final = Struct("<BHH")
GZIP_TAIL: Final = Struct("<II")


def gzip_around(beginning: bytes, text: bytes, packed: bytes) -> bytes:
    """One gzip file of *beginning* as it is and *text*, of which *packed* is what `deflated` made (RFC 1951, 3.2.4; RFC 1952)."""
    blocks = [GZIP_HEAD]
    for start in range(0, len(beginning), MOST_STORED):
        block = beginning[start : start + MOST_STORED]
        blocks += (STORED.pack(0, len(block), len(block) ^ MOST_STORED), block)
    check = zlib.crc32(text, zlib.crc32(beginning))
    size = (len(beginning) + len(text)) & 0xFFFFFFFF
    return b"".join((*blocks, packed, GZIP_TAIL.pack(check, size)))
