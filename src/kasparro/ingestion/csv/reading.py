"""One CSV file, page by page: opens it, finds out how it is written, resumes, and cuts pages.

In: a declaration and the cursor of the last committed page. Out: `Page`s. Called by `ingestion.sources.csv`, every method in a
worker thread and one at a time.
"""

from __future__ import annotations

from typing import Final, cast

import structlog

from kasparro.core.errors import PermanentSourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.dialect import RECORD_LIMIT
from kasparro.ingestion.csv.format import read_format
from kasparro.ingestion.csv.lines import LineBuffer, LineEnds
from kasparro.ingestion.csv.locations import Location, find, open_file
from kasparro.ingestion.csv.parser import REJECT_BYTES, RUN_BYTES, Parsed, RecordParser
from kasparro.schemas.ingest import Cursor, FileOrigin, Page, RawRecord, Reject

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the file after which a page ends before it is full: what keeps memory bounded when records are large."""

log = structlog.get_logger(__name__)


class CsvReading:
    """The pages of one file from one cursor on."""

    def __init__(self, declaration: CsvSource, page_size: int, after: Cursor | None) -> None:
        self._page_size = page_size
        location = _only(declaration)
        self._name = location.name
        self._file = open_file(location)
        try:
            self._begin(declaration, after)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, declaration: CsvSource, after: Cursor | None) -> None:
        found = read_format(declaration, self._file)
        self._format = found
        self._written = found.written(declaration)
        start, line = self._resume(after) or (found.data_offset, found.data_line)
        self._file.seek(start)
        self._buffer = LineBuffer(self._file.read, LineEnds(found.encoding), start)
        self._parser = RecordParser(self._name, found.encoding, found.dialect, found.header)
        self._line = line
        self._run_bytes = RUN_BYTES
        self._items: list[RawRecord | Reject] = []
        self._taken = 0
        self._rejects = 0
        self._done = not found.header
        self._position = start if start > found.data_offset else 0
        log.info(
            "csv.opened",
            source=declaration.name,
            file=self._name,
            encoding=found.encoding.name,
            encoding_from=found.encoding.how,
            delimiter=found.dialect.delimiter,
            columns=len(found.header),
            offset=start,
        )

    def _resume(self, after: Cursor | None) -> tuple[int, int] | None:
        """Return offset and line of *after* if it belongs to this very file, read in this very way."""
        if after is None or after.get("fingerprint") != self._file.fingerprint:
            return None
        if after.get("format") != self._written or after.get("header") != list(self._format.header):
            return None
        offset, line = after.get("offset"), after.get("line")
        if not isinstance(offset, int) or not isinstance(line, int) or offset < self._format.data_offset:
            return None
        return offset, line

    def next_page(self) -> Page:
        """Return the next page; its cursor is None when it is the last. Raises the `SourceError` family only."""
        while not self._done and not self._full():
            self._fill()
        waiting = len(self._items) - self._taken
        wanted = waiting if self._done else waiting - 1
        page = self._cut(self._taken, self._taken + min(wanted, self._page_size))
        self._file.check_unchanged()
        return page

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._file.close()

    def _full(self) -> bool:
        """Say whether there is a page and one more: the cursor is where that one begins."""
        waiting = len(self._items) - self._taken
        large = self._buffer.offset - self._position >= PAGE_BYTES
        return waiting > (1 if large else self._page_size)

    def _fill(self) -> None:
        parsed = self._parse()
        if parsed is None:
            self._run_bytes = min(2 * self._run_bytes, RECORD_LIMIT)
            return
        self._run_bytes = RUN_BYTES
        self._line += parsed.lines
        if self._taken:
            del self._items[: self._taken]
            self._taken = 0
        self._items.extend(parsed.items)
        self._rejects += parsed.rejects

    def _parse(self) -> Parsed | None:
        """Parse the next run; None: it takes a longer one."""
        offset, longest = self._buffer.offset, self._run_bytes >= RECORD_LIMIT
        run, final = self._buffer.run(self._run_bytes)
        if run:
            parsed = self._parser.parse(run, offset, self._line, final=final, longest=longest)
            self._buffer.take(parsed.size)
            return parsed if parsed.size else None
        if final:
            self._done = True
            return Parsed((), 0, 0, 0)
        if longest:
            start, length = self._buffer.skip_line(REJECT_BYTES)
            return self._parser.overlong(start, length, offset, self._line)
        return None

    def _cut(self, start: int, end: int) -> Page:
        items, self._taken = self._items[start:end], end
        last = self._done and end == len(self._items)
        position = self._buffer.offset if last else _origin(self._items[end]).byte_start
        size, self._position = position - self._position, position
        rejects = [item for item in items if isinstance(item, Reject)] if self._rejects else []
        records = [item for item in items if isinstance(item, RawRecord)] if rejects else items
        self._rejects -= len(rejects)
        return Page(
            records=cast("list[RawRecord]", records),
            rejects=rejects,
            cursor=None if last else self._cursor(_origin(self._items[end])),
            size=size,
            total_size=self._file.size,
        )

    def _cursor(self, upcoming: FileOrigin) -> Cursor:
        return {
            "offset": upcoming.byte_start,
            "line": upcoming.line,
            "header": list(self._format.header),
            "format": self._written,
            "fingerprint": self._file.fingerprint,
        }


def _only(declaration: CsvSource) -> Location:
    found = find(declaration)
    if len(found) > 1:
        message = f"the pattern matches {len(found)} files; one is read"
        raise PermanentSourceError(message, place=declaration.location, hint="Name one of them")
    return found[0]


def _origin(item: RawRecord | Reject) -> FileOrigin:
    return cast("FileOrigin", item.origin)
