"""The bytes of a CSV file: as stored in, unpacked out, bounded and watched for change.

Opened by `locations`, read by `reading`, always in a worker thread. Raises the `SourceError` family only.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, cast

from kasparro.core.errors import SourceError, UnexpectedContent
from kasparro.ingestion.files.archives import open_member
from kasparro.ingestion.files.failures import translated
from kasparro.ingestion.files.stored import StoredFile
from kasparro.ingestion.files.unpacking import Compression, Limits, Unpacking

_HEAD_BYTES: Final = 64 * 1024
_BUFFER_BYTES: Final = 256 * 1024
_SUFFIXES: Final = {
    ".gz": Compression.GZIP,
    ".bz2": Compression.BZIP2,
    ".xz": Compression.XZ,
    ".zst": Compression.ZSTD,
    ".zip": Compression.ZIP,
}
_MAGIC: Final = (
    (b"\x1f\x8b\x08", Compression.GZIP),
    (b"\xfd7zXZ\x00", Compression.XZ),
    (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
    (b"PK\x03\x04", Compression.ZIP),
    *((b"BZh%d1AY&SY" % level, Compression.BZIP2) for level in range(1, 10)),
    *((b"BZh%d\x17rE8P\x90" % level, Compression.BZIP2) for level in range(1, 10)),  # nothing, compressed
)
_TAR: Final = (257, b"ustar")


class SourceFile:
    """A file, plain, compressed, or a member of an archive, open for reading.

    `size` is None where it is not known before the end. `fingerprint` tells this version of the file from others. `place` is
    what errors show.
    """

    def __init__(self, stored: StoredFile, place: str, member: str | None, limits: Limits) -> None:
        self.place = place
        self._stored = stored
        self._limits = limits
        self._interrupted = False
        try:
            self._open(member)
        except BaseException:
            stored.close()
            raise

    def _open(self, member: str | None) -> None:
        with translated(self.place, 0):
            head = self._stored.stream.read(_HEAD_BYTES)
            self._stored.stream.seek(0)
        self.fingerprint: dict[str, Any] = {
            **self._stored.fingerprint,
            "head_sha256": hashlib.sha256(head).hexdigest(),
        }
        if member is not None:
            self.fingerprint["member"] = member
        compression = compression_of(self._stored.name, head) if member is None else Compression.ZIP
        self.size = self._stored.size if compression is None else None
        if self.size is not None:
            self._limits.check_size(self.size, self.place)
        self._stream = self._unpacked(compression, member)
        if compression is not None:
            self._refuse_nested()

    def _unpacked(self, compression: Compression | None, member: str | None) -> BinaryIO:
        stream = self._stored.stream
        if compression is None:
            return stream
        if compression is Compression.ZIP:
            return open_member(stream, member, self._limits, self.place)
        unpacking = Unpacking(stream, compression, self._limits, self.place)
        return cast("BinaryIO", io.BufferedReader(unpacking, _BUFFER_BYTES))

    def _refuse_nested(self) -> None:
        head = self.read(_TAR[0] + len(_TAR[1]))
        self.seek(0)
        inner = _by_content(head)
        if head[_TAR[0] :] == _TAR[1]:
            raise UnexpectedContent(
                "there is a tar archive in the file",
                place=self.place,
                hint="Unpack it, or pack its files as zip",
            )
        if inner is not None:
            raise UnexpectedContent(
                f"there is {inner} data again in the unpacked file", place=self.place, hint="Compress it once"
            )

    def read(self, size: int) -> bytes:
        """Return *size* bytes, fewer at the end of the file alone."""
        if self._interrupted:
            raise SourceError("reading was ended before the file was", place=self.place)
        with translated(self.place, self._position()):
            data = self._stream.read(size)
            self._limits.check_size(self._stream.tell(), self.place)
            return data

    def seek(self, offset: int) -> None:
        """Go to *offset* of the unpacked file; a compressed one is read up to there."""
        with translated(self.place, offset):
            self._stream.seek(offset)

    def check_unchanged(self) -> None:
        """Raise `SourceChanged` when the place no longer shows the file that was opened, as it was."""
        self._stored.check_unchanged()

    def interrupt(self) -> None:
        """End the reading of another thread: the next `read`, and one that waits for the network; they raise `SourceError`."""
        self._interrupted = True
        self._stored.interrupt()

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._stream.close()
        self._stored.close()

    def _position(self) -> int:
        return self._stored.stream.tell()


def compression_of(name: str, head: bytes) -> Compression | None:
    """How a file is compressed: by its content, else by its name."""
    return _by_content(head) or _SUFFIXES.get(PurePosixPath(name).suffix.lower())


def _by_content(head: bytes) -> Compression | None:
    return next((compression for magic, compression in _MAGIC if head.startswith(magic)), None)
