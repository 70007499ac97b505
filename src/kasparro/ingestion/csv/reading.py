"""One CSV file from a place on, cut into pages of records.

In: an opened file, how it is written and where to begin. Out: `Cut`s, each with the state of the file behind it. Called by
`turns`, every method in a worker thread and one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.digest import PrefixDigest
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.format import FileFormat
from kasparro.ingestion.csv.parser import RecordParser
from kasparro.ingestion.csv.progress import FileState, Place, stamp
from kasparro.ingestion.csv.repeats import Repeats
from kasparro.ingestion.csv.resuming import Kept, read_up_to
from kasparro.ingestion.csv.stream import ItemStream, Spot
from kasparro.ingestion.identity import DEFAULT_KEY
from kasparro.schemas.ingest import FileOrigin, RawRecord, Reject

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the file after which a page ends before it is full: what keeps memory bounded when records are large."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A page of one file: its items, the bytes they took, and how far the file is read behind them; `last`: to its end."""

    records: list[RawRecord]
    rejects: list[Reject]
    size: int
    state: FileState
    last: bool


class FileReading:
    """The pages of one file behind what is *kept* of it, or from its first record."""

    def __init__(
        self,
        declaration: CsvSource,
        name: str,
        file: SourceFile,
        found: FileFormat,
        page_size: int,
        kept: Kept | None,
    ) -> None:
        self._file, self._found, self._page_size = file, found, page_size
        self._name, self._pad = name, declaration.ragged == "pad"
        self.by_content = declaration.key is None and DEFAULT_KEY not in found.header
        """Whether its content is all the identity a row has."""
        self._repeats = Repeats() if self.by_content else None
        start = Place(found.data_offset, found.data_line, 0, "") if kept is None else kept.place
        if kept is not None and self._repeats is not None:
            self._count_again(start.offset)
        self._stamp = stamp(file.fingerprint)
        self._digest = PrefixDigest() if kept is None else kept.digest
        self._stream = self._open(Spot(start.offset, start.line), self._digest)
        self._handed = start.records
        self._position = 0 if kept is None else start.offset
        self._items: list[RawRecord | Reject] = []
        self._taken = 0
        self._rejects = 0
        self._done = not found.header

    def _open(self, spot: Spot, digest: PrefixDigest) -> ItemStream:
        self._file.seek(digest.offset)
        read_up_to(self._file, spot.offset, digest)
        found = self._found
        parser = RecordParser(self._name, found.encoding, found.dialect, found.header, pad=self._pad)
        return ItemStream(self._file, found, parser, spot, digest)

    def _count_again(self, until: int) -> None:
        """Let `Repeats` see the rows before *until*, as far as it can remember them."""
        repeats = cast("Repeats", self._repeats)
        stream = self._open(Spot(self._found.data_offset, self._found.data_line), PrefixDigest())
        while stream.offset < until and not repeats.full and (parsed := stream.next()) is not None:
            repeats.numbered([item for item in parsed.items if _origin(item).byte_start < until])

    def next(self) -> Cut:
        """Return the next page. Raises the `SourceError` family only."""
        while not self._done and not self._full():
            self._fill()
        waiting = len(self._items) - self._taken
        wanted = waiting if self._done else waiting - 1
        return self._cut(self._taken, self._taken + min(wanted, self._page_size))

    def _full(self) -> bool:
        """Say whether there is a page and one more: the state ends where that one begins."""
        waiting = len(self._items) - self._taken
        large = self._stream.offset - self._position >= PAGE_BYTES
        return waiting > (1 if large else self._page_size)

    def _fill(self) -> None:
        parsed = self._stream.next()
        if parsed is None:
            self._done = True
            return
        if self._taken:
            del self._items[: self._taken]
            self._taken = 0
        self._items.extend(parsed.items if self._repeats is None else self._repeats.numbered(parsed.items))
        self._rejects += parsed.rejects

    def _cut(self, start: int, end: int) -> Cut:
        items, self._taken = self._items[start:end], end
        last = self._done and end == len(self._items)
        rejects = [item for item in items if isinstance(item, Reject)] if self._rejects else []
        records = [item for item in items if isinstance(item, RawRecord)] if rejects else items
        self._rejects -= len(rejects)
        self._handed += len(records)
        places = self._last_places() if last else (self._place_of(self._items[end], self._handed),)
        size, self._position = places[-1].offset - self._position, places[-1].offset
        state = FileState(self._stamp, self._found.digest, places)
        return Cut(cast("list[RawRecord]", records), rejects, size, state, last)

    def _last_places(self) -> tuple[Place, ...]:
        """The end of the file; before it the last record, if that may be continued when the file grows."""
        stream = self._stream
        end = self._place(Spot(stream.offset, stream.line), self._handed)
        if stream.closed:
            return (end,)
        item = self._items[-1] if self._items else None
        if item is None or _origin(item).byte_start < stream.run_start.offset:
            return self._place(stream.run_start, self._handed), end
        return self._place_of(item, self._handed - isinstance(item, RawRecord)), end

    def _place_of(self, item: RawRecord | Reject, records: int) -> Place:
        origin = _origin(item)
        return self._place(Spot(origin.byte_start, origin.line), records)

    def _place(self, spot: Spot, records: int) -> Place:
        return Place(spot.offset, spot.line, records, self._digest.at(spot.offset))


def _origin(item: RawRecord | Reject) -> FileOrigin:
    return cast("FileOrigin", item.origin)
