"""Physical lines, byte for byte: a line ends with LF, CR LF or CR, whatever the encoding's code unit.

In: a function that reads bytes. Out: runs of whole lines with their offsets. Called by `reading`, `parser` and `careful`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from kasparro.ingestion.csv.encoding import Encoding

_READ_BYTES: Final = 256 * 1024
_SKIP_BYTES: Final = 8 * 1024
_LONGEST_END: Final = 8  # CR LF in UTF-32


class LineEnds:
    """Where physical lines end in the bytes of one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        self._feed, self._return = encoding.line_feed, encoding.carriage_return
        self._unit = len(self._feed)
        self._ascii = (self._feed, self._return) == (b"\n", b"\r")
        feed, back = re.escape(self._feed), re.escape(self._return)
        self._end = re.compile(rb"%b(?:%b)?|%b" % (back, feed, feed))

    def split(self, run: bytes) -> list[bytes]:
        """Cut *run* into its lines, each with its end; only the last may have none."""
        if self._ascii:
            return run.splitlines(keepends=True)
        ends = [end.end() for end in self._end.finditer(run) if end.start() % self._unit == 0]
        cuts = [0, *ends]
        if cuts[-1] < len(run):
            cuts.append(len(run))
        return [run[start:end] for start, end in pairwise(cuts)]

    def after(self, run: bytes, start: int) -> int:
        """Return where the line that begins at *start* ends, its end included."""
        if self._unit == 1:
            end = self._end.search(run, start)
            return end.end() if end else len(run)
        ends = self._end.finditer(run, start)
        return next((end.end() for end in ends if (end.start() - start) % self._unit == 0), len(run))

    def last(self, run: bytes) -> int:
        """Return where the last line that is surely whole ends; 0 when there is none.

        A carriage return at the very end is not sure: a line feed may follow.
        """
        feed = self._last(run, self._feed, 0, len(run))
        return self._last(run, self._return, feed, len(run) - self._unit) or feed

    def closes(self, run: bytes) -> bool:
        """Say whether *run* surely ends with a line end; a carriage return is not sure, a line feed may follow."""
        return len(run) % self._unit == 0 and run.endswith(self._feed)

    def _last(self, run: bytes, end: bytes, low: int, high: int) -> int:
        at = run.rfind(end, low, high)
        while at >= 0 and at % self._unit:
            at = run.rfind(end, low, at + self._unit - 1)
        return at + self._unit if at >= 0 else 0


class LineBuffer:
    """The bytes of a file from `offset` on, handed out in runs of whole lines."""

    def __init__(self, read: Callable[[int], bytes], ends: LineEnds, offset: int, head: bytes = b"") -> None:
        self.offset = offset
        self._read = read
        self._ends = ends
        self._data = head
        self._at = 0
        self._eof = False

    def run(self, size: int) -> tuple[bytes, bool]:
        """Return whole lines of at most *size* bytes from `offset` on, and whether the file ends with them.

        No bytes and not the end: the first line is longer than *size*.
        """
        self._fill(size + _LONGEST_END)  # enough to see the line feed behind a carriage return
        if self._eof and len(self._data) - self._at <= size:
            return self._data[self._at :], True
        run = self._data[self._at : self._at + size]
        return run[: self._ends.last(run)], False

    def take(self, count: int) -> None:
        """Move on by *count* bytes."""
        self._at += count
        self.offset += count

    def skip_line(self, size: int, passed: Callable[[bytes], None] | None = None) -> tuple[bytes, int]:
        """Move past a line of any length; return its first *size* bytes and its whole length.

        *passed* is given all of its bytes, piece by piece.
        """
        self._fill(size)
        start, first = self.offset, self._data[self._at : self._at + size]
        while True:
            run, final = self.run(_SKIP_BYTES)
            count = self._ends.after(run, 0) if run else 0 if final else _SKIP_BYTES - _LONGEST_END
            if passed is not None:
                passed(self._data[self._at : self._at + count])
            self.take(count)
            if run or final:
                length = self.offset - start
                return first[:length], length

    def _fill(self, size: int) -> None:
        if self._eof or len(self._data) - self._at >= size:
            return
        parts = [self._data[self._at :]]
        missing = size - len(parts[0])
        while missing > 0 and not self._eof:
            part = self._read(max(missing, _READ_BYTES))
            parts.append(part)
            missing -= len(part)
            self._eof = not part
        self._data, self._at = b"".join(parts), 0
