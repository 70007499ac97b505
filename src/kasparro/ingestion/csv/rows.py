"""Cells to payloads: JSON objects as bytes, every cell as text, nothing trimmed and nothing interpreted.

In: rows that have as many cells as the header, or a run of lines so plain that it needs no CSV parser. Called by `parser`
and `careful`; this is the hottest code of a load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat, starmap
from typing import Any, Final

import msgspec

from kasparro.ingestion.csv.dialect import Dialect

_STRUCT_COLUMNS: Final = 500
_CONTROLS: Final = bytes(set(range(32)) - {0x0A})
_QUOTE: Final = b'"'
_ASIDE: Final = b"\0"
"""Stands for a delimiter between quotes: no plain cell has it."""


class Payloads:
    """The payloads of one file, whose columns are *header*."""

    def __init__(self, header: Sequence[str], dialect: Dialect) -> None:
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._objects = _objects(header)
        self._plain = _PlainCells(header, dialect)

    def of_rows(self, rows: Iterable[Sequence[str]]) -> list[bytes]:
        """Return one payload a row. Raises `UnicodeEncodeError` for what UTF-8 cannot hold."""
        payloads = self._encode_lines(list(self._objects(rows))).split(b"\n")
        payloads.pop()
        return payloads

    def of_plain(self, text: bytes) -> list[bytes] | None:
        """Return one payload a line of *text* (UTF-8), or None unless every line is a full row of plain cells."""
        return self._plain.payloads(text)


def _objects(header: Sequence[str]) -> Callable[[Iterable[Sequence[str]]], Iterable[Any]]:
    """Return the fastest way from rows to objects: structs, or dictionaries where a name cannot be a struct's."""
    names = {f"c{number}": name for number, name in enumerate(header)}
    try:
        if len(header) > _STRUCT_COLUMNS:
            return lambda rows: map(dict, map(zip, repeat(header), rows))
        row = msgspec.defstruct("Row", [(name, str) for name in names], rename=names, gc=False)
    except ValueError:
        return lambda rows: map(dict, map(zip, repeat(header), rows))
    return lambda rows: starmap(row, rows)


class _PlainCells:
    """Payloads of lines without escapes and control characters: the cells are cut out and pasted between the names.

    Quotes may stand around whole cells within their line, and nowhere else.
    """

    def __init__(self, header: Sequence[str], dialect: Dialect) -> None:
        names = [msgspec.json.encode(name) for name in header]
        before = [(b'",' if number else b"{") + name + b':"' for number, name in enumerate(names)] + [b'"}']
        self._pattern = [piece for text in before for piece in (text, b"")]
        self._width = len(header)
        self._delimiter = dialect.delimiter.encode()
        self._delimiter_in_json = msgspec.json.encode(dialect.delimiter)[1:-1]
        special = {dialect.quotechar, dialect.escapechar} - {None}
        self._usable = self._width > 1 and all(map(str.isascii, filter(None, special)))
        marks = "".join(filter(None, special)).encode("utf-8", "ignore") + b'"\\'
        refused = set(_CONTROLS + marks) - set(self._delimiter)
        if dialect.quotechar == '"' and len(self._delimiter) == 1 and self._delimiter != _ASIDE:
            refused -= set(_QUOTE)
        self._refused = bytes(refused)
        self._comment = (dialect.comment or "").encode()

    def payloads(self, text: bytes) -> list[bytes] | None:
        if not self._usable or not text:
            return None
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")  # a lone one is left, and refused
        if len(text.translate(None, self._refused)) != len(text):
            return None
        if self._comment and (text.startswith(self._comment) or b"\n" + self._comment in text):
            return None
        if not text.endswith(b"\n"):
            text += b"\n"
        quoted = _QUOTE in text
        bare = self._without_quotes(text) if quoted else text
        pasted = None if bare is None else self._pasted(bare)
        if pasted is None:
            return None
        payloads = (pasted.replace(_ASIDE, self._delimiter_in_json) if quoted else pasted).split(b"\n")
        payloads.pop()
        return payloads

    def _without_quotes(self, text: bytes) -> bytes | None:
        """Take off quotes that are around cells of one line, and let the delimiters between them stand aside; None of others."""
        parts = text.split(_QUOTE)
        parts[0] = b"\n" + parts[0]
        around, quoted = set(parts[::2]), _QUOTE.join(parts[1::2])
        ends = {part[:1] for part in around} | {part[-1:] for part in around}
        if b"\n" in quoted or not ends <= {self._delimiter, b"\n"}:
            return None
        parts[1::2] = quoted.replace(self._delimiter, _ASIDE).split(_QUOTE)
        return b"".join(parts)[1:]

    def _pasted(self, text: bytes) -> bytes | None:
        """The payloads of lines that are all full rows, each with a line end behind it."""
        delimiter, stride = self._delimiter, self._width + 1
        cells = text.replace(b"\n", delimiter + b"\n" + delimiter).split(delimiter)
        cells.pop()
        lines, rest = divmod(len(cells), stride)
        if rest or cells[self._width :: stride] != [b"\n"] * lines or text.count(b"\n") != lines:
            return (
                None  # the count: two short rows and the line end between them may be as long as a full one
            )
        pieces = self._pattern * lines
        pieces[1::2] = cells
        return b"".join(pieces)
