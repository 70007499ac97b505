"""Files below a declared root, opened one folder after the other so that nothing can lead out of it.

Each folder is opened without following links, relative to the one before, which stays open. A symbolic link is read and its
parts are walked in the same way; `..` goes back to a folder that is held open, and never beyond the root. Whatever is swapped for
a link meanwhile, by whomever, fails to open: there is no moment between a check and its use.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kasparro.core.errors import PathRefused, PermanentSourceError
from kasparro.ingestion.files.special import OPEN_FLAGS, checked, refuse_special

_MOST_LINKS: Final = 40
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


def parts_below(root: Path, path: Path) -> tuple[str, ...]:
    """The way from *root* to *path*, as it is written. Raises `PathRefused` where there is none."""
    for start in (root, Path(os.path.realpath(root))):
        if path.is_relative_to(start):
            return path.relative_to(start).parts
    raise PathRefused(
        f"the path is not below the declared root {root}",
        place=str(path),
        hint="Correct `path` or `root`; both are relative to the folder of the catalog",
    )


def open_below(root: Path, parts: Sequence[str], *, folder: bool = False) -> int:
    """Open the file (or the *folder*) at *parts* below *root*; raises `PathRefused` and `OSError`."""
    if os.open not in os.supports_dir_fd or not _NOFOLLOW:
        raise PermanentSourceError("this system has no means to keep files below a `root`", place=str(root))
    walk = _Walk(root, parts)
    try:
        return walk.open(folder=folder)
    finally:
        walk.close()


class _Walk:
    """The folders from the root to where the walk stands, all open, and the names still to go."""

    def __init__(self, root: Path, parts: Sequence[str]) -> None:
        self._root = root
        self._place = str(root.joinpath(*parts))
        self._folders = [os.open(root, _FOLDER)]
        self._ahead = list(reversed(parts))
        self._links = 0

    def close(self) -> None:
        self._back_to(0)

    def open(self, *, folder: bool) -> int:
        while self._ahead:
            name = self._ahead.pop()
            target = None if name in {"", ".", ".."} else _link(name, self._folders[-1])
            if target is not None:
                self._follow(target)
            elif name == "..":
                self._up()
            elif name in {"", "."}:
                continue
            elif self._ahead or folder:
                self._folders.append(os.open(name, _FOLDER | _NOFOLLOW, dir_fd=self._folders[-1]))
            else:
                return self._file(name)
        if folder:
            return os.dup(self._folders[-1])
        refuse_special(os.fstat(self._folders[-1]), self._place)
        raise AssertionError  # a folder is special

    def _file(self, name: str) -> int:
        where = self._folders[-1]
        refuse_special(os.stat(name, dir_fd=where, follow_symlinks=False), self._place)
        return checked(os.open(name, OPEN_FLAGS | _NOFOLLOW, dir_fd=where), self._place)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            self._ahead.extend(reversed(self._from_root(target)))
            self._back_to(1)
        else:
            self._ahead.extend(reversed(target.split("/")))

    def _from_root(self, target: str) -> tuple[str, ...]:
        try:
            return parts_below(self._root, Path(target))
        except PathRefused:
            raise self._leaves() from None

    def _up(self) -> None:
        if len(self._folders) == 1:
            raise self._leaves()
        self._back_to(len(self._folders) - 1)

    def _back_to(self, count: int) -> None:
        while len(self._folders) > count:
            os.close(self._folders.pop())

    def _leaves(self) -> PathRefused:
        return PathRefused(
            f"the path leaves the declared root {self._root}",
            place=self._place,
            hint="A symbolic link or `..` on the way leads out of it; put the file below the root",
        )


def _link(name: str, folder: int) -> str | None:
    """What the link *name* points to; None when it is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
