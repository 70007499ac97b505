"""Rows as Parquet or as an Arrow stream, by pyarrow, which comes with `pip install kasparro[parquet]`.

Its columns are the fields of a record: `id` an int64, times timestamps in UTC to the microsecond, all else text; `metadata` is
its JSON as text. What stands at a metadata path is text, too.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from kasparro.core.errors import ExtraMissing
from kasparro.schemas.export import ExportFormat, columns_of
from kasparro.schemas.query import Field, Kind, RecordQuery
from kasparro.services.export_parts import Part

MOST_ROWS: Final = 10_000
MOST_CHARACTERS: Final = 2 << 20
"""Of a row group; whichever is reached first ends it."""

Rows = AsyncGenerator[tuple[Any, ...], None]


class Sink:
    """A file that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """All is written already."""

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def columnar_parts(query: RecordQuery, form: ExportFormat, rows: Rows) -> AsyncGenerator[Part, None]:
    """Raises `ExtraMissing`, at once, where pyarrow is not installed."""
    pyarrow = _module("pyarrow")
    columns = columns_of(query)
    schema = pyarrow.schema([(str(field), _type(pyarrow, field)) for field in columns])
    sink = Sink()
    if form is ExportFormat.PARQUET:
        writer = _module("pyarrow.parquet").ParquetWriter(sink, schema, compression="zstd")
    else:
        writer = pyarrow.ipc.new_stream(sink, schema)

    def write(batch: Sequence[tuple[Any, ...]]) -> bytes:
        values = zip(*batch, strict=True)
        arrays = [
            pyarrow.array(
                [_as_time(v) for v in column] if field.kind is Kind.TIME else column, _type(pyarrow, field)
            )
            for field, column in zip(columns, values, strict=True)
        ]
        writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
        return sink.taken()

    return _parts(rows, write, lambda: _finished(writer, sink), sink.taken())


def _finished(writer: Any, sink: Sink) -> bytes:
    writer.close()
    return sink.taken()


async def _parts(rows: Rows, write: Any, finish: Any, head: bytes) -> AsyncGenerator[Part, None]:
    """Packing takes a thread, so that other requests go on."""
    yield Part(head, 0)
    batch: list[tuple[Any, ...]] = []
    characters = 0
    async with aclosing(rows):
        async for row in rows:
            batch.append(row)
            characters += sum(len(value) for value in row if isinstance(value, str))
            if len(batch) >= MOST_ROWS or characters >= MOST_CHARACTERS:
                yield Part(await asyncio.to_thread(write, batch), len(batch))
                batch, characters = [], 0
    if batch:
        yield Part(await asyncio.to_thread(write, batch), len(batch))
    yield Part(await asyncio.to_thread(finish), 0)


def _type(pyarrow: Any, field: Field) -> Any:
    match field.kind:
        case Kind.INTEGER:
            return pyarrow.int64()
        case Kind.TIME:
            return pyarrow.timestamp("us", tz="UTC")
        case _:
            return pyarrow.string()


def _as_time(text: str | None) -> datetime | None:
    """What is no time (only a change by hand can make that) is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "Parquet and Arrow need pyarrow", hint="Install it: pip install 'kasparro[parquet]'"
        ) from error
