"""The order of a query's records, and the condition that goes on behind a position of it. Records without a value come last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kasparro.schemas.query import SORTED_CHARACTERS, KeyKind, Kind, RecordQuery, SortKey
from kasparro.storage.query_fields import (
    COLUMNS,
    PUBLISHED,
    PUBLISHED_OR_NEVER,
    Binder,
    json_of,
    number_of,
    sorted_text_of,
    text_of,
)

TYPES: Final[Mapping[KeyKind, str]] = {
    KeyKind.INTEGER: "bigint",
    KeyKind.TEXT: "text",
    KeyKind.TIME: "timestamptz",
    KeyKind.NUMBER: "numeric",
    KeyKind.RANK: "real",
}


RANK: Final = "n.rank"
"""How well a record answers a search: a column that only its hits have."""


@dataclass(frozen=True, slots=True)
class Key:
    """A sort key as SQL."""

    expression: str
    kind: KeyKind
    descending: bool
    nullable: bool

    @property
    def order(self) -> str:
        nulls = " NULLS LAST" if self.nullable and self.descending else ""
        return f"{self.expression}{' DESC' if self.descending else ''}{nulls}"

    @property
    def as_text(self) -> str:
        """The key as a cursor keeps it: times as JSON has them, whatever DateStyle says."""
        if self.kind is KeyKind.TIME:
            return f"(to_json({self.expression}) #>> '{{}}')"
        return f"({self.expression})::text"


@dataclass(frozen=True, slots=True)
class Ordering:
    """`by` is the ORDER BY; `keys` are those of a position; `behind` is true of what comes after the query's own position."""

    by: str
    keys: Sequence[Key]
    behind: str

    @property
    def keys_as_text(self) -> str:
        """An array of them."""
        return f"ARRAY[{', '.join(key.as_text for key in self.keys)}]"


def ordering_of(query: RecordQuery, keys: Sequence[Key], binder: Binder) -> Ordering:
    """Of rows of the dataset."""
    if query.source is not None and len(keys) == 1:
        return _of_one_source(query, keys[0], binder)
    return ordering_by(keys, query, binder)


def ordering_by(keys: Sequence[Key], query: RecordQuery, binder: Binder) -> Ordering:
    """By *keys*, which are those of *query* wherever they stand."""
    by = ", ".join(key.order for key in keys)
    return Ordering(by, keys, "true" if query.after is None else _behind(keys, query.after.keys, binder))


def keys_of(query: RecordQuery, binder: Binder) -> list[Key]:
    return [_key(sort, binder) for sort in query.sort_keys()]


def _of_one_source(query: RecordQuery, key: Key, binder: Binder) -> Ordering:
    """By id within a source: written so that the index on (source, id) serves it, and a position is found in it at once."""
    direction = " DESC" if key.descending else ""
    behind = "true"
    if query.after is not None:
        source, record = binder.bind(query.source, "text"), binder.bind(query.after.keys[0], "bigint")
        behind = f"(n.source, n.id) {'<' if key.descending else '>'} ({source}, {record})"
    return Ordering(f"n.source{direction}, n.id{direction}", [key], behind)


def _key(sort: SortKey, binder: Binder) -> Key:
    expression, nullable = _expression(sort, binder)
    collation = ' COLLATE "C"' if sort.kind is KeyKind.TEXT else ""
    return Key(f"({expression}){collation}", sort.kind, sort.descending, nullable)


def _expression(sort: SortKey, binder: Binder) -> tuple[str, bool]:
    """The SQL of a sort key, and whether it may be null."""
    field = sort.field
    if field is None:
        return RANK, False
    match field.kind:
        case Kind.JSON:
            json = json_of(field, binder)
            return (number_of(json) if sort.kind is KeyKind.NUMBER else sorted_text_of(json)), True
        case Kind.TEXT if field.name not in COLUMNS:
            return f"left({text_of(field)}, {SORTED_CHARACTERS})", True
        case Kind.TIME if field.name not in COLUMNS:
            # Newest first never meets a null, so that one index can serve it.
            return (PUBLISHED_OR_NEVER, False) if sort.descending else (PUBLISHED, True)
        case _:
            return f"n.{field.name}", False


def _behind(keys: Sequence[Key], position: Sequence[str | None], binder: Binder) -> str:
    """Rows in the order of *keys* that come after *position*."""
    values = [
        None if value is None else _bound(value, key, binder)
        for key, value in zip(keys, position, strict=True)
    ]
    if (
        None not in values
        and not any(key.nullable for key in keys)
        and len({k.descending for k in keys}) == 1
    ):
        names, bound = ", ".join(key.expression for key in keys), ", ".join(filter(None, values))
        return f"(({names}) {'<' if keys[0].descending else '>'} ({bound}))"
    ways = [
        " AND ".join(
            [*(_same(k, v) for k, v in zip(keys[:n], values[:n], strict=True)), _later(keys[n], values[n])]
        )
        for n in range(len(keys))
    ]
    return f"({' OR '.join(f'({way})' for way in ways)})"


def _bound(value: str, key: Key, binder: Binder) -> str:
    return binder.bind(value, TYPES[key.kind])


def _same(key: Key, value: str | None) -> str:
    return f"{key.expression} IS NULL" if value is None else f"{key.expression} = {value}"


def _later(key: Key, value: str | None) -> str:
    """Nothing comes after null."""
    if value is None:
        return "false"
    later = f"{key.expression} {'<' if key.descending else '>'} {value}"
    return f"({later} OR {key.expression} IS NULL)" if key.nullable else later
