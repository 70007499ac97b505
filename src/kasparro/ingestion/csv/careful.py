"""A run of lines to rows, one record at a time: for whatever the fast ways cannot take.

In: bytes that begin where a record begins. Out: rows and faults with their exact byte ranges. Called by `parser` and, for the
header row, by `reading`.

A quote that is never closed swallows what follows. The record is given up when the file ends inside the quotes, when text
stands behind a closing quote on a later line, or after `RECORD_LIMIT` bytes. Its first line becomes the fault and reading goes on
with the next one. Every record that begins inside the swallowed stretch and is still open at the end of its line would meet the
same end, so it is given up at once (`_open_until`): no byte is searched for a closing quote more than twice.
"""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from typing import Final

from kasparro.ingestion.csv.dialect import RECORD_LIMIT, Dialect
from kasparro.ingestion.csv.encoding import Encoding
from kasparro.ingestion.csv.lines import LineEnds
from kasparro.schemas.ingest import RejectReason

FIELD_LIMIT: Final = 1024 * 1024
"""Characters one cell may have."""
_COMMENT_BYTES: Final = 64
"""Enough of a line to see what begins it."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one record; none for a line that is blank or a comment.

    `start` and `end` are positions in the run, `lines` its physical lines.
    """

    start: int
    end: int
    lines: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that could not be parsed, and why. `column` is the position of the cell at fault, from 0."""

    start: int
    end: int
    lines: int
    reason: RejectReason
    message: str
    column: int | None = None


class CarefulRows:
    """The rows of one file, taken with care. Remembers up to where an open quote is known to swallow everything."""

    def __init__(self, encoding: Encoding, dialect: Dialect, ends: LineEnds) -> None:
        self._encoding = encoding
        self._dialect = dialect
        self._ends = ends
        self._open_until = 0

    def swallowed(self, offset: int) -> bool:
        """Say whether *offset* of the file lies in a stretch that an open quote is known to swallow."""
        return offset < self._open_until

    def next(self, run: bytes, start: int, offset: int, *, final: bool, longest: bool) -> Row | Fault | None:
        """Return what begins at *start* of *run*, or None when a longer run from there on must be seen first.

        *offset* is where the run begins in the file; *final*: the file ends with it; *longest*: there is no longer one.
        """
        first, escaped = self._first_line(run, start)
        if self._is_comment(run[start : min(first, start + _COMMENT_BYTES)]):
            end = self._ends.after(run, start)
            return Row(start, end, 1, [])
        known = self.swallowed(offset + start) and (final or not escaped)
        feed = _Lines(run, start, first if known else len(run), self._encoding.name, self._ends)
        try:
            cells = next(self._dialect.reader(feed, strict=True))
        except csv.Error:
            if feed.exhausted and not (known or final or (longest and start == 0)):
                return None
            return self._lenient(run, start, first, offset, feed)
        return self._row(start, feed, cells, offset)

    def _is_comment(self, line: bytes) -> bool:
        mark = self._dialect.comment
        return mark is not None and line.decode(self._encoding.name, "replace").startswith(mark)

    def _first_line(self, run: bytes, start: int) -> tuple[int, bool]:
        """Return where the line at *start* ends that no escape makes longer, and whether more of the file might do so."""
        while True:
            end = self._ends.after(run, start)
            escaped = self._is_escaped(run[start:end])
            if not escaped or end == len(run):
                return end, escaped
            start = end

    def _is_escaped(self, line: bytes) -> bool:
        """Say whether the end of *line* is escaped: then it is not where the record ends."""
        escape = self._dialect.escapechar
        if escape is None:
            return False
        text = line.decode(self._encoding.name, "replace")
        before = text[:-1] if text.endswith(("\n", "\r")) else ""
        return (len(before) - len(before.rstrip(escape))) % 2 == 1

    def _row(self, start: int, feed: _Lines, cells: list[str], offset: int) -> Row | Fault:
        if feed.bad_byte is not None:
            return self._undecodable(start, feed, offset)
        if len(feed.run) > FIELD_LIMIT:
            for column, cell in enumerate(cells):
                if len(cell) > FIELD_LIMIT:
                    message = f"a cell has {len(cell)} characters, more than {FIELD_LIMIT}"
                    return Fault(start, feed.at, feed.count, RejectReason.FIELD_TOO_LARGE, message, column)
        return Row(start, feed.at, feed.count, cells)

    def _undecodable(self, start: int, feed: _Lines, offset: int) -> Fault:
        position = feed.bad_byte or 0
        message = (
            f"byte {offset + position} (0x{feed.run[position]:02x}) is not valid {self._encoding.name}"
            f" ({'declared' if self._encoding.how == 'declared' else 'detected by ' + self._encoding.how})"
        )
        return Fault(start, feed.at, feed.count, RejectReason.UNDECODABLE, message)

    def _lenient(self, run: bytes, start: int, first: int, offset: int, strict: _Lines) -> Row | Fault:
        """Take a record the strict reader refuses: its first line alone, if no quote is open at the end of it."""
        feed = _Lines(run, start, first, self._encoding.name, self._ends)
        try:
            cells = next(self._dialect.reader(feed, strict=False))
        except csv.Error as error:
            message = f"the row cannot be parsed: {error}"
            return Fault(start, feed.at, feed.count, RejectReason.UNTERMINATED_QUOTE, message)
        if not feed.exhausted:
            return self._row(start, feed, cells, offset)
        self._open_until = max(self._open_until, offset + (strict.at if strict.exhausted else strict.before))
        if feed.bad_byte is not None:
            return self._undecodable(start, feed, offset)
        return Fault(start, feed.at, feed.count, RejectReason.UNTERMINATED_QUOTE, self._where(run, strict))

    @staticmethod
    def _where(run: bytes, strict: _Lines) -> str:
        if not strict.exhausted and strict.count > 1:
            return f"a quote is opened here, and text follows the closing one {strict.count - 1} lines further on"
        if strict.exhausted and len(run) > RECORD_LIMIT // 2:
            return f"a quote is opened here and not closed within {RECORD_LIMIT // 1024 // 1024} MiB"
        return "a quote is opened here and not closed properly before the end of the file"


class _Lines:
    """Feeds the decoded lines of `run` from `at` to `end`, and keeps what happened on the way."""

    __slots__ = ("_decode", "_ends", "_name", "at", "bad_byte", "before", "count", "end", "exhausted", "run")

    def __init__(self, run: bytes, start: int, end: int, name: str, ends: LineEnds) -> None:
        self.run, self.at, self.before, self.end = run, start, start, end
        self.count = 0
        self.exhausted = False
        self.bad_byte: int | None = None
        self._name, self._ends = name, ends
        self._decode = codecs.getdecoder(name)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.at >= self.end:
            self.exhausted = True
            raise StopIteration
        self.before, self.at = self.at, self._ends.after(self.run, self.at)
        self.count += 1
        text = self._text(self.run[self.before : self.at])
        # The last line of a file may have no end, and behind an escaped line end the reader does not take that for one.
        return text if text.endswith(("\n", "\r")) else text + "\n"

    def _text(self, line: bytes) -> str:
        try:
            return self._decode(line)[0]
        except UnicodeDecodeError as error:
            if self.bad_byte is None:
                self.bad_byte = self.before + error.start
            return self._decode(line, "replace")[0]  # for the structure only: the record is a fault
