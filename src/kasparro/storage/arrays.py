"""Arrays as query parameters, built in one go: psycopg's own list adapter takes a microsecond for each element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from kasparro.storage import copy_format as binary

_TEXT_ARRAY_OID = 1009
_BYTEA_ARRAY_OID = 1001


class TextArray:
    """A `text[]`; no element is null."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values: Sequence[bytes] = [value.encode() for value in values]


class EncodedTextArray(TextArray):
    """A `text[]` of values that are UTF-8 already."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values


class ByteaArray:
    """A `bytea[]`; no element is null."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values


class _TextArrayDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT_ARRAY_OID

    def dump(self, obj: TextArray) -> Buffer:
        return binary.array(binary.TEXT_OID, obj.values)


class _ByteaArrayDumper(Dumper):
    format = Format.BINARY
    oid = _BYTEA_ARRAY_OID

    def dump(self, obj: ByteaArray) -> Buffer:
        return binary.array(binary.BYTEA_OID, obj.values)


psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(EncodedTextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
