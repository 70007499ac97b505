"""Refresh tokens that change with each use: the newest one is kept in a file of the operator's choosing, if there is one.

A provider that rotates invalidates the token that was used. So the file is made ready before the provider is asked, held against
other processes while it is, and replaced as a whole. Never in the database: what is there is no place for a credential.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import structlog

from kasparro.core.errors import AuthenticationFailed

log = structlog.get_logger(__name__)


Rotated = MutableMapping[tuple[str, str], str]
"""The newest refresh tokens a process was given, by source and by the digest of the declared one."""


class RefreshTokens(Protocol):
    """Where the refresh token is: used between `acquire` and `release`, by one process at a time."""

    def acquire(self) -> str | None:
        """The token; None while another process uses it."""
        ...

    def replace(self, token: str) -> None: ...

    def release(self) -> None: ...


class InMemory:
    """No file is declared: a new token is known for as long as the process lives."""

    def __init__(self, source: str, declared: str, rotated: Rotated) -> None:
        self._source = source
        self._declared = declared
        self._rotated = rotated
        self._key = (source, _digest(declared))

    def acquire(self) -> str:
        return self._rotated.get(self._key, self._declared)

    def replace(self, token: str) -> None:
        self._rotated[self._key] = token
        log.warning(
            "auth.refresh_token_rotated",
            source=self._source,
            hint="The new refresh token is lost when this process ends: declare auth.refresh_token_file",
        )

    def release(self) -> None: ...


class InFile:
    """Kept in *file*, readable by its owner alone, together with the digest of the declared one: a new one of those wins."""

    def __init__(self, file: Path, declared: str) -> None:
        self._file = file
        self._declared = declared
        self._lock: IO[str] | None = None
        self._ready: Path | None = None

    def acquire(self) -> str | None:
        try:
            with self._said():
                if not self._locked():
                    return None
                self._ready = self._file.with_name(f"{self._file.name}.new")
                self._ready.unlink(missing_ok=True)
                os.close(os.open(self._ready, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                return self._kept() or self._declared
        except BaseException:
            self.release()
            raise

    def replace(self, token: str) -> None:
        if self._ready is None:
            raise RuntimeError  # a defect: it was not acquired
        with self._said(), self._ready.open("w", encoding="utf-8") as file:
            json.dump({"declared": _digest(self._declared), "refresh_token": token}, file)
            file.flush()
            os.fsync(file.fileno())
        with self._said():
            self._ready.replace(self._file)
            self._ready = None

    def release(self) -> None:
        if self._ready is not None:
            self._ready.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
        self._ready = self._lock = None

    def _locked(self) -> bool:
        if self._file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        lock = self._file.with_name(f"{self._file.name}.lock").open("w", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _kept(self) -> str | None:
        if not self._file.exists():
            return None
        found = json.loads(self._file.read_text(encoding="utf-8"))
        return str(found["refresh_token"]) if found["declared"] == _digest(self._declared) else None

    @contextmanager
    def _said(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise AuthenticationFailed(
                f"the refresh token cannot be kept in {self._file} ({error.strerror or type(error).__name__})",
                hint="auth.refresh_token_file needs a folder that exists and that Kasparro may write to",
            ) from error
        except (ValueError, KeyError, TypeError):
            raise AuthenticationFailed(
                f"{self._file} is not a file that Kasparro has written",
                hint="auth.refresh_token_file names a file for Kasparro alone; move this one away",
            ) from None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
