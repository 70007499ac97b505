"""Records that are all alike, taken apart column by column: the payloads of CSV rows in, one list of cells a column out.

What is done once for a column instead of once for a cell costs a tenth. A batch that is not all alike is halved until its odd
records are found (`piecewise`); those are taken one by one, by code that says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, TypeVar

import msgspec

from kasparro.ingestion.values import NUL

Payloads = Sequence[bytes]
Columns = dict[str, list[str]]
ReadColumns = Callable[[bytes], Columns]
"""A JSON array of records in, their columns out. Raises `msgspec.MsgspecError` when a record is not like the others."""

_MOST_COLUMNS: Final = 500
_PIECE: Final = 400
"""Records at once: their cells stay in the processor's cache."""
_FEW: Final = 8

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Fast = Callable[[Sequence[Item]], "list[Outcome] | None"]


def column_names(payload: bytes) -> tuple[str, ...]:
    """The names of a row's cells, in their order; none if it is not a row."""
    try:
        return tuple(msgspec.json.decode(payload, type=dict[str, str]))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def row_type(names: Sequence[str], *, exactly: bool) -> tuple[type[msgspec.Struct], dict[str, str]] | None:
    """A type for rows with the columns *names*, and its attribute for each of them; *exactly*: they have no others.

    None where there is none.
    """
    if not 0 < len(names) <= _MOST_COLUMNS:
        return None
    attributes = {name: f"c{number}" for number, name in enumerate(names)}
    columns = {attribute: name for name, attribute in attributes.items()}
    try:
        row = msgspec.defstruct(
            "Row",
            [(column, str) for column in columns],
            rename=columns,
            gc=False,
            forbid_unknown_fields=exactly,
        )
    except ValueError:  # a name that needs to be escaped
        return None
    return row, attributes


def columns_reader(names: Sequence[str]) -> ReadColumns | None:
    """Compile the reading of the columns *names* of rows that may have others. None where that cannot be compiled."""
    if (compiled := row_type(names, exactly=False)) is None:
        return None
    row, attributes = compiled
    decode = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
    cells = [(name, attrgetter(attribute)) for name, attribute in attributes.items()]

    def read(array: bytes) -> Columns:
        rows = decode(array)
        return {name: list(map(cell, rows)) for name, cell in cells}

    return read


def as_array(payloads: Payloads) -> bytes | None:
    """The payloads as one JSON array, or None when a text in it cannot go where every text goes (a NUL character)."""
    array = b"[" + b",".join(payloads) + b"]"
    escapes = b"\\" in array  # which is found ten times as fast
    return None if escapes and NUL in array else array


def piecewise(
    fast: Fast[Item, Outcome], slow: Callable[[Item], Outcome], items: Sequence[Item]
) -> list[Outcome]:
    """Outcomes by *fast* for as many *items* at once as it takes, by *slow* for what it refuses."""
    outcomes: list[Outcome] = []
    for start in range(0, len(items), _PIECE):
        outcomes += _halving(fast, slow, items[start : start + _PIECE])
    return outcomes


def _halving(
    fast: Fast[Item, Outcome], slow: Callable[[Item], Outcome], items: Sequence[Item]
) -> list[Outcome]:
    outcomes = fast(items)
    if outcomes is not None:
        return outcomes
    if len(items) <= _FEW:
        return [slow(item) for item in items]
    middle = len(items) // 2
    return _halving(fast, slow, items[:middle]) + _halving(fast, slow, items[middle:])
