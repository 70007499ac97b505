"""A file that comes as one stream: its beginning is kept, going back further opens the stream again."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from kasparro.core.errors import TransientSourceError, UnexpectedContent
from kasparro.ingestion.files.seekable import SeekableFile

KEPT: Final = 4 * 1024 * 1024
"""Bytes of the beginning that are kept: finding out how a file is written reads them several times."""
_STEP: Final = 256 * 1024


class StreamedFile(SeekableFile):
    """`read(length)` gives what comes next in the stream, none at its end; `reopen` begins it again, the same version.

    A stream that breaks is opened again as often as `reopenings` says, and read up to where it broke.
    """

    def __init__(
        self, size: int | None, read: Callable[[int], bytes], reopen: Callable[[], None], reopenings: int
    ) -> None:
        super().__init__()
        self._size = size
        self._read = read
        self._reopen = reopen
        self._reopenings = reopenings
        self._head = bytearray()
        self._stream_at = 0
        self._last = b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise UnexpectedContent(
                "a zip archive is read from its end, and the server does not say where that is",
                hint="Have it send Content-Length, or compress the file with gzip",
            )
        return self._moved(offset, whence, self._size or 0)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer has no name before 3.12
        piece = self._held(len(buffer)) or self._next(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _held(self, length: int) -> bytes:
        """What is there without asking: of the beginning, or of the last piece that came."""
        begin = self._at - (self._stream_at - len(self._last))
        if self._at >= len(self._head) and begin >= 0:
            return self._last[begin : begin + length]
        return bytes(self._head[self._at : self._at + length])

    def _next(self, length: int) -> bytes:
        """What stands at the place of reading, behind the beginning that is kept."""
        if self._at < self._stream_at:
            self._begin_again()
        while self._stream_at < self._at:
            if not self._pull(min(_STEP, self._at - self._stream_at)):
                return b""
        return self._pull(length)

    def _pull(self, length: int) -> bytes:
        piece = self._read_on(length)
        if self._stream_at == len(self._head):
            self._head += piece[: KEPT - len(self._head)]
        self._stream_at += len(piece)
        self._last = piece
        return piece

    def _read_on(self, length: int) -> bytes:
        while True:
            try:
                return self._read(length)
            except TransientSourceError:
                if self._reopenings <= 0:
                    raise
            broke_at = self._stream_at
            self._reopenings -= 1
            self._begin_again()
            self._skip_to(broke_at)

    def _skip_to(self, target: int) -> None:
        while self._stream_at < target:
            piece = self._read_on(min(_STEP, target - self._stream_at))
            if not piece:
                return
            self._stream_at += len(piece)
            self._last = piece

    def _begin_again(self) -> None:
        self._reopen()
        self._stream_at = 0
        self._last = b""
