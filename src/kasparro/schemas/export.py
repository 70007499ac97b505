"""What an export is: its formats, and the columns of those that have columns."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from kasparro.schemas.query import FIELDS, Field, RecordQuery


class ExportFormat(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Formulas(StrEnum):
    """What becomes of a CSV cell that a spreadsheet would take for a formula."""

    ESCAPE = "escape"
    KEEP = "keep"


MEDIA_TYPES: Final = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.ARROW: "application/vnd.apache.arrow.stream",
}


def columns_of(query: RecordQuery) -> Sequence[Field]:
    return query.fields or tuple(map(Field, FIELDS))
