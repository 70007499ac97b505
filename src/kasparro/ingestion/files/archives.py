"""Members of zip archives: which there are, and their bytes. Nothing is ever written to a disk.

Called by `csv.locations` to find members and by `csv.files` to read one.
"""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO, Final, cast

from kasparro.core.errors import FileTooLarge, PathRefused, PermanentSourceError, UnexpectedContent
from kasparro.ingestion.files.failures import translated
from kasparro.ingestion.files.patterns import Pattern
from kasparro.ingestion.files.unpacking import Compression, Limits

_LARGEST_DIRECTORY: Final = 8 * 1024 * 1024
_TABLES: Final = frozenset({".csv", ".tsv", ".tab", ".psv", ".txt"})
_LEAVES: Final = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|[\x00-\x1f]")
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x1 | 0x40
_SYSTEM_UNIX: Final = 3


def find_members(stored: BinaryIO, wanted: str | None, place: str) -> list[str]:
    """The names of the members that *wanted* names, sorted; without it, of the one that is a table."""
    with translated(place):
        members = _members(_opened(stored, place))
    if wanted is None:
        return [_only(members, place)]
    pattern = Pattern(wanted)
    found = sorted({name for name in members if pattern.matches(name)})
    for name in found:
        refuse_name(name, f"{place}!{name}")
    return found


def open_member(stored: BinaryIO, name: str | None, limits: Limits, place: str) -> BinaryIO:
    """The unpacked bytes of the member *name*; without it, of the one that is a table."""
    with translated(place):
        archive = _opened(stored, place)
        name = _only(_members(archive), place) if name is None else name
        info = _info(archive, name, place)
        limits.check_size(info.file_size, place)
        limits.check_ratio(Compression.ZIP, info.compress_size, info.file_size, place)
        return cast("BinaryIO", archive.open(info))


def _members(archive: zipfile.ZipFile) -> list[str]:
    """The files in *archive* without those that a system hides or adds by itself."""
    return [
        info.filename
        for info in archive.infolist()
        if not info.is_dir() and not any(_is_hidden(part) for part in PurePosixPath(info.filename).parts)
    ]


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and not part.startswith(".."))


def _only(members: list[str], place: str) -> str:
    """The only member, or the only one whose name is that of a table."""
    tables = [name for name in members if PurePosixPath(name).suffix.lower() in _TABLES]
    found = members if len(members) == 1 else tables
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnexpectedContent(
            "no member of the zip archive is a CSV file by its name",
            place=place,
            hint="Name the member behind the path: archive.zip!member",
        )
    names = ", ".join(sorted(found)[:5]) + (" ..." if len(found) > 5 else "")  # noqa: PLR2004  # a few are enough
    raise UnexpectedContent(
        f"the zip archive has {len(found)} CSV files: {names}",
        place=place,
        hint="Name one or a pattern of them behind the path: archive.zip!member.csv, archive.zip!*.csv",
    )


def _info(archive: zipfile.ZipFile, name: str, place: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename == name]
    if not found:
        raise PermanentSourceError(
            "the zip archive has no such member",
            place=place,
            hint="Names are those of its listing, folders included",
        )
    if len(found) > 1:
        raise UnexpectedContent(f"the zip archive has {len(found)} members of this name", place=place)
    (info,) = found
    refuse_name(name, place)
    mode = info.external_attr >> 16
    if info.is_dir() or (info.create_system == _SYSTEM_UNIX and stat.S_ISLNK(mode)):
        raise PathRefused("this member is a folder or a link, not a file", place=place)
    if info.flag_bits & _ENCRYPTED:
        raise PathRefused("this member is encrypted", place=place, hint="Pack it without a password")
    if info.compress_type not in _METHODS:
        raise UnexpectedContent(
            f"this member is compressed with method {info.compress_type}",
            place=place,
            hint="Members that are stored or deflated are read, which is what nearly every tool makes",
        )
    return info


def refuse_name(name: str, place: str) -> None:
    """Raise `PathRefused` for a name that would lead out of a folder the archive were unpacked in."""
    if _LEAVES.search(name):
        raise PathRefused(
            "the name of this member leads out of the archive", place=place, hint="Do not trust who made it"
        )


def _opened(stored: BinaryIO, place: str) -> zipfile.ZipFile:
    bounded = _Bounded(stored, place)
    archive = zipfile.ZipFile(bounded)
    bounded.most = None
    return archive


class _Bounded:
    """A file for `zipfile`, which reads the whole directory of an archive at once: refused when that is huge."""

    def __init__(self, stored: BinaryIO, place: str) -> None:
        self.most: int | None = _LARGEST_DIRECTORY
        self.seek = stored.seek
        self.tell = stored.tell
        self._stored = stored
        self._place = place

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.most is None:
            return self._stored.read(size)
        data = b"" if size > self.most else self._stored.read(size if size >= 0 else self.most + 1)
        if size > self.most or len(data) > self.most:
            raise FileTooLarge(
                "the directory of the zip archive is larger than 8 MiB",
                place=self._place,
                hint="Pack the files into several archives",
            )
        return data
