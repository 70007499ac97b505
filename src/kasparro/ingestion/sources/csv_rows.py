"""A CSV answer taken apart while it arrives: text in, piece by piece, its rows as JSON objects out.

`ingestion.csv` does the reading, as it does for files. Cells are text, an empty one is null. `answer_formats` makes it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import msgspec

from kasparro.core.errors import ResponseTooLarge, TruncatedContent
from kasparro.core.etl_config import CsvAnswers
from kasparro.ingestion.csv.dialect import RECORD_LIMIT
from kasparro.ingestion.csv.format import FileFormat, read_format
from kasparro.ingestion.csv.lines import LineEnds
from kasparro.ingestion.csv.parser import RUN_BYTES, Parsed, RecordParser
from kasparro.ingestion.http.body import MIB
from kasparro.ingestion.sources.json_records import Element, Flaw
from kasparro.schemas.ingest import RawRecord, Reject

_BEGINNING: Final = MIB
_PLACE: Final = "the answer"

_cells = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True)
class _Head:
    """The beginning of an answer, as `read_format` wants to read it."""

    place: str
    stream: io.BytesIO

    def read(self, size: int) -> bytes:
        return self.stream.read(size)


class CsvRows:
    """*framed*: HTTP itself shows where the answer ends; where it does not, only a line end proves that the last row is whole."""

    def __init__(self, declared: CsvAnswers, *, framed: bool) -> None:
        self._declared = declared
        self._framed = framed
        self._nulls = frozenset(declared.null_values)
        self._null_texts = tuple(b":" + msgspec.json.encode(null) for null in declared.null_values)
        self._pieces: list[bytes] = []
        self._size = 0
        self._enough = _BEGINNING
        self._parser: RecordParser | None = None
        self._ends: LineEnds | None = None
        self._offset, self._line = 0, 1

    def feed(self, text: bytes) -> list[Element]:
        """The rows that are whole with *text*."""
        self._pieces.append(text)
        self._size += len(text)
        return [] if self._size < self._enough else self._look(final=False)

    def end(self) -> list[Element]:
        """The rest. Raises `TruncatedContent` when nothing shows that the last row is whole."""
        rest = b"".join(self._pieces)
        if not self._framed and (not rest or not rest.endswith((b"\n", b"\r"))):
            raise TruncatedContent(
                "the answer may have been cut: its last line has no end",
                hint="The source says neither how long an answer is (Content-Length, chunks) nor ends its last line",
            )
        self._pieces = [rest]
        return self._look(final=True)

    def _look(self, *, final: bool) -> list[Element]:
        text = b"".join(self._pieces)
        if self._parser is None:
            found = read_format(self._declared, _Head(_PLACE, io.BytesIO(text)))
            self._begin(found)
            text = text[found.data_offset :]
        elements: list[Element] = []
        at = 0
        while self._parser is not None and at < len(text):
            parsed = self._parse(text, at, final=final)
            if not parsed.size:
                break
            at += parsed.size
            self._offset += parsed.size
            self._line += parsed.lines
            elements += map(self._element, parsed.items)
        self._keep(text[at:])
        return elements

    def _begin(self, found: FileFormat) -> None:
        self._ends = LineEnds(found.encoding)
        self._offset, self._line = found.data_offset, found.data_line
        pad = self._declared.ragged == "pad"
        self._parser = RecordParser(_PLACE, found.encoding, found.dialect, found.header, pad=pad)

    def _parse(self, text: bytes, at: int, *, final: bool) -> Parsed:
        """The rows of the next run: a short one, or all there is when no row ends in that."""
        parser, ends = self._parser, self._ends
        if parser is None or ends is None:
            raise TypeError(parser)  # a defect: nothing is parsed before its format is known
        parsed = Parsed((), 0, 0, 0)
        for size in (RUN_BYTES, len(text)):
            run = text[at : at + size]
            whole = final and at + size >= len(text)
            run = run if whole else run[: ends.last(run)]
            if run:
                longest = len(text) - at >= RECORD_LIMIT
                parsed = parser.parse(run, self._offset, self._line, final=whole, longest=longest)
            if parsed.size:
                break
        return parsed

    def _element(self, item: RawRecord | Reject) -> Element:
        if isinstance(item, Reject):
            return Flaw(item.payload, item.reason, item.message, item.field)
        payload = item.payload
        if not any(text in payload for text in self._null_texts):
            return payload
        cells = _cells(payload)
        return msgspec.json.encode({n: None if cell in self._nulls else cell for n, cell in cells.items()})

    def _keep(self, text: bytes) -> None:
        self._pieces, self._size = [text], len(text)
        self._enough = 2 * len(text)
        if len(text) > 2 * RECORD_LIMIT:
            raise ResponseTooLarge(f"a row of the answer comes to more than {RECORD_LIMIT // MIB} MiB")
