"""What the files read here have in common: a place of reading that can be moved. Used by `ranged`, `streamed`, `unpacking`."""

from __future__ import annotations

import io


class SeekableFile(io.RawIOBase):
    """A file that is read only. `_at` is the place of reading."""

    _at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def _moved(self, offset: int, whence: int, size: int) -> int:
        """Move the place of reading in a file of *size* bytes, as `seek` is asked to."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence]
        self._at = max(0, origin + offset)
        return self._at
