"""Compressed bytes in, unpacked ones out, a bounded piece at a time. Called by `csv.files`.

A file may be several compressed streams, one behind the other, with zeros behind the last; anything else there is an error.
Memory is bounded: a piece is as large as was asked for, and no dictionary or window is larger than 128 MiB.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final, Protocol

from kasparro.core.errors import FileTooLarge, UnexpectedContent
from kasparro.ingestion.files.failures import CORRUPT
from kasparro.ingestion.files.seekable import SeekableFile
from kasparro.ingestion.files.zstandard import DecompressionParameter, ZstdDecompressor

MIB: Final = 1024 * 1024
_MEMORY: Final = 128 * MIB
_WINDOW_LOG: Final = 27
_CHUNK: Final = 16 * 1024
_LENIENT: Final = 16 * MIB


class Compression(StrEnum):
    """How a file is compressed."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "zip"


MOST_RATIO: Final = {
    Compression.GZIP: 800,
    Compression.ZIP: 800,
    Compression.BZIP2: 20_000,
    Compression.XZ: 5_000,
    Compression.ZSTD: 10_000,
}
"""The most bytes one compressed byte may become, looked at beyond 16 MiB.

Between what was measured of rows with a number and 10,000 empty cells (gzip 660, bzip2 9,200, xz 2,800, zstd 6,000; with 200
bytes that never change it is 70, 200, 600 and 400) and of one byte repeated (1,030, a million, 7,000, 28,000).
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """`size`: the most bytes of a file, unpacked. `ratio`: the most bytes one byte may become; None: by format."""

    size: int = 1 << 40
    ratio: int | None = None

    def check_size(self, size: int, place: str) -> None:
        if size > self.size:
            raise FileTooLarge(
                f"the file has more than {self.size:,} bytes, unpacked",
                place=place,
                hint="If it is right, declare a larger `max_size`",
            )

    def check_ratio(self, compression: Compression, stored: int, unpacked: int, place: str) -> None:
        most = self.ratio or MOST_RATIO[compression]
        if unpacked > _LENIENT and unpacked > stored * most:
            raise FileTooLarge(
                f"the file unpacks to more than {most:,} times its size",
                place=place,
                hint="That is not what data compresses to. If it is right, declare a larger `max_ratio`",
            )


class Decompressor(Protocol):
    """One compressed stream, as the standard library has it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Unpacking(SeekableFile):
    """The unpacked bytes of *stored*. Going back begins again at the start."""

    def __init__(self, stored: BinaryIO, compression: Compression, limits: Limits, place: str) -> None:
        super().__init__()
        self._stored = stored
        self._compression = compression
        self._limits = limits
        self._place = place
        self._start()

    def _start(self) -> None:
        self._decompressor = _NEW[self._compression]()
        self._pending = b""
        self._first = True
        self._begun = False
        self._received = 0
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._at if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < 0:
            raise io.UnsupportedOperation("unpacked data is read from its beginning")
        if target < self._at:
            self._stored.seek(0)
            self._start()
        while self._at < target and self._piece(min(target - self._at, MIB)):
            pass
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer has no name before 3.12
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _piece(self, size: int) -> bytes:
        """The next bytes, *size* at most; none at the end."""
        while not self._decompressor.eof or self._next_stream():
            data = self._input() if self._decompressor.needs_input else b""
            piece = self._unpack(data, size)
            if piece:
                self._begun = True
                self._at += len(piece)
                self._limits.check_ratio(self._compression, self._received, self._at, self._place)
                return piece
        return b""

    def _input(self) -> bytes:
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        data = self._stored.read(_CHUNK)
        if not data:
            raise EOFError
        self._received += len(data)
        return data

    def _unpack(self, data: bytes, size: int) -> bytes:
        try:
            return self._decompressor.decompress(data, size)
        except (*CORRUPT, OSError) as error:
            if self._first or self._begun:
                raise
            raise UnexpectedContent(
                f"there is something behind the end of the {self._compression} data",
                place=self._place,
                hint="Copy the file again, or cut off what does not belong to it",
            ) from error

    def _next_stream(self) -> bool:
        """Begin the stream behind the one that ended, if there is one."""
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._stored.read(_CHUNK)
            if not chunk:
                return False
            self._received += len(chunk)
            rest = chunk.lstrip(b"\0")
        self._pending = rest
        self._decompressor = _NEW[self._compression]()
        self._first = self._begun = False
        return True


class _Gzip:
    """gzip with the interface of the others; zlib keeps what it could not unpack yet outside of itself."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._more = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._more

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._more = not self._inflate.eof and (
            bool(self._inflate.unconsumed_tail) or len(piece) == max_length
        )
        return piece


_NEW: Final[dict[Compression, Callable[[], Decompressor]]] = {
    Compression.GZIP: _Gzip,
    Compression.BZIP2: bz2.BZ2Decompressor,
    Compression.XZ: lambda: lzma.LZMADecompressor(memlimit=_MEMORY),
    Compression.ZSTD: lambda: ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW_LOG}),
}
