"""A file that is fetched block by block: reading on asks for larger blocks, and one block is kept. For what is far away."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from kasparro.ingestion.files.seekable import SeekableFile

_FIRST_BLOCK: Final = 1024 * 1024
_LARGEST_BLOCK: Final = 8 * 1024 * 1024


class RangedFile(SeekableFile):
    """`fetch(start, length)` gives exactly these bytes of *size*, or raises a `SourceError`. *head* is what is there already."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes], head: bytes = b"") -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._start = 0
        self._block = head
        self._length = _FIRST_BLOCK

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._moved(offset, whence, self._size)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer has no name before 3.12
        if self._at >= self._size or not buffer:
            return 0
        if not self._start <= self._at < self._start + len(self._block):
            self._next_block()
        begin = self._at - self._start
        piece = self._block[begin : begin + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _next_block(self) -> None:
        goes_on = self._at == self._start + len(self._block)
        self._length = min(2 * self._length, _LARGEST_BLOCK) if goes_on else _FIRST_BLOCK
        self._block = b""  # the old one need not be held while the new one comes
        self._start = self._at
        self._block = self._fetch(self._at, min(self._length, self._size - self._at))
