"""The bytes of a file: opened, decompressed, and watched for change.

In: a path. Out: bytes, and errors of the `SourceError` family. Called by `reading`, always in a worker thread.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from kasparro.core.errors import (
    PermanentSourceError,
    SourceChanged,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)

_HEAD_BYTES: Final = 64 * 1024
_BUFFER_BYTES: Final = 256 * 1024
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
)
_SUFFIXES: Final = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
_MAGIC: Final = {b"\x1f\x8b\x08": "gzip", b"\xfd7zXZ\x00": "xz"}
_FOREIGN: Final = {b"PK\x03\x04": "a zip archive", b"\x28\xb5\x2f\xfd": "compressed with zstd"}
_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class SourceFile:
    """A regular file, plain or compressed with gzip, bzip2 or xz, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _translated(path, 0):
            self._raw = _open_regular(path)
        try:
            self._seen = os.fstat(self._raw.fileno())
            with _translated(path, 0):
                head = self._raw.read(_HEAD_BYTES)
                self._raw.seek(0)
            self.fingerprint = {
                "size": self._seen.st_size,
                "mtime_ns": self._seen.st_mtime_ns,
                "head_sha256": hashlib.sha256(head).hexdigest(),
            }
            compression = _compression(path, head)
            self.size = self._seen.st_size if compression is None else None
            self._stream = _decompressed(self._raw, compression)
        except BaseException:
            self._raw.close()
            raise

    def read(self, size: int) -> bytes:
        """Return up to *size* bytes, none at the end of the file. Raises the `SourceError` family only."""
        with _translated(self.path, self._raw.tell()):
            return self._stream.read(size)

    def seek(self, offset: int) -> None:
        """Go to *offset* of the decompressed file; a compressed one is read up to there."""
        with _translated(self.path, offset):
            self._stream.seek(offset)

    def check_unchanged(self) -> None:
        """Raise `SourceChanged` when the path no longer shows the file that was opened, as it was."""
        try:
            now = self.path.stat()
        except OSError as error:
            raise SourceChanged(f"the file is gone ({error.strerror})", place=str(self.path)) from error
        if _identity(now) != _identity(self._seen):
            what = "replaced" if _place(now) != _place(self._seen) else "written to"
            raise SourceChanged(
                f"the file was {what} while it was being read",
                place=str(self.path),
                hint="Nothing of the mixed state was taken; run again when the file is complete",
            )

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._stream.close()
        self._raw.close()


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return *_place(status), status.st_size, status.st_mtime_ns


def _open_regular(path: Path) -> BinaryIO:
    """Open *path*, refusing what is not a regular file before and after: a device may act on being opened."""
    _refuse_special(path, path.stat())
    handle = os.open(path, _FLAGS)
    try:
        _refuse_special(path, os.fstat(handle))
        return os.fdopen(handle, "rb", buffering=_BUFFER_BYTES)
    except BaseException:
        os.close(handle)
        raise


def _refuse_special(path: Path, status: os.stat_result) -> None:
    kind = next((name for test, name in _KINDS if test(status.st_mode)), None)
    if kind or not stat.S_ISREG(status.st_mode):
        raise PermanentSourceError(
            f"this is {kind or 'not a regular file'}",
            place=str(path),
            hint="A CSV source reads regular files only",
        )


def _compression(path: Path, head: bytes) -> str | None:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise UnexpectedContent(
                f"the file is {what}",
                place=str(path),
                hint="Unpack it; plain files, gzip, bzip2 and xz are read as they are",
            )
    by_content = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    return by_content or _SUFFIXES.get(path.suffix.lower())


def _decompressed(raw: BinaryIO, compression: str | None) -> BinaryIO:
    if compression == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))
    if compression == "bzip2":
        return cast("BinaryIO", bz2.BZ2File(raw))
    if compression == "xz":
        return cast("BinaryIO", lzma.LZMAFile(raw))
    return raw


@contextmanager
def _translated(path: Path, offset: int) -> Iterator[None]:
    """Turn what the operating system and the decompressors raise into ours; *offset* is that in the stored file."""
    place = str(path)
    try:
        yield
    except EOFError as error:
        raise TruncatedContent(
            f"the compressed data ends too early (read up to byte {offset})",
            place=place,
            hint="Copy the file again",
        ) from error
    except (zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _corrupt(place, offset, error) from error
    except OSError as error:
        if error.errno is None:  # what bz2 raises for corrupt data
            raise _corrupt(place, offset, error) from error
        raise _refused(path, error) from error
    except ValueError as error:  # a NUL in the path
        raise PermanentSourceError(f"this is not a usable path: {error}", place=place) from error


def _corrupt(place: str, offset: int, error: Exception) -> UnexpectedContent:
    return UnexpectedContent(
        f"the compressed data is corrupt (read up to byte {offset}): {error}",
        place=place,
        hint="Copy the file again, or give it the name of what it is",
    )


def _refused(path: Path, error: OSError) -> SourceError:
    place, code = str(path), errno.errorcode.get(error.errno or 0, str(error.errno))
    detail: dict[str, Any] = {"place": place}
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            hint = "`path` is one file, relative to the folder of the catalog"
            return PermanentSourceError("there is no such file", **detail, hint=hint)
        case errno.EACCES | errno.EPERM:
            hint = "Let the user that Kasparro runs as read it"
            return PermanentSourceError("permission to read the file is denied", **detail, hint=hint)
        case errno.ELOOP | errno.ENAMETOOLONG | errno.ENXIO | errno.ENODEV:
            return PermanentSourceError(f"the file cannot be opened: {error.strerror} ({code})", **detail)
        case _:
            return TransientSourceError(f"reading failed: {error.strerror} ({code})", **detail)
