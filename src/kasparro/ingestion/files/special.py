"""What is no regular file: refused before it is opened, since a device may act on that and a pipe may wait, and after."""

from __future__ import annotations

import os
import stat
from typing import Final

from kasparro.core.errors import PathRefused

OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def refuse_special(status: os.stat_result, place: str) -> None:
    """Raise `PathRefused` unless *status* is that of a regular file."""
    kind = next((name for test, name in _KINDS if test(status.st_mode)), None)
    if kind or not stat.S_ISREG(status.st_mode):
        raise PathRefused(
            f"this is {kind or 'not a regular file'}",
            place=place,
            hint="A CSV source reads regular files only",
        )


def checked(handle: int, place: str) -> int:
    """Return *handle*, or close it when it is no regular file."""
    try:
        refuse_special(os.fstat(handle), place)
    except BaseException:
        os.close(handle)
        raise
    return handle
