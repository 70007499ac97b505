"""The three raw tables: which columns say where a record came from, and how a record becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from kasparro.schemas.ingest import ApiOrigin, FileOrigin, Landed, Origin, SourceKind, StreamOrigin
from kasparro.storage import copy_format as binary


@dataclass(frozen=True, slots=True)
class RawTable:
    """`place` are the columns of the origin, with the SQL types of the upsert's arrays."""

    name: str
    place: tuple[tuple[str, str], ...]
    place_fields: Callable[[Any], bytes]
    origin: Callable[..., Origin]

    @property
    def place_columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.place)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*COMMON, *self.place_columns)


COMMON = ("source", "external_id", "raw_data", "payload_hash", "run_id", "processed")


def _api_fields(origin: ApiOrigin) -> bytes:
    return binary.text(origin.url.encode()) + binary.int4(origin.page) + binary.int4(origin.position)


def _csv_fields(origin: FileOrigin) -> bytes:
    numbers = (origin.byte_start, origin.byte_end, origin.line)
    return binary.text(origin.file.encode()) + b"".join(map(binary.int8, numbers))


def _stream_fields(origin: StreamOrigin) -> bytes:
    return binary.text(origin.stream.encode()) + binary.int8(origin.position)


RAW_TABLES = {
    SourceKind.API: RawTable(
        "raw_data_api", (("url", "text"), ("page", "int"), ("position", "int")), _api_fields, ApiOrigin
    ),
    SourceKind.CSV: RawTable(
        "raw_data_csv",
        (("file", "text"), ("byte_start", "bigint"), ("byte_end", "bigint"), ("line", "bigint")),
        _csv_fields,
        FileOrigin,
    ),
    SourceKind.STREAM: RawTable(
        "raw_data_stream", (("stream", "text"), ("position", "bigint")), _stream_fields, StreamOrigin
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
    """The COPY of new records into a raw table."""
    source_field, run_field = binary.text(source.encode()), binary.text(run_id.encode())

    def row(item: Landed) -> bytes:
        keyed = item.keyed
        return b"".join(
            (
                source_field,
                binary.text(keyed.external_id.encode()),
                binary.text(keyed.raw.payload),
                binary.text(keyed.payload_hash),
                run_field,
                binary.boolean(item.data is not None),
                table.place_fields(keyed.raw.origin),
            )
        )

    return binary.rows(len(table.columns), map(row, landed))


DATASET_COLUMNS = ("source", "source_id", "data", "version")


def dataset_rows(source: str, version: int, landed: Sequence[Landed]) -> bytes:
    """The COPY of new records into the dataset; those that were rejected stay out."""
    source_field, version_field = binary.text(source.encode()), binary.int8(version)
    rows = (
        source_field + binary.text(item.keyed.external_id.encode()) + binary.jsonb(item.data) + version_field
        for item in landed
        if item.data is not None
    )
    return binary.rows(len(DATASET_COLUMNS), rows)
