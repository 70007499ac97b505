"""Where the CSV files of a source are: a declaration in, their locations out; a location in, the open file out.

Called by `reading`, in a worker thread. Raises the `SourceError` family only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath
from typing import assert_never

from kasparro.core.errors import PermanentSourceError
from kasparro.core.etl_config import CsvSource, path_kind, split_member
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.files.archives import find_members, refuse_name
from kasparro.ingestion.files.local import NO_MATCH, NO_MATCH_HINT, find_local
from kasparro.ingestion.files.patterns import is_pattern
from kasparro.ingestion.files.stored import StoredPlace
from kasparro.ingestion.files.unpacking import Limits


@dataclass(frozen=True, slots=True)
class Location:
    """One CSV file. `name` is what lineage shows: as declared, without credentials; `archive.zip!member.csv`."""

    name: str
    file: StoredPlace
    member: str | None
    limits: Limits

    @property
    def place(self) -> str:
        """What errors show: the whole path."""
        return self.file.place if self.member is None else f"{self.file.place}!{self.member}"


def find(declaration: CsvSource) -> Sequence[Location]:
    """The files of *declaration*, sorted by name. That there is none is an error, and so is one that is no file."""
    path, wanted = split_member(declaration.path)
    limits = Limits(declaration.max_size, declaration.max_ratio)
    files = _files(declaration, path)
    found = [
        Location(file.shown if member is None else f"{file.shown}!{member}", file, member, limits)
        for file in files
        for member in _members(file, wanted)
    ]
    if not found:
        place = f"{files[0].place}!{wanted}"
        raise PermanentSourceError(
            NO_MATCH.replace("file", "member of the archive"), place=place, hint=NO_MATCH_HINT
        )
    return found


def open_file(location: Location) -> SourceFile:
    """Open *location* for reading."""
    return SourceFile(location.file.open(), location.place, location.member, location.limits)


def _files(declaration: CsvSource, path: str) -> Sequence[StoredPlace]:
    """What reaches far files is loaded when it is needed: it would take a fifth of the start of every command."""
    match path_kind(path):
        case "local":
            return find_local(path, declaration.folder, declaration.root)
        case "s3":
            buckets = import_module("kasparro.ingestion.files.buckets")
            objects: Sequence[StoredPlace] = buckets.find_objects(
                path, declaration.storage, declaration.retry
            )
            return objects
        case "http":
            return [import_module("kasparro.ingestion.files.web").address_of(path, declaration)]
        case never:
            assert_never(never)


def _members(file: StoredPlace, wanted: str | None) -> Sequence[str | None]:
    """The members of an archive that are meant; None stands for the file itself, which is no archive by its name."""
    if wanted is None and PurePosixPath(file.file_name).suffix.lower() != ".zip":
        return [None]
    if wanted is not None and not is_pattern(wanted):
        refuse_name(wanted, f"{file.place}!{wanted}")
        return [wanted]
    stored = file.open()
    try:
        return find_members(stored.stream, wanted, file.place)
    finally:
        stored.close()
