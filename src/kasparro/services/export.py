"""The dataset as a file: a query and a format in, pieces of the file out, while the database is still reading.

`api` and the command line call it. Memory does not depend on the number of records.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, assert_never

from kasparro.schemas.export import ExportFormat, Formulas, columns_of
from kasparro.schemas.query import RecordQuery
from kasparro.services.columnar import columnar_parts
from kasparro.services.export_parts import Part
from kasparro.storage.exports import Exports

PIECE: Final = 64 * 1024
"""Bytes of lines that are sent together; the first line goes at once."""


@dataclass(frozen=True, slots=True)
class ExportService:
    """Makes exports of what is stored."""

    exports: Exports

    def parts(
        self, query: RecordQuery, form: ExportFormat, formulas: Formulas = Formulas.ESCAPE
    ) -> AsyncGenerator[Part, None]:
        """Pieces of the file. Raises `ExtraMissing`, and what the database raises."""
        match form:
            case ExportFormat.NDJSON:
                return _lines(b"", self.exports.json_lines(query))
            case ExportFormat.CSV:
                return _lines(_header(query), self.exports.csv_lines(query, formulas))
            case ExportFormat.PARQUET | ExportFormat.ARROW:
                return columnar_parts(query, form, self.exports.rows(query))
            case _:
                assert_never(form)


async def _lines(head: bytes, lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[Part, None]:
    gathered, size, room = [head], len(head), 0
    records = 0
    async with aclosing(lines):
        async for line in lines:
            gathered.append(line)
            size += len(line)
            records += 1
            if size >= room:
                yield Part(b"".join(gathered), records)
                gathered, size, records, room = [], 0, 0, PIECE
    yield Part(b"".join(gathered), records)


def _header(query: RecordQuery) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow([str(field) for field in columns_of(query)])
    return line.getvalue().encode()
