"""The records and rejects of one file from a place on, run by run.

In: an opened file that stands at the place, and how it is written. Out: `Parsed`. Called by `reading`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kasparro.ingestion.csv.dialect import RECORD_LIMIT
from kasparro.ingestion.csv.digest import PrefixDigest
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.format import FileFormat
from kasparro.ingestion.csv.lines import LineBuffer, LineEnds
from kasparro.ingestion.csv.parser import REJECT_BYTES, RUN_BYTES, Parsed, RecordParser


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a record begins, or may begin: the byte, and the line from 1."""

    offset: int
    line: int


class ItemStream:
    """Cuts a file into runs and parses them. *digest* has seen the file up to *start* and is fed on from there."""

    def __init__(
        self, file: SourceFile, found: FileFormat, parser: RecordParser, start: Spot, digest: PrefixDigest
    ) -> None:
        self._ends = LineEnds(found.encoding)
        self._buffer = LineBuffer(file.read, self._ends, start.offset)
        self._parser = parser
        self._digest = digest
        self.line = start.line
        self.run_start = start
        """Where the last run began that was used up."""
        self.closed = True
        """Whether that run ended with a line end that nothing can be added to."""

    @property
    def offset(self) -> int:
        """Up to where the file has been used up."""
        return self._buffer.offset

    def next(self) -> Parsed | None:
        """Return what the next run came to, or None at the end of the file."""
        size = RUN_BYTES
        while True:
            offset, longest = self._buffer.offset, size >= RECORD_LIMIT
            run, final = self._buffer.run(size)
            if run:
                parsed = self._parser.parse(run, offset, self.line, final=final, longest=longest)
                if parsed.size:
                    return self._take(parsed, run[: parsed.size])
            elif final:
                return None
            elif longest:
                return self._overlong(offset)
            size = min(4 * size, RECORD_LIMIT)

    def _take(self, parsed: Parsed, run: bytes) -> Parsed:
        self._buffer.take(parsed.size)
        self._digest.take(run)
        return self._moved(parsed, run)

    def _overlong(self, offset: int) -> Parsed:
        self._digest.take(b"")
        start, length = self._buffer.skip_line(REJECT_BYTES, self._digest.extend)
        return self._moved(self._parser.overlong(start, length, offset, self.line), b"")

    def _moved(self, parsed: Parsed, run: bytes) -> Parsed:
        self.run_start = Spot(self._buffer.offset - parsed.size, self.line)
        self.closed = bool(run) and self._ends.closes(run)
        self.line += parsed.lines
        return parsed
