"""Cursors: where a page ended, as an opaque text that fits into a URL, and back.

A cursor is version, checksum and a JSON array: the fingerprint of its query, how it searches, the total of the first page, the
sort keys of the last record. It grants nothing: whoever can forge one could as well write the same place as a filter. So there is
no secret; the checksum tells a damaged one, and everything within is checked like any other value from outside.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from kasparro.core.errors import InvalidCursor
from kasparro.schemas.data import MAX_ID
from kasparro.schemas.query import INT64_MAX, Count, KeyKind, Position, RecordQuery, SearchMode

VERSION: Final = b"1"
CHECKSUM: Final = 8
LONGEST: Final = 8_000
LONGEST_NUMBER: Final = 1_500
"""Characters; those that are sorted by have no more than 400 digits and an exponent of three."""

TIME: Final = re.compile(
    r"-?infinity|(\d{4,6})-(\d\d)-(\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,6})?\+00:00( BC)?", re.ASCII
)
NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
INTEGER: Final = re.compile(r"-?\d{1,19}", re.ASCII)
RANK: Final = re.compile(r"\d{1,3}(\.\d{1,16})?(e-[012]\d)?", re.ASCII)
YEARS: Final = 294_000
YEARS_BEFORE: Final = 4_712


class Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    query: str
    mode: SearchMode
    total: int | None
    count: Count
    keys: list[str | None]


DECODER: Final = msgspec.json.Decoder(Content)


def write_cursor(query: RecordQuery, position: Position) -> str:
    """The cursor of a page of *query* that ended at *position*."""
    content = Content(query.fingerprint(), position.mode, position.total, position.count, list(position.keys))
    payload = msgspec.json.encode(content)
    return _encoded(VERSION + _checksum(payload) + payload)


def read_cursor(text: str, query: RecordQuery) -> Position:
    """Where *text* says to go on. Raises `InvalidCursor` when it is damaged or belongs to another query."""
    content = _content(text)
    if content.query != query.fingerprint():
        raise InvalidCursor(
            "this cursor belongs to another query",
            hint="Send it with the filters, search and sort of the page it came with, or begin again without it",
        )
    keys = content.keys
    expected = query.sort_keys()
    if len(keys) != len(expected) or not all(
        key is None or CHECKS[sort.kind](key) for key, sort in zip(keys, expected, strict=True)
    ):
        raise InvalidCursor
    if content.total is not None and not 0 <= content.total <= INT64_MAX:
        raise InvalidCursor
    return Position(tuple(keys), content.mode, content.total, content.count)


def _content(text: str) -> Content:
    try:
        whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= LONGEST else b""
        version, checksum, payload = whole[:1], whole[1 : 1 + CHECKSUM], whole[1 + CHECKSUM :]
        if version != VERSION or checksum != _checksum(payload) or _encoded(whole) != text:
            raise InvalidCursor
        return DECODER.decode(payload)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor from error


def _encoded(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode()


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=CHECKSUM, person=b"cursor").digest()


def _is_integer(text: str) -> bool:
    return INTEGER.fullmatch(text) is not None and abs(int(text)) <= INT64_MAX


def _is_text(text: str) -> bool:
    return len(text) <= MAX_ID and "\0" not in text


def _is_number(text: str) -> bool:
    return len(text) <= LONGEST_NUMBER and NUMBER.fullmatch(text) is not None


def _is_rank(text: str) -> bool:
    return RANK.fullmatch(text) is not None


def _is_time(text: str) -> bool:
    """Any moment that PostgreSQL can hold, as it writes it in JSON; years beyond Python's are the same 400 years later."""
    found = TIME.fullmatch(text)
    if found is None or found[1] is None:
        return found is not None
    year = 1 - int(found[1]) if found[4] else int(found[1])
    try:
        datetime.fromisoformat(f"{year % 400 + 2000}-{found[2]}-{found[3]}")
    except ValueError:
        return False
    return -YEARS_BEFORE < year < YEARS and found[1] != "0000"


CHECKS: Final[Mapping[KeyKind, Callable[[str], bool]]] = {
    KeyKind.INTEGER: _is_integer,
    KeyKind.TEXT: _is_text,
    KeyKind.TIME: _is_time,
    KeyKind.NUMBER: _is_number,
    KeyKind.RANK: _is_rank,
}
