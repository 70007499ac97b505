"""Locks that the kernel releases when their holder dies, however it dies.

A lock belongs to an open file: a process that inherits the descriptor holds the lock too, and it is free only when all of
them have closed it. The server and its tools are given descriptors for exactly that reason.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from kasparro.core import clock

PAUSE_SECONDS = 0.02


def attempts(seconds: float) -> Iterator[None]:
    """Come back now and then until the time is over."""
    deadline = clock.monotonic() + seconds
    while True:
        yield
        if clock.monotonic() >= deadline:
            return
        time.sleep(PAUSE_SECONDS)


class FileLock:
    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self._path} is not locked")
        return self._descriptor

    def try_acquire(self) -> bool:
        if self._descriptor is not None:
            return True
        descriptor = open_owned(self._path)
        try:
            fcntl.flock(descriptor, self._mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def acquire(self, seconds: float) -> bool:
        """Wait for the lock; false when the time is over."""
        return any(self.try_acquire() for _ in attempts(seconds))

    def release(self) -> None:
        # Closed, not unlocked: a child that inherited the descriptor keeps the lock until it ends.
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def open_owned(path: Path, flags: int = 0) -> int:
    """Open a file of ours for writing; a new one belongs to whom its directory belongs."""
    flags |= os.O_RDWR | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor
