"""A source's map over whole columns: the columns of many rows in, the texts of their DataRecords out. No I/O.

Does what `mapping` and `normalise` do for one record, for rows that are all alike and all fit; a test holds the two against each
other. Where a row does not fit, nothing comes out, and the records are taken one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import compress, repeat
from operator import eq
from typing import Any, cast

import msgspec
from msgspec.structs import astuple
from pydantic import ValidationError

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.columns import as_array, column_names, row_type
from kasparro.ingestion.mapping import Read, Rule, as_stored, rules_of
from kasparro.ingestion.record_texts import in_jsonb_order, texts_of
from kasparro.ingestion.values import Unfit
from kasparro.schemas.ingest import Keyed

Cells = Mapping[str, Sequence[str | None]]
Taken = dict[str, list[bool]]
"""Which cells a mapping took whole, by column; metadata need not repeat them."""


@dataclass(frozen=True, slots=True)
class _Converted:
    """What different cells become, None where a fallback does not fit, and whether that is stored as it came."""

    values: Mapping[str, Any]
    kept: Mapping[str, bool]


class _Table:
    """Rows with the same columns, as objects: what is left in one when its cells are mapped is the metadata of its record."""

    def __init__(self, row: type[msgspec.Struct], attributes: Mapping[str, str]) -> None:
        self.decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
        self._attributes = attributes

    def columns(self, rows: Sequence[Any]) -> Iterable[tuple[str, tuple[Any, ...]]]:
        return zip(self._attributes, zip(*map(astuple, rows), strict=True), strict=True)

    def set(self, rows: Sequence[Any], name: str, value: Any, where: Iterable[bool]) -> None:
        chosen = compress(rows, where)
        deque(map(setattr, chosen, repeat(self._attributes[name]), repeat(value)), maxlen=0)


class ColumnNormaliser:
    """Makes DataRecords of the rows of one source."""

    def __init__(self, declaration: CsvSource) -> None:
        self._source = declaration.name
        self._rules = rules_of(declaration)
        self._nulls = frozenset(declaration.null_values)
        self._texts_for_null = self._nulls - {""}
        self._mapped = {path.text for rule in self._rules for path in rule.paths}
        self._computes = {path.text for rule in self._rules for path in rule.paths if path.computes}
        self._table_of = lru_cache(maxsize=8)(self._compile)

    def __call__(self, keyed: Sequence[Keyed]) -> list[bytes] | None:
        """One text a record, or None unless every record is like the first and fits."""
        payloads = [one.raw.payload for one in keyed]
        array = as_array(payloads)
        table = self._table_of(column_names(payloads[0]))
        if array is None or table is None:
            return None
        try:
            rows = table.decode(array)
            cells = self._cells(table, rows)
            taken: Taken = {}
            filled = {rule.name: fill(rule, cells, len(rows), taken) for rule in self._rules}
            for name, marks in taken.items():
                table.set(rows, name, msgspec.UNSET, marks)
            return texts_of(self._source, [one.external_id for one in keyed], filled, rows)
        except (msgspec.MsgspecError, UnicodeDecodeError, Unfit, ValidationError):
            return None

    def _compile(self, names: tuple[str, ...]) -> _Table | None:
        compiled = row_type(in_jsonb_order(names), exactly=True)
        return _Table(*compiled) if compiled and self._computes <= set(names) else None

    def _cells(self, table: _Table, rows: Sequence[Any]) -> Cells:
        """The columns that are mapped; a cell that means "no value" becomes None, there and in *rows*."""
        nulls, cells = self._nulls, dict[str, Sequence[str | None]]()
        for name, column in table.columns(rows):
            has_nulls = self._has_nulls(column)
            if has_nulls:
                table.set(rows, name, None, map(nulls.__contains__, column))
            if name in self._mapped:
                cells[name] = [None if cell in nulls else cell for cell in column] if has_nulls else column
        return cells

    def _has_nulls(self, column: Sequence[str]) -> bool:
        """Whether any cell means "no value"; mostly it is the empty one, which `all` finds fastest."""
        blanks = "" in self._nulls and not all(column)
        return blanks or any(null in column for null in self._texts_for_null)


def fill(rule: Rule, cells: Cells, count: int, taken: Taken) -> Sequence[Any]:
    """The values of one field of *count* rows; what they took whole is added to *taken*. Raises `Unfit`."""
    columns = [(path.text, cells[path.text]) for path in rule.paths if path.text in cells]
    if not columns:
        return [rule.default] * count
    first, column = columns[0]
    if rule.keeps_text and None not in column:
        taken[first] = [True] * count
        return column
    converted = _converted(rule, {cell for _, column in columns for cell in column if cell is not None})
    if None not in column and (rule.declared or None not in converted.values.values()):
        texts = cast("Sequence[str]", column)
        _mark(taken, first, list(map(converted.kept.__getitem__, texts)))
        return list(map(converted.values.__getitem__, texts))
    return _fill_row_by_row(rule, columns, converted, taken)


def _mark(taken: Taken, name: str, marks: list[bool]) -> None:
    earlier = taken.get(name)
    taken[name] = (
        marks if earlier is None else [one or other for one, other in zip(marks, earlier, strict=True)]
    )


def _fill_row_by_row(
    rule: Rule, columns: Sequence[tuple[str, Sequence[str | None]]], converted: _Converted, taken: Taken
) -> list[Any]:
    count = len(columns[0][1])
    values: list[Any] = [rule.default] * count
    open_rows: Sequence[int] = range(count)
    for name, column in columns:
        marks = taken.setdefault(name, [False] * count)
        left = []
        for row in open_rows:
            cell = column[row]
            value = None if cell is None else converted.values[cell]
            if cell is None or value is None:
                left.append(row)
                continue
            values[row] = value
            marks[row] = marks[row] or converted.kept[cell]
        open_rows = left
    return values


def _converted(rule: Rule, cells: Iterable[str]) -> _Converted:
    """Convert different *cells*, each once. Raises `Unfit` where a declared rule does not fit."""
    read = rule.read if rule.declared else partial(_fitting, rule.read)
    values = {cell: read(cell) for cell in cells}
    kept = map(eq, values, as_stored(list(values.values())))
    return _Converted(values, dict(zip(values, kept, strict=True)))


def _fitting(read: Read, cell: str) -> Any:
    try:
        return read(cell)
    except Unfit:
        return None
