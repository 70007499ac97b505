"""Rows in PostgreSQL's binary COPY format (documentation of COPY, "Binary Format"): field values in, bytes out.

A field is its length as a big-endian int32 and its bytes; ours are never NULL.
JSON and text are their UTF-8; JSONB has its version in front.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = struct.pack(">h", -1)

_length = struct.Struct(">i").pack
_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_count = struct.Struct(">h").pack


def text(value: bytes) -> bytes:
    """A text, varchar, json or bytea field."""
    return _length(len(value)) + value


def jsonb(value: bytes) -> bytes:
    return _length(len(value) + 1) + b"\x01" + value


def int4(value: int) -> bytes:
    return _int4(4, value)


def int8(value: int) -> bytes:
    return _int8(8, value)


def boolean(value: bool) -> bytes:  # noqa: FBT001  # a value, not a switch
    return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0"


def rows(columns: int, fields: Iterable[bytes]) -> bytes:
    """A whole COPY: *fields* are finished rows' fields, each row already joined."""
    count = _count(columns)
    return b"".join((HEADER, *(count + row for row in fields), TRAILER))
