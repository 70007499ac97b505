"""JSON texts taken apart, each part verbatim. UTF-8 in; the texts of members, of elements, and of elements that are not JSON out.

msgspec does it fast and checks everything on the way; where it refuses a whole text for one part, `json_split` finds the parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.json_split import BLANKS, split_array, split_object
from kasparro.ingestion.values import LONGEST_INT, depth
from kasparro.schemas.ingest import RejectReason

_raw = msgspec.json.Decoder(msgspec.Raw).decode
_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_exact = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_ESCAPE: Final = re.compile(rb"\\(?:(u[0-9a-fA-F]{4})|.)", re.DOTALL)

DEEPEST: Final = 500
"""Levels of nesting up to which an element is handed on as it is: less than PostgreSQL and every parser on the way take."""

_SURELY_SHALLOW: Final = 2 * DEEPEST
"""Bytes of a text in which there is no room for the brackets of more levels."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """An element that is no record: its text, written as a JSON string so that it can be kept, why, and the field at fault."""

    payload: bytes
    reason: RejectReason
    message: str
    field: str | None = None


Element = bytes | Flaw


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON text with its top level taken apart: `members` of an object, `None` for everything else."""

    text: bytes
    members: Mapping[str, bytes] | None

    def follow(self, names: Sequence[str]) -> bytes | None:
        """The text of the member of the member ... that *names* lead to."""
        found: bytes | None = self.text
        inside = self.members
        for name in names:
            found = None if inside is None else inside.get(name)
            inside = members(found) if found is not None and is_object(found) else None
        return found


def read_document(text: bytes) -> Document:
    """Take *text* apart. Raises `TruncatedContent` when it ends early, `UnexpectedContent` when it is not JSON."""
    return Document(text, members(text) if is_object(text) else None)


def is_array(text: bytes) -> bool:
    return text[:1] == b"[" or text.lstrip(BLANKS)[:1] == b"["


def is_object(text: bytes) -> bool:
    return text[:1] == b"{" or text.lstrip(BLANKS)[:1] == b"{"


def elements(array: bytes) -> list[Element]:
    """The elements of an array. Raises `TruncatedContent` when it ends early, `UnexpectedContent` when it is none."""
    found = quick_elements(array)
    return [checked(text) for text in split_array(array)] if found is None else found


def quick_elements(array: bytes) -> list[Element] | None:
    """The elements of an array of which all is proper JSON; `None` for everything else."""
    try:
        return _shallow_all(list(map(bytes, _elements(array))))
    except (msgspec.DecodeError, RecursionError):
        return None


def quick_lines(text: bytes) -> list[Element] | None:
    """The values that follow each other in *text*, one a line or not; `None` when not all of it is proper JSON."""
    try:
        return _shallow_all(list(map(bytes, _lines(text))))
    except (msgspec.DecodeError, RecursionError):
        return None


def members(obj: bytes) -> dict[str, bytes]:
    """The members of an object. Raises as `elements` does."""
    try:
        return {name: bytes(raw) for name, raw in _members(obj).items()}
    except (msgspec.DecodeError, RecursionError):
        return split_object(obj)


def value(text: bytes) -> Any:
    """The Python value with every digit of its numbers. Raises `UnexpectedContent`."""
    try:
        return _exact(text)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        return _slow_value(text)


def text_of(item: Any) -> bytes:
    """Write a value that `value` has read."""
    try:
        return _encode(item)
    except UnicodeEncodeError:  # a lone surrogate
        return _encode_slowly(item)


def checked(text: bytes) -> Element:
    """An element that `json` of PostgreSQL takes, or what is wrong with it."""
    try:
        _raw(text)
    except RecursionError:
        return _too_deep(text)
    except msgspec.DecodeError as error:
        if not _is_json_but_for_surrogates(text):
            return _flaw(text, RejectReason.INVALID_JSON, str(error))
    return _shallow(text)


def _shallow_all(texts: list[bytes]) -> list[Element]:
    if max(map(len, texts), default=0) <= _SURELY_SHALLOW:
        return [*texts]
    return list(map(_shallow, texts))


def _shallow(text: bytes) -> Element:
    """How deep a parser goes differs between Python versions; this does not."""
    if text.count(b"{") + text.count(b"[") > DEEPEST and depth(text) > DEEPEST:
        return _too_deep(text)
    return text


def _too_deep(text: bytes) -> Flaw:
    return _flaw(text, RejectReason.TOO_DEEP, f"nested more than {DEEPEST} levels deep")


def _is_json_but_for_surrogates(text: bytes) -> bool:
    """Escapes of lone surrogates are refused by msgspec, not by the grammar (RFC 8259)."""
    try:
        _raw(_ESCAPE.sub(lambda escape: b"\\u0041" if escape[1] else escape[0], text))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _flaw(text: bytes, reason: RejectReason, message: str) -> Flaw:
    return Flaw(msgspec.json.encode(text.decode()), reason, message)


def _slow_value(text: bytes) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_int=_integer, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnexpectedContent(f"a part of the answer cannot be evaluated: {error}") from error


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < LONGEST_INT else Decimal(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _encode_slowly(item: Any) -> bytes:
    match item:
        case dict():
            inner = b",".join(json.dumps(key).encode() + b":" + _encode_slowly(i) for key, i in item.items())
            return b"{" + inner + b"}"
        case list():
            return b"[" + b",".join(map(_encode_slowly, item)) + b"]"
        case str():
            return json.dumps(item).encode()
        case _:
            return _encode(item)
