"""JSON texts that follow each other: one a line (NDJSON, JSON Lines), or simply one after the other. Text in, records out.

A line that is no JSON is one bad record. Where even the first line is not a whole value, values are told apart by their brackets
alone. `answer_formats` makes one for each answer.
"""

from __future__ import annotations

from kasparro.core.errors import ResponseTooLarge, TruncatedContent
from kasparro.ingestion.http.body import MIB
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_records import Element
from kasparro.ingestion.sources.json_scan import values_in
from kasparro.ingestion.sources.json_split import BLANKS
from kasparro.ingestion.sources.json_stream import LARGEST_RECORD

_SEPARATOR = b"\x1e"
"""What begins a record of a JSON text sequence (RFC 7464); it cannot stand in a JSON text."""


class JsonLines:
    """*framed*: HTTP itself shows where the answer ends; else only a line end proves that the last line is whole."""

    def __init__(self, *, framed: bool) -> None:
        self._framed = framed
        self._pieces: list[bytes] = []
        self._size = 0
        self._by_lines: bool | None = None
        self._enough = 0

    def feed(self, text: bytes) -> list[Element]:
        """The records that are whole with *text*."""
        if not text:
            return []
        if _SEPARATOR in text:
            text = text.replace(_SEPARATOR, b"\n")
        self._pieces.append(text)
        self._size += len(text)
        if self._size > LARGEST_RECORD:
            raise ResponseTooLarge(f"a record in the answer comes to more than {LARGEST_RECORD // MIB} MiB")
        if self._by_lines is not False and b"\n" not in text:
            return []
        if self._by_lines is False and self._size < self._enough:
            return []
        return self._look(b"".join(self._pieces))

    def end(self) -> list[Element]:
        """The rest. Raises `TruncatedContent` when the last record is not whole, or may not be."""
        rest = b"".join(self._pieces).strip(BLANKS)
        if not rest:
            if not self._framed and not self._pieces:
                raise TruncatedContent("the answer is empty, and nothing shows that this is all of it")
            return []
        found = json_records.quick_lines(rest)
        if found is None:
            if self._by_lines is False or _several(rest) is None:
                raise TruncatedContent("the answer ends early, within a record")
            found = [json_records.checked(part) for part in _several(rest) or ()]
        if not self._framed and self._by_lines is not False:
            raise TruncatedContent(
                "the answer may have been cut: its last line has no end",
                hint="The source says neither how long an answer is (Content-Length, chunks) nor ends its last line",
            )
        return found

    def _look(self, text: bytes) -> list[Element]:
        if self._by_lines is None:
            self._by_lines = _is_by_lines(text)
        return self._lines(text) if self._by_lines else self._values(text)

    def _lines(self, text: bytes) -> list[Element]:
        cut = text.rfind(b"\n") + 1
        self._keep(text[cut:])
        found = json_records.quick_lines(text[:cut])
        if found is not None:
            return found
        return [element for line in text[:cut].split(b"\n") for element in _of_line(line.strip(BLANKS))]

    def _values(self, text: bytes) -> list[Element]:
        places = values_in(text)
        end = places[-1][1] if places else 0
        self._keep(text[end:])
        self._enough = 0 if places else 2 * self._size
        return [json_records.checked(text[start:end].strip(BLANKS)) for start, end in places]

    def _keep(self, text: bytes) -> None:
        self._pieces, self._size = [text], len(text)


def _is_by_lines(text: bytes) -> bool:
    """Whether the first line holds whole values; a value written over several lines begins with one that does not."""
    first = text.lstrip(BLANKS).partition(b"\n")[0].strip(BLANKS)
    if not first or json_records.quick_lines(first) is not None:
        return True
    return first[:1] not in {b"{", b"["} or _several(first) is not None


def _of_line(line: bytes) -> list[Element]:
    if not line:
        return []
    found = json_records.quick_lines(line)
    if found is not None:
        return found
    parts = _several(line)
    return [json_records.checked(part) for part in parts] if parts else [json_records.checked(line)]


def _several(line: bytes) -> list[bytes] | None:
    """The objects and arrays of a line that has nothing else in it."""
    places = values_in(line)
    if not places or line[places[-1][1] :].strip(BLANKS):
        return None
    return [line[start:end].strip(BLANKS) for start, end in places]
