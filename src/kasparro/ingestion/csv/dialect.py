"""Where cells and rows end: the declared dialect, with a delimiter found when none is declared.

In: the beginning of a file as text. Out: a `Dialect`. Called once for each opening of a file.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

SAMPLE_BYTES: Final = 64 * 1024
"""What the search for the delimiter reads."""
RECORD_LIMIT: Final = 16 * 1024 * 1024
"""Bytes one record may have before its opening quote counts as never closed. A longer line is a reject."""

_CANDIDATES: Final = ("\t", "|", ";", ",")
Header = bool | tuple[str, ...]
"""Whether the first row names the columns, or their names."""

NO_DELIMITER: Final = "\U0010ffff"
"""A character that Unicode keeps out of texts: the delimiter of a file that has none."""

_CONSISTENT: Final = 0.8


class Reader(Protocol):
    """What `csv.reader` returns: an iterator of rows that knows how many lines it has read."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """What separates cells, what quotes them, what makes the next character stand for itself, what begins a comment line."""

    delimiter: str
    quotechar: str | None
    escapechar: str | None
    comment: str | None = None

    def reader(self, lines: Iterable[str], *, strict: bool) -> Reader:
        """Parse *lines* with the standard library's reader; *strict* refuses text behind a closing quote."""
        _raise_cell_limit()
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quotechar,
            escapechar=self.escapechar,
            quoting=csv.QUOTE_MINIMAL if self.quotechar else csv.QUOTE_NONE,
            strict=strict,
        )


def find_delimiter(sample: str, dialect: Dialect, header: Header, *, complete: bool) -> str:
    """Return the delimiter of *sample*, the beginning of a file that ends with a whole line, or (*complete*) all of it.

    The candidate under which the most rows have as many cells as the header wins; on a tie the one under which no text
    stands behind a closing quote, then the one with more cells. Where none gives the header two cells, and the rows agree on
    none either, the file has one column and nothing separates it.
    """
    readings = {
        candidate: _widths(sample, replace(dialect, delimiter=candidate), complete=complete)
        for candidate in _free(dialect)
    }
    scores = [
        (*_share(widths, header), tidy, candidate) for candidate, (widths, tidy) in readings.items() if widths
    ]
    if fitting := [score for score in scores if score[1] > 1 and score[0] > 0]:
        return max(fitting, key=lambda score: (score[0], score[2], score[1]))[3]
    agreed = [
        (*_share(widths, header=False), candidate) for candidate, (widths, _) in readings.items() if widths
    ]
    if clear := [
        (share, candidate) for share, width, candidate in agreed if width > 1 and share >= _CONSISTENT
    ]:
        return max(clear, key=lambda score: score[0])[1]
    return NO_DELIMITER


def _free(dialect: Dialect) -> list[str]:
    taken = f"{dialect.quotechar or ''}{dialect.escapechar or ''}{(dialect.comment or '')[:1]}"
    return [candidate for candidate in _CANDIDATES if candidate not in taken]


def _widths(sample: str, dialect: Dialect, *, complete: bool) -> tuple[list[int], bool]:
    """Return how many cells the rows have, and whether no text stands behind a closing quote."""
    widths = [len(row) for row in dialect.reader(_lines(sample, dialect), strict=False) if row]
    if not complete:
        widths = widths[:-1] or widths  # the sample may end inside the last row
    lines = _lines(sample, dialect)
    try:
        deque(dialect.reader(lines, strict=True), maxlen=0)
    except csv.Error:
        return widths, next(lines, None) is None  # inside of quotes at its end: that may go on
    return widths, True


def _lines(sample: str, dialect: Dialect) -> Iterator[str]:
    mark = dialect.comment
    lines = io.StringIO(sample, newline="")
    return iter(lines) if mark is None else (line for line in lines if not line.startswith(mark))


def _share(widths: list[int], header: Header) -> tuple[float, int]:
    """Return the share of rows that have the expected number of cells, and that number."""
    if header is True:
        expected = widths[0]
    elif header is False:
        expected = Counter(widths).most_common(1)[0][0]
    else:
        expected = len(header)
    return widths.count(expected) / len(widths), expected


def _raise_cell_limit() -> None:
    """Let cells grow beyond `RECORD_LIMIT`: the library's limit is one for the whole process, ours is per record."""
    if csv.field_size_limit() < 2 * RECORD_LIMIT:
        csv.field_size_limit(2 * RECORD_LIMIT)
