"""One answer being read, whole or piece by piece: its head and its text in, its records and in the end its envelope out.

`answers` makes one for each answer, `large_answers` one for each that is too large to be held.
"""

from __future__ import annotations

from typing import Final

from kasparro.core.errors import UnexpectedContent
from kasparro.core.etl_config import AnswerFormat, ApiSource
from kasparro.ingestion.http.client import Response
from kasparro.ingestion.http.json_text import Transcoder
from kasparro.ingestion.http.redaction import Redactor
from kasparro.ingestion.http.status import EXCERPT, excerpt
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.answer_formats import (
    Stream,
    format_of,
    is_error_root,
    is_framed,
    is_said_to_be_xml_only,
    lines_or_rows,
    refuse_other_text,
    without_guard,
    xml_stream,
)
from kasparro.ingestion.sources.envelope import (
    USUAL,
    Envelope,
    around,
    check,
    complains,
    list_of_records,
    open_envelope,
)
from kasparro.ingestion.sources.json_records import Document, Element, Flaw
from kasparro.ingestion.sources.json_stream import JsonStream
from kasparro.ingestion.sources.selector import Selector
from kasparro.ingestion.sources.xml_stream import XmlStream, declared_charset

_EXCERPT_BYTES: Final = 20 * EXCERPT
_BARE: Final = Document(b"[]", None)


class OpenedAnswer:
    """Reads one answer of a declared source. *records* and *error* are its selectors."""

    def __init__(
        self,
        declaration: ApiSource,
        head: Response,
        records: Selector | None,
        error: Selector | None,
        redact: Redactor,
    ) -> None:
        self._declared = declaration
        self._head = head
        self._records = records
        self._error = error
        self._redact = redact
        self._format = format_of(declaration.format, head.content_type)
        self._transcoder: Transcoder | None = None
        self._stream: Stream | None = None
        self._beginning = b""

    def whole(self, content: bytes) -> Envelope:
        """All of the answer at once. Raises `TruncatedContent`, `UnexpectedContent`, `ResponseTooLarge`."""
        text = self._text(content, final=True)
        self._begin(text)
        if self._stream is None:
            envelope = open_envelope(without_guard(text), self._records, self.describe)
            check(envelope, self._error, self.describe)
            return envelope
        found = self._stream.feed(text)
        found += self._stream.end()
        return self._around(self._stream, found, 0)

    def feed(self, block: bytes) -> list[Element]:
        """The records that are whole with *block*. Raises as `whole` does."""
        return self._feed(self._text(block, final=False))

    def end(self) -> list[Element]:
        """The rest of the records."""
        found = self._feed(self._text(b"", final=True))
        return found if self._stream is None else found + self._exploded(self._stream.end())

    def envelope(self, last: list[Element], before: int) -> Envelope:
        """What was around the records, when all have been fed; *last* are those not handed on, *before* the number of others."""
        return self._around(self._stream or JsonStream(None, USUAL), last, before)

    def describe(self) -> str:
        """What was received, in short and without credentials."""
        beginning = self._redact(excerpt(self._beginning))[:EXCERPT]
        kind = self._head.content_type
        return f"{kind}: {beginning}" if beginning else f"empty ({kind})"

    def _feed(self, text: bytes) -> list[Element]:
        if self._stream is None and text:
            self._begin(text)
            if self._stream is None:
                self._stream = self._json_stream()
                text = without_guard(text)
        return [] if self._stream is None else self._exploded(self._stream.feed(text))

    def _text(self, content: bytes, *, final: bool) -> bytes:
        if self._transcoder is None:
            charset = self._head.charset
            if charset is None and self._format is AnswerFormat.XML:
                charset = declared_charset(content)
            declared = None if self._declared.encoding == "auto" else self._declared.encoding
            self._transcoder = Transcoder(charset, declared)
        return self._transcoder.feed(content, final=final)

    def _begin(self, text: bytes) -> None:
        """Choose what takes the text apart; nothing, for JSON."""
        self._beginning = text[:_EXCERPT_BYTES]
        if is_said_to_be_xml_only(self._format, self._declared.format, text):
            self._format = AnswerFormat.JSON
        match self._format:
            case AnswerFormat.NDJSON | AnswerFormat.CSV:
                refuse_other_text(self._format, self._head.content_type, text, self.describe())
                framed = is_framed(self._head.headers)
                self._stream = lines_or_rows(self._format, self._declared, framed=framed)
            case AnswerFormat.XML:
                self._stream = xml_stream(self._records)
                if not text.lstrip().startswith(b"<"):
                    raise UnexpectedContent(f"the answer is not XML; it is {self.describe()}")
            case AnswerFormat.JSON | AnswerFormat.AUTO:
                pass

    def _json_stream(self) -> JsonStream:
        records = self._records
        if records is None:
            return JsonStream(None, USUAL)
        return JsonStream(records.flat.lead if records.flat is not None else records.names, USUAL)

    def _exploded(self, outer: list[Element]) -> list[Element]:
        """The records in the elements of a list of lists."""
        flat = None if self._records is None else self._records.flat
        if flat is None or not isinstance(self._stream, JsonStream):
            return outer
        return [record for element in outer for record in flat.records(element)]

    def _around(self, stream: Stream, last: list[Element], before: int) -> Envelope:
        match stream:
            case JsonStream():
                envelope = self._around_json(stream, last, before)
            case XmlStream():
                envelope = around(json_records.read_document(stream.around()), last, before)
                self._check_xml(stream, envelope)
            case _:
                envelope = around(_BARE, last, before)
                self._check_lines(envelope)
        check(envelope, self._error, self.describe)
        return envelope

    def _around_json(self, stream: JsonStream, last: list[Element], before: int) -> Envelope:
        found = open_envelope(stream.around(), self._records, self.describe)
        if (before or last) and list_of_records(found.document, self._records) != stream.array():
            raise UnexpectedContent(
                "the answer has a second list where its records should be",
                hint="Say with `records` where they are; of a repeated name, only the last would count",
            )
        return around(found.document, last, before)

    def _check_xml(self, stream: XmlStream, envelope: Envelope) -> None:
        """No element where records should be is an empty list if there is the one that it should be in."""
        names = (self._records and self._records.names) or ()
        missing = envelope.document.follow(names[:-1]) is None
        if not envelope.count and (missing or is_error_root(stream.root)):
            raise UnexpectedContent(
                f"the answer has no elements at {'.'.join(names)!r}; it is {self.describe()}",
                hint="`records` must lead to the elements that are records, and leave the outermost one out",
            )

    def _check_lines(self, envelope: Envelope) -> None:
        """One line that is an object without a key, and complains, is no record."""
        if envelope.count != 1 or isinstance(envelope.elements[0], Flaw):
            return
        line = json_records.read_document(envelope.elements[0])
        names = {path.partition(".")[0] for path in self._declared.key or ("id",)}
        if line.members is not None and not names & line.members.keys() and complains(line):
            raise UnexpectedContent(f"the answer has no records, and complains; it is {self.describe()}")
