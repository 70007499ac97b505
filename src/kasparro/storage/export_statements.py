"""A `RecordQuery` without pages as one COPY statement: every record, in the order asked for. `storage.exports` runs it.

PostgreSQL writes the lines of NDJSON and CSV itself. Rows that are no records are left out, as everywhere.
"""

from __future__ import annotations

from typing import Final

from kasparro.schemas.export import Formulas, columns_of
from kasparro.schemas.query import Field, Kind, RecordQuery, SearchMode
from kasparro.storage.query_fields import COLUMNS, Binder, in_range, plain, rfc3339
from kasparro.storage.query_matches import where_of
from kasparro.storage.query_order import keys_of, ordering_of
from kasparro.storage.query_page import Statement, record_json

NOT_IN_JSON: Final = r"E'\x02'"
NEITHER: Final = r"E'\x01'"
"""Characters that JSON never has as they are: with them as delimiter and quote, a line of "CSV" is the text itself."""

FORMULA: Final = r"^[\s'']*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]"
"""What spreadsheets take for a formula, spaces and apostrophes before it included (in SQL, where an apostrophe is two)."""
NUMBER: Final = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"

READABLE: Final = (
    f"jsonb_typeof(n.data) = 'object' AND {in_range('n.created_at')} AND {in_range('n.updated_at')}"
)


def ndjson_statement(query: RecordQuery) -> Statement:
    binder = Binder()
    record = record_json(query, SearchMode.WORDS, binder)
    return _copy(
        query, record, f"FORMAT csv, DELIMITER {NOT_IN_JSON}, QUOTE {NEITHER}, ESCAPE {NEITHER}", binder
    )


def csv_statement(query: RecordQuery, formulas: Formulas) -> Statement:
    """Text is quoted and null is not, so that the two can be told apart."""
    binder = Binder()
    columns = columns_of(query)
    cells = [f"{_cell(field, formulas, binder)} AS c{number}" for number, field in enumerate(columns)]
    quoted = [f"c{number}" for number, field in enumerate(columns) if _is_text(field)]
    options = "FORMAT csv" + (f", FORCE_QUOTE ({', '.join(quoted)})" if quoted else "")
    return _copy(query, ", ".join(cells), options, binder)


def columns_statement(query: RecordQuery) -> Statement:
    """Values for formats that have columns: ids as numbers, times as texts, all else as texts."""
    binder = Binder()
    return _copy(
        query, ", ".join(_value(field, binder) for field in columns_of(query)), "FORMAT binary", binder
    )


def _copy(query: RecordQuery, selected: str, options: str, binder: Binder) -> Statement:
    ordering = ordering_of(query, keys_of(query, binder), binder)
    text = f"""
        COPY (
            SELECT {selected}
            FROM (
                SELECT n.id, n.source, n.source_id, n.data, n.created_at, n.updated_at FROM normalized_data AS n
                WHERE {where_of(query, binder)} AND {READABLE} ORDER BY {ordering.by}
            ) AS p
        ) TO STDOUT ({options})
    """
    return Statement(text, binder.values)


def _is_text(field: Field) -> bool:
    return field.kind in {Kind.TEXT, Kind.JSON}


def _cell(field: Field, formulas: Formulas, binder: Binder) -> str:
    value = _value(field, binder)
    if not _is_text(field) or formulas is Formulas.KEEP:
        return value
    return f"(SELECT CASE WHEN v ~ '{FORMULA}' AND v !~ '{NUMBER}' THEN '''' || v ELSE v END FROM (SELECT {value} AS v) AS cell)"


def _value(field: Field, binder: Binder) -> str:
    """Metadata as JSON text; what stands at a path of it as plain text."""
    if field.path:
        return plain(f"(p.data #> {binder.path(field)})")
    if field.name in {"created_at", "updated_at"}:
        return rfc3339(f"p.{field.name}")
    if field.name == "metadata":
        return "coalesce(p.data->'metadata', '{}')::text"
    return f"p.{field.name}" if field.name in COLUMNS else f"(p.data->>'{field.name}')"
