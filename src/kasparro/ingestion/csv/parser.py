"""A run of whole lines to records and rejects, the fastest way that is right for it.

In: bytes that begin where a record begins. Out: `Parsed`. Called by `reading`, in a worker thread. Three ways give the same
records, each more patient than the one before:

1. lines without quotes, escapes and control characters: cells are cut out and pasted, no parser at all (`rows`)
2. well-formed CSV in the right encoding: the standard library's reader over all of it
3. anything else: one record at a time (`careful`)
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count, repeat
from typing import Final

import msgspec

from kasparro.ingestion.csv.careful import CarefulRows, Fault
from kasparro.ingestion.csv.dialect import Dialect
from kasparro.ingestion.csv.encoding import Encoding
from kasparro.ingestion.csv.lines import LineEnds
from kasparro.ingestion.csv.rows import Payloads
from kasparro.schemas.ingest import FileOrigin, RawRecord, Reject, RejectReason

RUN_BYTES: Final = 64 * 1024
"""The size of a run: small enough that its cells stay in the processor's cache."""
REJECT_BYTES: Final = 64 * 1024
"""How much of a rejected record is kept in its payload."""

_FAST_BYTES: Final = 4 * RUN_BYTES


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a run came to: records and rejects in the order of the file, and how much of it they used up."""

    items: Sequence[RawRecord | Reject]
    rejects: int
    size: int
    lines: int


class RecordParser:
    """Parses the records of one file, whose columns are *header*; *pad*: rows with too few cells get empty ones."""

    def __init__(
        self, file: str, encoding: Encoding, dialect: Dialect, header: Sequence[str], *, pad: bool = False
    ) -> None:
        self.careful = CarefulRows(encoding, dialect, LineEnds(encoding))
        self._file = file
        self._encoding = encoding
        self._dialect = dialect
        self._header = header
        self._pad = pad
        self._ends = LineEnds(encoding)
        self._payloads = Payloads(header, dialect)

    def parse(self, run: bytes, offset: int, line: int, *, final: bool, longest: bool) -> Parsed:
        """Parse the records of *run*, which begins at *offset* of the file, in line *line*.

        *final* says that the file ends with the run. Otherwise a record still open at its end is left for a longer run, and
        if that is all of it nothing is used up; unless *longest* says that there is no longer one.
        """
        if len(run) > _FAST_BYTES:
            return self._one_by_one(run, offset, line, final=final, longest=longest)
        lines = self._ends.split(run)
        payloads = self._plain(run)
        if payloads is not None and len(payloads) == len(lines):
            offsets = list(accumulate(map(len, lines), initial=offset))
            return Parsed(self._records(payloads, offsets, count(line)), 0, len(run), len(lines))
        parsed = None
        if not self.careful.swallowed(offset):
            parsed = self._well_formed(lines, offset, line, final=final)
        return parsed or self._one_by_one(run, offset, line, final=final, longest=longest)

    def overlong(self, start: bytes, length: int, offset: int, line: int) -> Parsed:
        """Refuse a line of *length* bytes that begins with *start* and is too long to be looked at."""
        origin = FileOrigin(self._file, offset, offset + length, line)
        message = f"line {line}: the line has {length} bytes, too many for one record"
        reject = Reject(self._received(start), origin, RejectReason.FIELD_TOO_LARGE, message)
        return Parsed((reject,), 1, length, 1)

    def _records(
        self, payloads: Sequence[bytes], offsets: Sequence[int], lines: Iterator[int]
    ) -> list[RawRecord]:
        origins = map(FileOrigin, repeat(self._file), offsets, offsets[1:], lines)
        return list(map(RawRecord, payloads, origins))

    def _plain(self, run: bytes) -> list[bytes] | None:
        name = self._encoding.name
        if not self._encoding.runs:
            return None
        try:
            if name == "utf-8":
                if not run.isascii():
                    run.decode()
                return self._payloads.of_plain(run)
            return self._payloads.of_plain(run.decode(name).encode())
        except UnicodeError:
            return None

    def _well_formed(self, lines: list[bytes], offset: int, line: int, *, final: bool) -> Parsed | None:
        """Parse *lines* as strict CSV; None when they are not, or not in this encoding."""
        rows: list[list[str]] = []
        marks = [0]
        end = _End()
        text: Iterable[str] = map(str, lines, repeat(self._encoding.name))
        try:
            if mark := self._dialect.comment:
                text = list(text)
                if any(map(str.startswith, text, repeat(mark))):
                    return None  # only who knows where records begin can tell comments from cells
            reader = self._dialect.reader(chain(text, end), strict=True)
            for row in reader:
                rows.append(row)
                marks.append(reader.line_num)
        except csv.Error:
            if final or not end.reached:
                return None
        except UnicodeError:
            return None
        try:
            return self._parsed(rows, marks, lines, offset, line)
        except UnicodeEncodeError:  # a codec that makes lone surrogates
            return None

    def _parsed(
        self, rows: list[list[str]], marks: list[int], lines: list[bytes], offset: int, line: int
    ) -> Parsed:
        """Make records of *rows*; row i stands in the lines marks[i] to marks[i + 1]."""
        offsets = list(accumulate(map(len, lines), initial=offset))
        used, width = marks[-1], len(self._header)
        size = offsets[used] - offset
        if used == len(rows) and set(map(len, rows)) <= {width}:
            return Parsed(self._records(self._payloads.of_rows(rows), offsets, count(line)), 0, size, used)
        if self._pad:
            rows = list(map(self._padded, rows))
        payloads = iter(self._payloads.of_rows(row for row in rows if len(row) == width))
        items: list[RawRecord | Reject] = []
        rejects = 0
        for row, first, end in zip(rows, marks, marks[1:], strict=False):
            if not row:
                continue
            origin = FileOrigin(self._file, offsets[first], offsets[end], line + first)
            if len(row) == width:
                items.append(RawRecord(next(payloads), origin))
            else:
                items.append(self._ragged(row, b"".join(lines[first:end]), origin))
                rejects += 1
        return Parsed(items, rejects, size, used)

    def _one_by_one(self, run: bytes, offset: int, line: int, *, final: bool, longest: bool) -> Parsed:
        items: list[RawRecord | Reject] = []
        at, here = 0, line
        while at < min(len(run), RUN_BYTES):
            found = self.careful.next(run, at, offset, final=final, longest=longest)
            if found is None:
                break
            origin = FileOrigin(self._file, offset + found.start, offset + found.end, here)
            if isinstance(found, Fault):
                items.append(self._fault(found, run[found.start : found.end], origin))
            elif found.cells:
                items.append(self._record(found.cells, run[found.start : found.end], origin))
            at, here = found.end, here + found.lines
        rejects = sum(isinstance(item, Reject) for item in items)
        return Parsed(items, rejects, at, here - line)

    def _padded(self, cells: list[str]) -> list[str]:
        """Fill up a row that has too few cells; a blank line has none and stays as it is."""
        return cells + [""] * (len(self._header) - len(cells)) if cells else cells

    def _record(self, cells: list[str], received: bytes, origin: FileOrigin) -> RawRecord | Reject:
        if self._pad:
            cells = self._padded(cells)
        if len(cells) != len(self._header):
            return self._ragged(cells, received, origin)
        try:
            return RawRecord(self._payloads.of_rows((cells,))[0], origin)
        except UnicodeEncodeError as error:
            message = (
                f"line {origin.line}: {self._encoding.name} gives a character that is none: {error.reason}"
            )
            return Reject(self._received(received), origin, RejectReason.UNDECODABLE, message)

    def _ragged(self, cells: list[str], received: bytes, origin: FileOrigin) -> Reject:
        message = f"line {origin.line}: the row has {len(cells)} cells, the header {len(self._header)}"
        return Reject(self._received(received), origin, RejectReason.RAGGED_ROW, message)

    def _fault(self, fault: Fault, received: bytes, origin: FileOrigin) -> Reject:
        field = None
        if fault.column is not None and fault.column < len(self._header):
            field = self._header[fault.column]
        message = f"line {origin.line}: {fault.message}"
        return Reject(self._received(received), origin, fault.reason, message, field)

    def _received(self, received: bytes) -> bytes:
        r"""Return a rejected record as a JSON string, undecodable bytes as `\xNN`, without its line end, cut where too long."""
        decoder = codecs.getincrementaldecoder(self._encoding.name)("backslashreplace")
        text = decoder.decode(received[:REJECT_BYTES], final=len(received) <= REJECT_BYTES)
        text = text.removesuffix("\n").removesuffix("\r")
        return msgspec.json.encode(text.encode("utf-8", "backslashreplace").decode())


class _End:
    """An iterator of nothing that notes whether it was asked: then the parser wanted more lines than there are."""

    reached = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.reached = True
        raise StopIteration
