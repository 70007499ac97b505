"""The digest of what has been read of a file: bytes in, BLAKE2b of everything before a place out.

Called by `stream`, which feeds it run by run, and by `resuming`, which compares. A later run that reads the same bytes gets
the same digest; that, and no date, is what says that a file is still the one it was.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16


class PrefixDigest:
    """Digests of the file's beginning: up to any place within the last run that was taken, or its end."""

    def __init__(self) -> None:
        self._whole = blake2b(digest_size=DIGEST_BYTES)
        self._before, self._begin, self._run = self._whole, 0, b""
        self.offset = 0

    def take(self, run: bytes) -> None:
        """Go on by a run; places within the one before can no longer be asked for."""
        self._before, self._begin, self._run = self._whole.copy(), self.offset, run
        self.extend(run)

    def extend(self, piece: bytes) -> None:
        """Go on by a piece of a line so long that no record begins in it."""
        self._whole.update(piece)
        self.offset += len(piece)

    def copy(self) -> PrefixDigest:
        """Return the same, to go on from here a second time."""
        other = PrefixDigest()
        other._whole, other.offset = self._whole.copy(), self.offset
        other._before, other._begin = other._whole, other.offset
        return other

    def at(self, offset: int) -> str:
        """Return the digest of the first *offset* bytes, as hex digits."""
        if offset == self.offset:
            return self._whole.hexdigest()
        part = self._before.copy()
        part.update(memoryview(self._run)[: offset - self._begin])
        return part.hexdigest()
