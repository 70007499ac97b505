"""JSON values with nothing lost: decimals exact, integers whole, text as it is.

A record travels as its own text; these functions decode the parts that somebody asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from operator import add
from typing import Any

import msgspec

from kasparro.core.errors import KasparroError
from kasparro.schemas.ingest import RejectReason

Fields = Mapping[str, Any]
"""The top level of a record: `msgspec.Raw` (JSON records) or text (CSV cells) under each name."""

MAX_DEPTH = 64
"""Deepest nesting of a record. Parsers on the way out stop between 200 and 1,000; nobody's data needs more than this."""

LONGEST_INT = 4_000
"""Digits from which on a whole number is a `Decimal`: Python makes no text of an `int` with more than 4,300."""

JSONB_EXPONENTS = range(-16383, 131072)
"""The decimal exponents PostgreSQL's numeric, and so JSONB, can hold."""

decode = msgspec.json.Decoder(float_hook=Decimal).decode
encode = msgspec.json.Encoder(decimal_format="number").encode
decode_json_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_cells = msgspec.json.Decoder(dict[str, str]).decode


class Unfit(KasparroError):
    """A record that does not fit; becomes a `Reject` where the record is at hand, and goes no further."""

    def __init__(self, reason: RejectReason, message: str, field: str | None = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(message)


def plain(value: Any) -> Any:
    """The Python value of a field of a record."""
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return decode(value)
    except msgspec.ValidationError:  # a whole number of so many digits that no `int` is made of it
        return json.loads(bytes(value), parse_float=Decimal, parse_int=_whole_number)


def _whole_number(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < LONGEST_INT else Decimal(digits)


NUL = b"\\u0000"
FIGURES = bytes.maketrans(b"E123456789", b"e000000000")
"""Makes one of all digits, and of the two letters of an exponent: what to look for is then found at the speed of a copy."""
SIGNS = b"+-"
LONG_EXPONENT = b"e0000"
MANY_DIGITS = b"0" * 1000
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def check_cells(payload: bytes) -> None:
    """`check_storable` for a CSV row, which is flat and all text."""
    if NUL in payload:
        check_leaves(payload)


def check_storable(payload: bytes) -> None:
    """Raise `Unfit` if JSONB could not hold this record: nesting, numbers, NUL characters.

    A few searches let nearly every record pass; only a suspect is looked at closely.
    """
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and depth(payload) > MAX_DEPTH:
        raise Unfit(RejectReason.TOO_DEEP, f"nested more than {MAX_DEPTH} levels deep")
    if is_suspect(payload):
        check_leaves(payload)


def are_unsuspicious(payloads: Sequence[bytes]) -> bool:
    """Whether `check_storable` need not look at any of these records."""
    opened = map(add, map(bytes.count, payloads, repeat(b"{")), map(bytes.count, payloads, repeat(b"[")))
    return max(opened, default=0) <= MAX_DEPTH and not is_suspect(b",".join(payloads))


def is_suspect(payload: bytes) -> bool:
    figures = payload.translate(FIGURES, SIGNS)
    escapes = b"\\" in payload  # which is found ten times as fast
    return (escapes and NUL in payload) or LONG_EXPONENT in figures or MANY_DIGITS in figures


def depth(payload: bytes) -> int:
    """How deep the brackets outside strings are nested."""
    deepest = level = 0
    for character in STRING.sub(b"", payload):
        if character in b"{[":
            level += 1
            deepest = max(deepest, level)
        elif character in b"}]":
            level -= 1
    return deepest


def check_leaves(payload: bytes) -> None:
    for path, leaf in leaves(json.loads(payload, parse_int=Decimal, parse_float=Decimal)):
        check_leaf(path, leaf)


def check_leaf(path: str, leaf: Any) -> None:
    if isinstance(leaf, str) and "\0" in leaf:
        raise Unfit(RejectReason.INVALID_TEXT, "contains a NUL character (\\u0000)", path)
    if isinstance(leaf, Decimal) and leaf and leaf.adjusted() not in JSONB_EXPONENTS:
        raise Unfit(RejectReason.NUMBER_OUT_OF_RANGE, f"a number of magnitude 1e{leaf.adjusted()}", path)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a JSON value, and every key, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            yield inner.replace("\0", "\\u0000"), key
            yield from leaves(item, inner)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path.replace("\0", "\\u0000"), value


def fields_decoder(*, cells: bool) -> Callable[[bytes], Fields]:
    """What splits a record into its top-level fields; raises `Unfit` where the record is not an object."""
    decoder: Callable[[bytes], Fields] = decode_cells if cells else decode_json_fields

    def fields(payload: bytes) -> Fields:
        try:
            return decoder(payload)
        except msgspec.ValidationError as error:
            raise Unfit(RejectReason.NOT_AN_OBJECT, "is not a JSON object") from error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Unfit(RejectReason.INVALID_TEXT, f"cannot be read: {error}") from error

    return fields
