"""What an answer is written in, and what takes it apart: a declaration and the head of an answer in, a `Stream` out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from kasparro.core.errors import UnexpectedContent
from kasparro.core.etl_config import AnswerFormat, ApiSource
from kasparro.ingestion.sources.csv_rows import CsvRows
from kasparro.ingestion.sources.json_lines import JsonLines
from kasparro.ingestion.sources.json_records import Element, is_array, is_object
from kasparro.ingestion.sources.json_split import BLANKS
from kasparro.ingestion.sources.selector import Selector
from kasparro.ingestion.sources.xml_stream import XmlStream

_LINES: Final = frozenset(
    f"application/{name}"
    for name in (
        *("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-lines"),
        *("stream+json", "x-json-stream", "json-seq"),
    )
)
_TABLES: Final = frozenset(
    {"text/csv", "application/csv", "text/x-csv", "text/comma-separated-values", "text/tab-separated-values"}
)
_XML: Final = frozenset({"application/xml", "text/xml"})
_GUARD: Final = re.compile(rb"[ \t\r\n]*+(?:\)\]\}'?,?|while ?\(1\);|for ?\(;;\);)[ \t\r\n]*+")
_CALL: Final = re.compile(rb"[ \t\r\n]*+(?:/\*\*/[ \t]*+)?[A-Za-z_$][\w$.]{0,100}\([ \t\r\n]*+[\[{]")
_MARKUP: Final = (b"<!doctype", b"<html", b"<?xml")
_ERROR_ROOTS: Final = frozenset({"error", "errors", "errorresponse", "exceptionreport", "fault", "html"})


class Stream(Protocol):
    """Takes an answer apart: text in UTF-8 in, records out."""

    def feed(self, text: bytes) -> list[Element]: ...

    def end(self) -> list[Element]:
        """What was left. Raises `TruncatedContent` for an answer that is not whole."""
        ...


def format_of(declared: AnswerFormat, content_type: str) -> AnswerFormat:
    """What is declared, else what the Content-Type says, else JSON."""
    media = content_type.partition(";")[0].strip().lower()
    if declared is not AnswerFormat.AUTO:
        return declared
    if media in _LINES:
        return AnswerFormat.NDJSON
    if media in _TABLES:
        return AnswerFormat.CSV
    if media in _XML or (media.endswith("+xml") and media != "application/xhtml+xml"):
        return AnswerFormat.XML
    return AnswerFormat.JSON


def is_framed(headers: Mapping[str, str]) -> bool:
    """Whether the answer ends where HTTP, or its compression, says so, and not just where the connection does."""
    return any(name in headers for name in ("Content-Length", "Transfer-Encoding", "Content-Encoding"))


def lines_or_rows(found: AnswerFormat, declaration: ApiSource, *, framed: bool) -> Stream:
    """For an answer in which each line is a record. Raises `UnexpectedContent` where records are declared to be elsewhere."""
    if declaration.records is not None:
        raise UnexpectedContent(
            f"the answer is {found}, in which each line is a record, and `records` is declared",
            hint="Leave `records` out, or declare the `format`",
        )
    return (
        JsonLines(framed=framed) if found is AnswerFormat.NDJSON else CsvRows(declaration.csv, framed=framed)
    )


def xml_stream(records: Selector | None) -> XmlStream:
    """For an XML answer. Raises `UnexpectedContent` where no path leads to its records."""
    if records is None or records.names is None:
        raise UnexpectedContent(
            "the answer is XML, and no path leads to its records",
            hint="Say which elements they are, such as `records: channel.item`, without the outermost one",
        )
    return XmlStream(records.names)


def is_said_to_be_xml_only(found: AnswerFormat, declared: AnswerFormat, text: bytes) -> bool:
    """Whether the Content-Type says XML, and the text is JSON all the same."""
    return found is AnswerFormat.XML and declared is AnswerFormat.AUTO and (is_array(text) or is_object(text))


def without_guard(text: bytes) -> bytes:
    """JSON without what keeps scripts of other sites from reading it. Raises `UnexpectedContent` for a script around it."""
    if text[:1] in {b"{", b"["}:
        return text
    if guard := _GUARD.match(text):
        return text[guard.end() :]
    if _CALL.match(text):
        raise UnexpectedContent(
            "the answer is a script that calls a function with JSON (JSONP)",
            hint="Leave the parameter out that names the function, such as callback",
        )
    return text


def refuse_other_text(found: AnswerFormat, content_type: str, text: bytes, described: str) -> None:
    """Raise `UnexpectedContent` for what is surely not CSV or NDJSON: nearly anything can be read as CSV, a login page too."""
    media = content_type.partition(";")[0].strip().lower()
    other = text.lstrip(BLANKS)[:20].lower().startswith(_MARKUP) or "html" in media
    if found is AnswerFormat.CSV and (media == "application/json" or media.endswith("+json")):
        other = True
    if other:
        raise UnexpectedContent(f"the answer is not {found.upper()}; it is {described}")


def is_error_root(name: str | None) -> bool:
    """Whether an XML answer is a complaint as a whole."""
    return name is not None and name.rpartition(":")[2].lower() in _ERROR_ROOTS
