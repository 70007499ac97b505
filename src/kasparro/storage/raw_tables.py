"""The three raw tables: which columns say where a record came from, and how a record becomes a row."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from kasparro.schemas.ingest import ApiOrigin, FileOrigin, Landed, Origin, SourceKind, StreamOrigin
from kasparro.storage import copy_format as binary


@dataclass(frozen=True, slots=True)
class RawTable:
    """`place` are the columns of the origin, with the SQL types of the upsert's arrays; `place_pieces` are their fields."""

    name: str
    place: tuple[tuple[str, str], ...]
    place_pieces: Callable[[Sequence[Any]], tuple[binary.Piece, ...]]
    origin: Callable[..., Origin]

    @property
    def place_columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.place)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*COMMON, *self.place_columns)


COMMON = ("source", "external_id", "raw_data", "payload_hash", "run_id", "processed")


_two_int4 = struct.Struct(">iiii").pack
_three_int8 = struct.Struct(">iqiqiq").pack


def _api_pieces(origins: Sequence[ApiOrigin]) -> tuple[binary.Piece, ...]:
    return _names([o.url for o in origins]), [_two_int4(4, o.page, 4, o.position) for o in origins]


def _csv_pieces(origins: Sequence[FileOrigin]) -> tuple[binary.Piece, ...]:
    return (
        _names([o.file for o in origins]),
        [_three_int8(8, o.byte_start, 8, o.byte_end, 8, o.line) for o in origins],
    )


def _stream_pieces(origins: Sequence[StreamOrigin]) -> tuple[binary.Piece, ...]:
    return _names([o.stream for o in origins]), [binary.int8(o.position) for o in origins]


def _names(names: Sequence[str]) -> binary.Piece:
    """Text fields of which there are few different ones."""
    fields = {name: binary.text(name.encode()) for name in set(names)}
    return [fields[name] for name in names] if len(fields) > 1 else fields[names[0]]


RAW_TABLES = {
    SourceKind.API: RawTable(
        "raw_data_api", (("url", "text"), ("page", "int"), ("position", "int")), _api_pieces, ApiOrigin
    ),
    SourceKind.CSV: RawTable(
        "raw_data_csv",
        (("file", "text"), ("byte_start", "bigint"), ("byte_end", "bigint"), ("line", "bigint")),
        _csv_pieces,
        FileOrigin,
    ),
    SourceKind.STREAM: RawTable(
        "raw_data_stream", (("stream", "text"), ("position", "bigint")), _stream_pieces, StreamOrigin
    ),
}


def place_values(origin: Origin) -> tuple[Any, ...]:
    """The values of the origin's columns, in their order."""
    match origin:
        case ApiOrigin():
            return origin.url, origin.page, origin.position
        case FileOrigin():
            return origin.file, origin.byte_start, origin.byte_end, origin.line
        case StreamOrigin():
            return origin.stream, origin.position
        case _:
            assert_never(origin)


def raw_rows(table: RawTable, source: str, run_id: str, landed: Sequence[Landed]) -> bytes:
    """New records as rows of a raw table."""
    keyed = [item.keyed for item in landed]
    pieces = (
        binary.text(source.encode()),
        *binary.texts([one.external_id.encode() for one in keyed]),
        *binary.texts([one.raw.payload for one in keyed]),
        *binary.texts([one.payload_hash for one in keyed]),
        binary.text(run_id.encode()),
        [binary.FALSE if item.data is None else binary.TRUE for item in landed],
        *table.place_pieces([one.raw.origin for one in keyed]),
    )
    return binary.rows(len(table.columns), len(landed), pieces)


DATASET_COLUMNS = ("source", "source_id", "data", "version")


def dataset_rows(source: str, version: int, landed: Sequence[Landed]) -> bytes:
    """New records as rows of the dataset; all of them have one to be stored."""
    pieces = (
        binary.text(source.encode()),
        *binary.texts([item.keyed.external_id.encode() for item in landed]),
        *binary.jsonbs([item.data or b"" for item in landed]),
        binary.int8(version),
    )
    return binary.rows(len(DATASET_COLUMNS), len(landed), pieces)
