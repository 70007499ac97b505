"""A source's map over whole columns: the columns of many rows in, the texts of their DataRecords out. No I/O.

Does what `mapping` and `normalise` do for one record, for rows that are all alike and all fit; a test holds the two against each
other. Where a row does not fit, nothing comes out, and the records are taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from pydantic import ValidationError

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.columns import ReadColumns, as_array, column_names, columns_reader
from kasparro.ingestion.mapping import Rule, rules_of
from kasparro.ingestion.record_texts import in_jsonb_order, texts_of
from kasparro.ingestion.values import Unfit
from kasparro.schemas.ingest import Keyed

Cells = Mapping[str, Sequence[str | None]]
Taken = dict[str, list[bool]]
"""Which cells a mapping took whole, by column; metadata need not repeat them."""

Converted = Mapping[str, tuple[Any, bool] | None]
"""What each cell becomes and whether that is a change; None where a fallback does not fit."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What holds the cells that no mapping took, and the order in which it wants them."""

    names: Sequence[str]
    metadata: type


class ColumnNormaliser:
    """Makes DataRecords of the rows of one source."""

    def __init__(self, declaration: CsvSource) -> None:
        self._source = declaration.name
        self._rules = rules_of(declaration)
        self._nulls = frozenset(declaration.null_values)
        self._computes = {path.text for rule in self._rules for path in rule.paths if path.computes}
        self._reader = lru_cache(maxsize=8)(self._compile)

    def __call__(self, keyed: Sequence[Keyed]) -> list[bytes] | None:
        """One text a record, or None unless every record is like the first and fits."""
        payloads = [one.raw.payload for one in keyed]
        array = as_array(payloads)
        compiled = self._reader(column_names(payloads[0]))
        if array is None or compiled is None:
            return None
        read, rest = compiled
        try:
            cells = self._with_nulls(read(array))
            return self._texts([one.external_id for one in keyed], cells, rest)
        except (msgspec.MsgspecError, UnicodeDecodeError, Unfit, ValidationError):
            return None

    def _compile(self, names: tuple[str, ...]) -> tuple[ReadColumns, _Rest] | None:
        read = columns_reader(names, exactly=True)
        if read is None or not self._computes <= set(names):
            return None
        ordered = in_jsonb_order(names)
        fields = {f"c{number}": name for number, name in enumerate(ordered)}
        metadata = msgspec.defstruct("Metadata", [(f, Any) for f in fields], rename=fields, gc=False)
        return read, _Rest(ordered, metadata)

    def _with_nulls(self, columns: Mapping[str, list[str]]) -> Cells:
        nulls = self._nulls
        return {
            name: [None if cell in nulls else cell for cell in column]
            if any(null in column for null in nulls)
            else column
            for name, column in columns.items()
        }

    def _texts(self, ids: list[str], cells: Cells, rest: _Rest) -> list[bytes]:
        taken: Taken = {}
        filled = {rule.name: fill(rule, cells, len(ids), taken) for rule in self._rules}
        left = [_left(cells[name], taken.get(name)) for name in rest.names]
        return texts_of(self._source, ids, filled, map(rest.metadata, *left))


def fill(rule: Rule, cells: Cells, count: int, taken: Taken) -> Sequence[Any]:
    """The values of one field of *count* rows; what they took whole is added to *taken*. Raises `Unfit`."""
    columns = [(path.text, cells[path.text]) for path in rule.paths if path.text in cells]
    if not columns:
        return [rule.default] * count
    first, column = columns[0]
    if rule.keeps_text and None not in column:
        taken[first] = [True] * count
        return column
    converted = {cell: _converted(rule, cell) for cell in _different(column for _, column in columns)}
    if None not in column and None not in converted.values():
        values, changed = zip(*map(converted.__getitem__, column), strict=True)  # type: ignore[arg-type]
        _mark(taken, first, [not one for one in changed])
        return values
    return _fill_row_by_row(rule, columns, converted, taken)


def _mark(taken: Taken, name: str, marks: list[bool]) -> None:
    earlier = taken.get(name)
    taken[name] = (
        marks if earlier is None else [one or other for one, other in zip(marks, earlier, strict=True)]
    )


def _fill_row_by_row(
    rule: Rule, columns: Sequence[tuple[str, Sequence[str | None]]], converted: Converted, taken: Taken
) -> list[Any]:
    count = len(columns[0][1])
    values: list[Any] = [rule.default] * count
    open_rows: Sequence[int] = range(count)
    for name, column in columns:
        marks = taken.setdefault(name, [False] * count)
        left = []
        for row in open_rows:
            cell = column[row]
            outcome = None if cell is None else converted[cell]
            if outcome is None:
                left.append(row)
                continue
            values[row], changed = outcome
            marks[row] = marks[row] or not changed
        open_rows = left
    return values


def _different(columns: Iterable[Sequence[str | None]]) -> set[str]:
    return {cell for column in columns for cell in column if cell is not None}


def _converted(rule: Rule, cell: str) -> tuple[Any, bool] | None:
    try:
        return rule.convert(cell)
    except Unfit:
        if rule.declared:
            raise
        return None


def _left(column: Sequence[Any], taken: list[bool] | None) -> Sequence[Any]:
    """What goes to metadata of a column: all that was not taken."""
    if taken is None:
        return column
    return [msgspec.UNSET if took else cell for cell, took in zip(column, taken, strict=True)]
