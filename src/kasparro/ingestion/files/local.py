"""Files of this machine: found by path or pattern, opened, watched for change. Called by `csv.locations`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from kasparro.core.errors import PermanentSourceError, SourceChanged
from kasparro.ingestion.files.below import open_below, parts_below
from kasparro.ingestion.files.failures import translated
from kasparro.ingestion.files.patterns import Pattern, is_pattern, split_pattern
from kasparro.ingestion.files.special import OPEN_FLAGS, checked, refuse_special
from kasparro.ingestion.files.stored import StoredFile

MOST_FILES: Final = 100_000
"""What one pattern may match."""
_MOST_ENTRIES: Final = 2_000_000
_BUFFER_BYTES: Final = 256 * 1024


NO_MATCH: Final = "no file matches the pattern"
NO_MATCH_HINT: Final = (
    "`*` stays within one folder, `**` goes into all below; hidden names need a pattern with a dot"
)


@dataclass(frozen=True, slots=True)
class LocalPath:
    """An absolute path, and the root it may not leave. `shown` is the path as declared; a folder's ends with a slash."""

    path: Path
    shown: str
    root: Path | None = None

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def file_name(self) -> str:
        return self.path.name

    def open(self) -> StoredFile:
        return open_local(self)

    def child(self, name: str) -> LocalPath:
        readable = os.fsencode(name).decode("utf-8", "backslashreplace")
        return replace(self, path=self.path / name, shown=self.shown + readable)


def find_local(declared: str, folder: Path, root: str | None) -> list[LocalPath]:
    """The file or the files that *declared* names, sorted. Raises the `SourceError` family; none at all is an error."""
    below = None if root is None else _absolute(folder, root)
    if is_pattern(declared):
        start, rest = split_pattern(declared.replace(os.sep, "/"))
        base = LocalPath(_absolute(folder, start), start, below)
        found = sorted(_Search(Pattern(rest)).below(base), key=lambda one: one.shown)
        if not found:
            raise PermanentSourceError(NO_MATCH, place=str(base.path / rest), hint=NO_MATCH_HINT)
    else:
        found = [LocalPath(_absolute(folder, declared), declared, below)]
    for one in found:
        _look_at(one)
    return found


def open_local(file: LocalPath) -> StoredFile:
    """Open a regular file, and nothing else."""
    with translated(file.place):
        stream = os.fdopen(_handle(file), "rb", buffering=_BUFFER_BYTES)
    seen = os.fstat(stream.fileno())
    return StoredFile(
        name=file.file_name,
        stream=stream,
        size=seen.st_size,
        fingerprint={"size": seen.st_size, "mtime_ns": seen.st_mtime_ns},
        close=stream.close,
        check_unchanged=partial(_check_unchanged, file, seen),
    )


def _absolute(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).absolute()


def _look_at(file: LocalPath) -> None:
    """Refuse what cannot be read later on: what is no file, what is not there, what is not below the root."""
    with translated(file.place):
        if file.root is None:
            refuse_special(file.path.stat(), file.place)
        else:
            os.close(_handle(file))


def _handle(file: LocalPath) -> int:
    if file.root is not None:
        return open_below(file.root, parts_below(file.root, file.path))
    refuse_special(file.path.stat(), file.place)
    return checked(os.open(file.path, OPEN_FLAGS), file.place)


def _check_unchanged(file: LocalPath, seen: os.stat_result) -> None:
    try:
        now = file.path.stat()
    except OSError as error:
        raise SourceChanged(f"the file is gone ({error.strerror})", place=file.place) from error
    if _identity(now) != _identity(seen):
        what = "replaced" if _inode(now) != _inode(seen) else "written to"
        raise SourceChanged(
            f"the file was {what} while it was being read",
            place=file.place,
            hint="Nothing of the mixed state was taken; run again when the file is complete",
        )


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return *_inode(status), status.st_size, status.st_mtime_ns


class _Search:
    """One walk through the folders that a pattern may reach."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._seen = 0
        self._found = 0

    def below(self, start: LocalPath) -> Iterator[LocalPath]:
        """Yield what matches, in no order. Links to folders are followed where a name stands for them, never by `**`."""
        waiting = [(start, self._pattern.start)]
        while waiting:
            folder, states = waiting.pop()
            for name, is_folder, is_link in self._entries(folder):
                following = self._pattern.step(states, name, deep=not is_link)
                if is_folder and self._pattern.goes_on(following):
                    child = folder.child(name)
                    waiting.append((replace(child, shown=f"{child.shown}/"), following))
                elif not is_folder and self._pattern.accepts(following):
                    self._count(folder)
                    yield folder.child(name)

    def _entries(self, folder: LocalPath) -> list[tuple[str, bool, bool]]:
        with translated(folder.place), _listed(folder) as listed:
            found = [(entry.name, _is_folder(entry), entry.is_symlink()) for entry in listed]
        self._seen += len(found)
        if self._seen > _MOST_ENTRIES:
            raise _too_many(f"looks at more than {_MOST_ENTRIES:,} names", folder.place)
        return found

    def _count(self, folder: LocalPath) -> None:
        self._found += 1
        if self._found > MOST_FILES:
            raise _too_many(f"matches more than {MOST_FILES:,} files", folder.place)


def _too_many(what: str, place: str) -> PermanentSourceError:
    return PermanentSourceError(f"the pattern {what}", place=place, hint="Declare several sources")


@contextmanager
def _listed(folder: LocalPath) -> Iterator[Iterator[os.DirEntry[str]]]:
    if folder.root is None:
        with os.scandir(folder.path) as entries:
            yield entries
        return
    handle = open_below(folder.root, parts_below(folder.root, folder.path), folder=True)
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: whoever opens it is told
        return False
