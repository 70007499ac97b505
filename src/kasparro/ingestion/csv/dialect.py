"""Where cells and rows end: the declared dialect, with a delimiter found when none is declared.

In: the beginning of a file as text. Out: a `Dialect`. Called once for each opening of a file.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

SAMPLE_BYTES: Final = 64 * 1024
"""What the search for the delimiter reads."""
RECORD_LIMIT: Final = 16 * 1024 * 1024
"""Bytes one record may have before its opening quote counts as never closed. A longer line is a reject."""

_CANDIDATES: Final = (",", ";", "\t", "|")
Header = bool | tuple[str, ...]
"""Whether the first row names the columns, or their names."""

_NONE: Final = "\x1f"
_CONSISTENT: Final = 0.8


class Reader(Protocol):
    """What `csv.reader` returns: an iterator of rows that knows how many lines it has read."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """What separates cells, what quotes them, what makes the next character stand for itself."""

    delimiter: str
    quotechar: str | None
    escapechar: str | None

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


def find_delimiter(sample: str, dialect: Dialect, header: Header) -> str:
    """Return the delimiter of *sample*, the beginning of a file that ends with a whole line or the file.

    The candidate under which the most rows have as many cells as the header wins, with more cells on a tie. Where none gives
    the header two cells, and the rows agree on none either, the file has one column and nothing separates it.
    """
    widths = {
        candidate: _widths(sample, replace(dialect, delimiter=candidate)) for candidate in _free(dialect)
    }
    scores = [(*_share(found, header), candidate) for candidate, found in widths.items() if found]
    if fitting := [
        (share, width, candidate) for share, width, candidate in scores if width > 1 and share > 0
    ]:
        return max(fitting, key=lambda score: score[:2])[2]
    agreed = [(*_share(found, header=False), candidate) for candidate, found in widths.items() if found]
    if clear := [
        (share, candidate) for share, width, candidate in agreed if width > 1 and share >= _CONSISTENT
    ]:
        return max(clear, key=lambda score: score[0])[1]
    return _NONE


def _free(dialect: Dialect) -> list[str]:
    return [
        candidate for candidate in _CANDIDATES if candidate not in {dialect.quotechar, dialect.escapechar}
    ]


def _widths(sample: str, dialect: Dialect) -> list[int]:
    rows = dialect.reader(io.StringIO(sample, newline=""), strict=False)
    widths = [len(row) for row in rows if row]
    return widths[:-1] or widths  # the sample may end inside the last row


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
