"""The Singer protocol: a line of a tap in, the message it is out. https://hub.meltano.com/singer/spec

A record keeps its own text, to the byte. A line that is no message is an error, since nobody knows what it would have been; a
message whose record is no JSON is a flaw of that record alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from kasparro.core.errors import KasparroError, SourceError
from kasparro.ingestion.sources.json_records import Element, elements, members

_SURELY_SHALLOW: Final = 1_000


class NoMessage(KasparroError):
    """The line is not a Singer message."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream, or why it is none."""

    stream: str
    element: Element


@dataclass(frozen=True, slots=True)
class Schema:
    """What the records of a stream look like (a JSON Schema), and which of their fields identify them."""

    stream: str
    key: tuple[str, ...]
    schema: bytes


@dataclass(frozen=True, slots=True)
class State:
    """Where the tap stands after all records before; its text is handed back as it is."""

    value: bytes


@dataclass(frozen=True, slots=True)
class ActivateVersion:
    """All records of *stream* that do not belong to this version of it are gone from the source."""

    stream: str


Message = Record | Schema | State | ActivateVersion


class _Envelope(msgspec.Struct):
    type: str
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw(b"")
    value: msgspec.Raw = msgspec.Raw(b"")
    schema: msgspec.Raw = msgspec.Raw(b"")
    key_properties: list[str] | None = None


_decode = msgspec.json.Decoder(_Envelope).decode
_text = msgspec.json.Decoder(str).decode


def read_message(line: bytes) -> Message:
    """Read one line. Raises `NoMessage`, which says why it is none and nothing of what it holds."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise NoMessage(f"is not UTF-8 text (byte {error.start})") from error
    try:
        envelope = _decode(line)
    except msgspec.ValidationError as error:
        raise NoMessage(f"is not a Singer message: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        return _of_a_flaw(line, error)
    return _message(envelope)


def _message(envelope: _Envelope) -> Message:
    match envelope.type:
        case "RECORD":
            return Record(_stream(envelope), _element(_given(envelope.record, "RECORD", "record")))
        case "STATE":
            return State(_given(envelope.value, "STATE", "value"))
        case "SCHEMA":
            schema = _given(envelope.schema, "SCHEMA", "schema")
            return Schema(_stream(envelope), tuple(envelope.key_properties or ()), schema)
        case "ACTIVATE_VERSION":
            return ActivateVersion(_stream(envelope))
        case "BATCH":
            raise NoMessage(
                "is a BATCH message, which speaks of files instead of records",
                hint="Leave `batch_config` out of the tap's config",
            )
        case _:
            raise NoMessage("is a message of a type that the Singer specification does not have")


def _stream(envelope: _Envelope) -> str:
    if not envelope.stream:
        raise NoMessage(f"is a {envelope.type} message without a stream")
    return envelope.stream


def _given(part: msgspec.Raw, kind: str, name: str) -> bytes:
    text = bytes(part)
    if not text:
        raise NoMessage(f"is a {kind} message without a {name}")
    return text


def _element(text: bytes) -> Element:
    if len(text) <= _SURELY_SHALLOW:
        return text
    [element] = elements(b"[" + text + b"]")
    return element


def _of_a_flaw(line: bytes, error: Exception) -> Message:
    """A RECORD whose record is not JSON (`NaN`, too deep), found by its brackets; everything else is no message."""
    try:
        parts = members(line)
        if _text(parts.get("type", b"")) == "RECORD":
            [element] = elements(b"[" + parts["record"] + b"]")
            return Record(_text(parts["stream"]), element)
    except (SourceError, msgspec.DecodeError, KeyError, ValueError):
        raise NoMessage(f"is not JSON: {error}") from error
    raise NoMessage(f"is not JSON: {error}") from error
