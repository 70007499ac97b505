"""The one edge where what the operating system and the decompressors raise becomes an error of ours, with its place."""

from __future__ import annotations

import errno
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kasparro.core.errors import (
    FileTooLarge,
    PermanentSourceError,
    SourceError,
    TransientSourceError,
    TruncatedContent,
    UnexpectedContent,
)
from kasparro.ingestion.files.zstandard import ZstdError

CORRUPT: Final = (zlib.error, lzma.LZMAError, gzip.BadGzipFile, ZstdError, zipfile.BadZipFile)
"""What the decompressors raise for corrupt data, but for bzip2, whose errors are an OSError without a number."""
_TOO_MUCH_MEMORY: Final = ("memory usage limit", "too much memory")


@contextmanager
def translated(place: str, offset: int | None = None) -> Iterator[None]:
    """Whatever goes wrong inside leaves as a `SourceError`; *offset* is where the stored file was read."""
    try:
        yield
    except EOFError as error:
        raise TruncatedContent(
            f"the compressed data ends too early{_read_up_to(offset)}",
            place=place,
            hint="Copy the file again",
        ) from error
    except CORRUPT as error:
        raise corrupt(place, offset, error) from error
    except OSError as error:
        if error.errno is None:
            raise corrupt(place, offset, error) from error
        raise _refused(place, error) from error
    except ValueError as error:  # a NUL in the path
        raise PermanentSourceError(f"this is not a usable path: {error}", place=place) from error


def corrupt(place: str, offset: int | None, error: Exception) -> SourceError:
    if any(words in str(error).lower() for words in _TOO_MUCH_MEMORY):
        return FileTooLarge(
            "unpacking the file takes more than 128 MiB of memory",
            place=place,
            hint="Compress it with a smaller dictionary or window: xz -9, zstd -19 and all below are fine",
        )
    return UnexpectedContent(
        f"the compressed data is corrupt{_read_up_to(offset)}: {error}",
        place=place,
        hint="Copy the file again, or give it the name of what it is",
    )


def _read_up_to(offset: int | None) -> str:
    return "" if offset is None else f" (read up to byte {offset})"


def _refused(place: str, error: OSError) -> SourceError:
    code = errno.errorcode.get(error.errno or 0, str(error.errno))
    detail: dict[str, Any] = {"place": place}
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            hint = "`path` is a file or a pattern, relative to the folder of the catalog"
            return PermanentSourceError("there is no such file", **detail, hint=hint)
        case errno.EACCES | errno.EPERM:
            hint = "Let the user that Kasparro runs as read it"
            return PermanentSourceError("permission to read the file is denied", **detail, hint=hint)
        case errno.ELOOP | errno.ENAMETOOLONG | errno.ENXIO | errno.ENODEV:
            return PermanentSourceError(f"the file cannot be opened: {error.strerror} ({code})", **detail)
        case _:
            return TransientSourceError(f"reading failed: {error.strerror} ({code})", **detail)
