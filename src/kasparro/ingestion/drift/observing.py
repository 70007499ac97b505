"""What the records of a batch look like: the names in every record, the values in a sample of them.

The names of a record's own fields are exact: `identity` notes them for each JSON record, and a file has one header. What is
within them, and values, are sampled, unless every record is to be looked into (`thorough`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from kasparro.ingestion.columns import column_names
from kasparro.ingestion.drift.cells import kinds_of_cells
from kasparro.ingestion.drift.shape import DEEPEST, clean, join
from kasparro.ingestion.values import decode_cells, plain
from kasparro.schemas.ingest import FileOrigin, RawRecord, StreamOrigin

Names = tuple[str, ...]

MOST_SAMPLED: Final = 32
CANNOT_BE_READ: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)

_LONGEST_VALUE: Final = 80


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one field in a sample: how many are of which kind, how many are none, and themselves without those."""

    kinds: Mapping[str, int]
    nulls: int
    items: Sequence[Any]

    @property
    def present(self) -> int:
        return self.nulls + len(self.items)

    def examples(self, most: int) -> list[str]:
        found: dict[str, None] = {}
        for item in self.items:
            found[shown(item)] = None
            if len(found) == most:
                break
        return list(found)


@dataclass(slots=True)
class Objects:
    """The objects at one node: the names they had, each combination once; how many were counted, how many looked into."""

    names: set[Names] = field(default_factory=set)
    counted: int = 0
    sampled: int = 0
    fields: dict[str, Values] = field(default_factory=dict)


Observation = Mapping[str, Objects]
"""By node."""


def of_json(
    records: Sequence[RawRecord], met: Iterable[Names], *, streams: bool, thorough: bool
) -> Observation:
    """*met* are the names of every record, behind its stream where there are *streams*."""
    seen: dict[str, Objects] = {}
    for names in met:
        root = f"{clean(names[0])}:" if streams else ""
        seen.setdefault(root, Objects()).names.add(names[1:] if streams else names)
    inside: dict[str, list[dict[str, Any]]] = {}
    for record in records if thorough else sampled(records):
        for node, value in objects_of(record, streams=streams):
            inside.setdefault(node, []).append(value)
    for node, found in inside.items():
        objects = seen.setdefault(node, Objects())
        objects.names.update(map(tuple, found))
        objects.sampled = len(found)
        objects.counted = len(records) if node == "" else len(found)
        objects.fields = {clean(name): _json_values(items) for name, items in _columns(found).items()}
    return seen


def of_rows(records: Sequence[RawRecord], null_values: frozenset[str]) -> Observation:
    """The same for CSV rows, whose cells are text."""
    rows = []
    for record in sampled(records):
        try:
            rows.append(decode_cells(record.payload))
        except CANNOT_BE_READ:
            continue
    if not rows:
        return {}
    names = {column_names(record.payload) for record in first_of_each_file(records)}
    fields = {clean(name): _cell_values(cells, null_values) for name, cells in _columns(rows).items()}
    return {"": Objects(names, len(records), len(rows), fields)}


def _columns(objects: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of each name, taken together from objects that are alike."""
    alike: dict[Names, list[Iterable[Any]]] = {}
    for value in objects:
        alike.setdefault(tuple(value), []).append(value.values())
    columns: dict[str, list[Any]] = {}
    for names, rows in alike.items():
        for name, items in zip(names, zip(*rows, strict=True), strict=True):
            columns.setdefault(name, []).extend(items)
    return columns


def _json_values(items: list[Any]) -> Values:
    left = [item for item in items if item is not None]
    return Values(Counter(map(kind_of, left)), len(items) - len(left), left)


def _cell_values(cells: list[str], null_values: frozenset[str]) -> Values:
    left = [cell for cell in cells if cell not in null_values]
    return Values(kinds_of_cells(left), len(cells) - len(left), left)


def sampled(records: Sequence[RawRecord]) -> Sequence[RawRecord]:
    """Some of them, from everywhere."""
    return records[:: max(1, len(records) // MOST_SAMPLED)][:MOST_SAMPLED]


def first_of_each_file(records: Sequence[RawRecord]) -> Iterator[RawRecord]:
    """Files are read one after the other, so that each is found by a few looks."""
    at = 0
    while at < len(records):
        yield records[at]
        file = _file(records[at])
        at = bisect_left(records, True, lo=at, key=partial(_is_not_of, file))


def root_of(record: RawRecord, *, streams: bool) -> str:
    return f"{clean(record.origin.stream)}:" if streams and isinstance(record.origin, StreamOrigin) else ""


def _is_not_of(file: str, record: RawRecord) -> bool:
    return _file(record) != file


def _file(record: RawRecord) -> str:
    return record.origin.file if isinstance(record.origin, FileOrigin) else ""


def objects_of(record: RawRecord, *, streams: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The record and the objects within it, each with its node; none of what is no object or cannot be read."""
    try:
        value = plain(msgspec.Raw(record.payload))
    except CANNOT_BE_READ:
        return
    if isinstance(value, dict):
        yield from objects_in(root_of(record, streams=streams), value)


def objects_in(node: str, value: dict[str, Any], level: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object itself and those within it, down to `DEEPEST`; lists are gone through."""
    yield node, value
    if level == DEEPEST:
        return
    for name, item in value.items():
        if isinstance(item, dict):
            yield from objects_in(join(node, clean(name)), item, level + 1)
        elif isinstance(item, list):
            for one in item:
                if isinstance(one, dict):
                    yield from objects_in(f"{join(node, clean(name))}[]", one, level + 1)


Shows = Callable[[Mapping[str, Any]], bool]


def witness(
    records: Iterable[RawRecord], node: str, shows: Shows, *, cells: bool, streams: bool
) -> tuple[RawRecord, Mapping[str, Any]] | None:
    """The first record with an object at *node* that *shows* what is looked for, and that object."""
    for record in records:
        found = [("", _cells(record))] if cells else objects_of(record, streams=streams)
        for path, value in found:
            if path == node and shows(value):
                return record, value
    return None


def _cells(record: RawRecord) -> dict[str, Any]:
    try:
        return decode_cells(record.payload)
    except CANNOT_BE_READ:
        return {}


_KINDS: Final = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    return _KINDS[type(value)]


def shown(value: Any) -> str:
    """A value as an example; of objects and lists only that there is one."""
    match value:
        case str():
            return clean(value[:_LONGEST_VALUE])
        case bool():
            return "true" if value else "false"
        case dict():
            return "{}"
        case list():
            return "[]"
        case _:
            return str(value)[:_LONGEST_VALUE]
