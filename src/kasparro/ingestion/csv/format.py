"""How a file is written: encoding, dialect, header, and where its records begin.

In: a declaration and the opened file. Out: a `FileFormat`. Called by `reading` for each opening, also before a resume: what is
detected depends on the file and its declaration alone, so the answer is the same as the last time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, Protocol

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.csv import dialect as dialects
from kasparro.ingestion.csv import encoding as encodings
from kasparro.ingestion.csv.careful import CarefulRows, Fault, Row
from kasparro.ingestion.csv.dialect import RECORD_LIMIT, Dialect
from kasparro.ingestion.csv.encoding import Encoding
from kasparro.ingestion.csv.header import distinct, numbered
from kasparro.ingestion.csv.lines import LineBuffer, LineEnds

AUTO: Final = "auto"
_HINT: Final = re.compile(r'"?sep=([^\r\n])"?[\r\n]*', re.IGNORECASE)
_HINT_BYTES: Final = 256
_LONGEST_SAMPLE: Final = 16 * dialects.SAMPLE_BYTES


class Declared(Protocol):
    """What a catalog says about how a file is written."""

    @property
    def delimiter(self) -> str: ...
    @property
    def quotechar(self) -> str | None: ...
    @property
    def escapechar(self) -> str | None: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def encoding(self) -> str: ...
    @property
    def header(self) -> dialects.Header: ...
    @property
    def skip_rows(self) -> int: ...


class Head(Protocol):
    """The beginning of a file: bytes, and the place that errors name."""

    @property
    def place(self) -> str: ...
    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file is written. No header: there is no record either. `data_line` counts from 1."""

    encoding: Encoding
    dialect: Dialect
    header: tuple[str, ...]
    data_offset: int
    data_line: int

    @property
    def digest(self) -> str:
        """16 hex digits over what a cursor depends on: under another format its offset would mean something else."""
        dialect = self.dialect
        text = json.dumps(
            [
                self.encoding.name,
                dialect.delimiter,
                dialect.quotechar,
                dialect.escapechar,
                dialect.comment,
                self.header,
                self.data_offset,
            ]
        )
        return blake2b(text.encode(), digest_size=8).hexdigest()


def read_format(declaration: Declared, file: Head) -> FileFormat:
    """Find out how *file*, which stands at its beginning, is written.

    Raises `UnexpectedContent` when its header cannot be read.
    """
    head = file.read(encodings.SAMPLE_BYTES)
    place = file.place
    if declaration.encoding == AUTO:
        encoding = encodings.detect_encoding(head, place, complete=len(head) < encodings.SAMPLE_BYTES)
    else:
        encoding = encodings.declared_encoding(declaration.encoding, head, place)
    buffer = LineBuffer(file.read, LineEnds(encoding), 0, head)
    buffer.take(encoding.bom)
    hint = _delimiter_hint(declaration, encoding, buffer)
    line = 1 + (hint is not None)
    line += sum(buffer.skip_line(0)[1] > 0 for _ in range(declaration.skip_rows))
    dialect = _dialect(declaration, encoding, buffer, hint)
    if not isinstance(declaration.header, bool):
        return FileFormat(encoding, dialect, distinct(declaration.header), buffer.offset, line)
    return _with_first_row(declaration, FileFormat(encoding, dialect, (), buffer.offset, line), buffer, place)


def _delimiter_hint(declaration: Declared, encoding: Encoding, buffer: LineBuffer) -> str | None:
    """Take the line `sep=;`, with which spreadsheets say what separates the cells, off the beginning of a file.

    Who declares `skip_rows` has counted it, so it is left alone.
    """
    if declaration.skip_rows:
        return None
    run, _ = buffer.run(_HINT_BYTES)
    first = run[: LineEnds(encoding).after(run, 0)]
    found = _HINT.fullmatch(first.decode(encoding.name, "replace"))
    if found is None or found[1] in {declaration.quotechar, declaration.escapechar}:
        return None
    buffer.take(len(first))
    return found[1]


def _dialect(declaration: Declared, encoding: Encoding, buffer: LineBuffer, hint: str | None) -> Dialect:
    declared = Dialect(
        declaration.delimiter, declaration.quotechar, declaration.escapechar, declaration.comment
    )
    if declaration.delimiter != AUTO:
        return declared
    if hint is not None:
        return replace(declared, delimiter=hint)
    found = ((run, final) for run, final in _runs(buffer, dialects.SAMPLE_BYTES) if run or final)
    run, complete = next(found, (b"", False))
    sample = run[:_LONGEST_SAMPLE].decode(encoding.name, "replace")
    delimiter = dialects.find_delimiter(
        sample, declared, declaration.header, complete=complete and len(run) <= _LONGEST_SAMPLE
    )
    return replace(declared, delimiter=delimiter)


def _with_first_row(declaration: Declared, found: FileFormat, buffer: LineBuffer, place: str) -> FileFormat:
    """Name the columns by the first row, or count them there; blank lines before it do not count."""
    row, line = _first_row(found, buffer, place, strict=declaration.header is True)
    if row is None:
        return found
    if declaration.header is True:
        _refuse_surrogates(row.cells, found.encoding, place, line)
        offset, line = found.data_offset + row.end, line + row.lines
        return replace(found, header=distinct(row.cells), data_offset=offset, data_line=line)
    return replace(found, header=numbered(len(row.cells)))


def _refuse_surrogates(names: list[str], encoding: Encoding, place: str, line: int) -> None:
    """A few codecs make halves of characters; in a record they cost that record, in a name they would be in all."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        why = f"{encoding.name} gives a character that is none: {error.reason}"
        raise _no_header(place, line, why) from error


def _first_row(found: FileFormat, buffer: LineBuffer, place: str, *, strict: bool) -> tuple[Row | None, int]:
    """Return the first row with cells and its line, or None where there is none; *strict*: no fault may come before it."""
    careful = CarefulRows(found.encoding, found.dialect, LineEnds(found.encoding))
    for run, final in _runs(buffer, dialects.SAMPLE_BYTES):
        at, line = 0, found.data_line
        longest = len(run) > RECORD_LIMIT // 2
        while at < len(run):
            row = careful.next(run, at, found.data_offset, final=final, longest=longest)
            if row is None:
                break
            if isinstance(row, Fault) and strict:
                raise _no_header(place, line, row.message)
            if isinstance(row, Row) and row.cells:
                return row, line
            at, line = row.end, line + row.lines
        if final:
            return None, line
    raise _no_header(place, found.data_line, f"there is no row in the first {RECORD_LIMIT} bytes")


def _runs(buffer: LineBuffer, size: int) -> Iterator[tuple[bytes, bool]]:
    """Yield longer and longer runs from where *buffer* stands; at most `RECORD_LIMIT` bytes."""
    while True:
        yield buffer.run(size)
        if size >= RECORD_LIMIT:
            return
        size = min(4 * size, RECORD_LIMIT)


def _no_header(place: str, line: int, why: str) -> UnexpectedContent:
    return UnexpectedContent(
        f"the header cannot be read: {why}",
        place=f"{place}:{line}",
        hint="Check `encoding`, `quotechar` and `skip_rows`, or name the columns with `header`",
    )
