"""Rows in PostgreSQL's binary COPY format (documentation of COPY, "Binary Format"): columns of values in, bytes out.

A field is its length as a big-endian int32 and its bytes; ours are never NULL. JSON and text are their UTF-8; JSONB has its
version in front. A row is put together from pieces: a piece is the same for all rows (`bytes`) or one of each row (a list).
This is hot: a batch is a few lists and one `join`, whatever the number of its rows.

Arrays as parameters are built in the same way (src/backend/utils/adt/arrayfuncs.c, `array_recv`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = struct.pack(">h", -1)
TRUE: Final = b"\0\0\0\x01\x01"
FALSE: Final = b"\0\0\0\x01\0"
TEXT_OID: Final = 25
BYTEA_OID: Final = 17

Piece = bytes | Sequence[bytes]

_length = struct.Struct(">i").pack
_int8 = struct.Struct(">iq").pack
_count = struct.Struct(">h").pack
_array = struct.Struct(">iiIii").pack
_USUAL: Final = 8192
_LENGTHS: Final = tuple(map(_length, range(_USUAL)))
_JSONB: Final = tuple(_length(size + 1) + b"\x01" for size in range(_USUAL))


def text(value: bytes) -> bytes:
    """A text, varchar, json or bytea field."""
    return _length(len(value)) + value


def int8(value: int) -> bytes:
    return _int8(8, value)


def texts(values: Sequence[bytes]) -> tuple[Piece, Piece]:
    """The fields of a text, varchar, json or bytea column."""
    sizes = list(map(len, values))
    if max(sizes, default=0) < _USUAL:
        return list(map(_LENGTHS.__getitem__, sizes)), values
    return list(map(_length, sizes)), values


def jsonbs(values: Sequence[bytes]) -> tuple[Piece, Piece]:
    """The fields of a JSONB column."""
    sizes = list(map(len, values))
    if max(sizes, default=0) < _USUAL:
        return list(map(_JSONB.__getitem__, sizes)), values
    return [_length(size + 1) + b"\x01" for size in sizes], values


def rows(columns: int, count: int, pieces: Iterable[Piece]) -> bytes:
    """*count* rows with *columns* fields each, to stand between `HEADER` and `TRAILER`."""
    return _woven(count, (_count(columns), *pieces))


def array(oid: int, values: Sequence[bytes]) -> bytes:
    """An array of texts or byteas as a binary parameter."""
    return _array(1, 0, oid, len(values), 1) + _woven(len(values), texts(values))


def _woven(count: int, pieces: Sequence[Piece]) -> bytes:
    woven: list[bytes] = [b""] * (count * len(pieces))
    for number, piece in enumerate(pieces):
        woven[number :: len(pieces)] = repeat(piece, count) if isinstance(piece, bytes) else piece
    return b"".join(woven)
