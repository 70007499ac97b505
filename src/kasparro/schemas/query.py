"""What one can ask of the dataset: `RecordQuery`, a frozen value.

`services.query_text` makes it of request parameters, other entrances of their own arguments; `storage.query_page` compiles it to
one statement. Whatever stands in it has been checked: names are known, values have the type of their field, all is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Final

MOST_CONDITIONS: Final = 50
DEEPEST: Final = 5
"""Levels of `and`, `or` and `not` within each other."""
MOST_VALUES: Final = 100
LONGEST_VALUE: Final = 1_000
LONGEST_SEARCH: Final = 300
LONGEST_FILTER: Final = 8_000
MOST_ORDERS: Final = 4
MOST_FACETS: Final = 4
MOST_STEPS: Final = 8
LONGEST_STEP: Final = 100
FACET_VALUES: Final = 50
"""Most values that a facet counts; the most frequent ones."""
SORTED_CHARACTERS: Final = 100
"""Text is sorted by so many of its first characters: what a cursor has to hold is bounded."""

MOST_LIMIT: Final = 100
INT64_MAX: Final = 2**63 - 1

Scalar = str | int | Decimal | bool | datetime


class Kind(StrEnum):
    """What the values of a field are."""

    INTEGER = "integer"
    TEXT = "text"
    TIME = "time"
    JSON = "json"


class Op(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    CONTAINS = "contains"
    STARTSWITH = "startswith"
    ISNULL = "isnull"
    BETWEEN = "between"


class Joint(StrEnum):
    """How the members of a group belong together; `not`: they do not all hold."""

    AND = "and"
    OR = "or"
    NOT = "not"


class Count(StrEnum):
    """How the matching records are counted."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    NONE = "none"


class SearchMode(StrEnum):
    """`words`: records with the words asked for. `similar`: there are none, so those whose title looks like them."""

    WORDS = "words"
    SIMILAR = "similar"


FIELDS: Final[Mapping[str, Kind]] = {
    "id": Kind.INTEGER,
    "source": Kind.TEXT,
    "source_id": Kind.TEXT,
    "title": Kind.TEXT,
    "description": Kind.TEXT,
    "content": Kind.TEXT,
    "author": Kind.TEXT,
    "published_at": Kind.TIME,
    "url": Kind.TEXT,
    "category": Kind.TEXT,
    "metadata": Kind.JSON,
    "created_at": Kind.TIME,
    "updated_at": Kind.TIME,
}
"""The fields of a record as served, in the order in which people read."""

FACETS: Final = ("source", "category", "author")
"""What can be counted by value, beside metadata paths."""

ORDERED: Final = frozenset({Op.LT, Op.LE, Op.GT, Op.GE, Op.BETWEEN})
EVERYWHERE: Final = frozenset({Op.EQ, Op.NE, Op.IN, Op.ISNULL, *ORDERED})
OPERATORS: Final[Mapping[Kind, frozenset[Op]]] = {
    Kind.INTEGER: EVERYWHERE,
    Kind.TIME: EVERYWHERE,
    Kind.TEXT: frozenset(Op),
    Kind.JSON: frozenset(Op),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record; with a `path`, what stands there within its metadata."""

    name: str
    path: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        return FIELDS[self.name]

    def __str__(self) -> str:
        return ".".join((self.name, *map(_step, self.path)))


def _step(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if set(name) & set('."[]\\, ') or not name else name


@dataclass(frozen=True, slots=True)
class Condition:
    """One value, but for `in` (some), `between` (two) and `contains` (a number, and how it is written where that differs)."""

    field: Field
    op: Op
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Group:
    joint: Joint
    members: tuple[Filter, ...]


Filter = Condition | Group


@dataclass(frozen=True, slots=True)
class Order:
    field: Field
    descending: bool = False


class KeyKind(StrEnum):
    """What a sort key is in the database."""

    INTEGER = "integer"
    TEXT = "text"
    TIME = "time"
    NUMBER = "number"
    RANK = "rank"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One of the values that records are ordered by. Without a `field` it is how well a record answers the search."""

    field: Field | None
    kind: KeyKind
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of a query: behind the record with these sort keys, each as the text the database gave.

    `total` and `count` are those of the first page: going on counts nothing again.
    """

    keys: tuple[str | None, ...]
    mode: SearchMode = SearchMode.WORDS
    total: int | None = None
    count: Count = Count.NONE


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which records, in which order, and how much of them. The records meet every filter of `where`; no `fields` are all."""

    where: tuple[Filter, ...] = ()
    search: str | None = None
    sort: tuple[Order, ...] = ()
    fields: tuple[Field, ...] = ()
    facets: tuple[Field, ...] = ()
    count: Count = Count.EXACT
    limit: int = 10
    offset: int = 0
    after: Position | None = None

    @property
    def source_condition(self) -> Condition | None:
        """The condition that names the one source whose records are asked for, where there is one."""
        named = [one for one in self.where if isinstance(one, Condition) and _names_source(one)]
        return named[0] if len(named) == 1 else None

    @property
    def source(self) -> str | None:
        condition = self.source_condition
        return str(condition.values[0]) if condition else None

    @property
    def only_source(self) -> bool:
        """Whether nothing but the source is asked of the records."""
        return self.search is None and (not self.where or (len(self.where) == 1 and self.source is not None))

    def sort_keys(self) -> tuple[SortKey, ...]:
        """What the records are ordered by: what was asked for, else how well they answer the search, and in the end the id."""
        if not self.sort and self.search is not None:
            return SortKey(None, KeyKind.RANK, descending=True), SortKey(Field("id"), KeyKind.INTEGER)
        keys = tuple(key for order in self.sort for key in _keys_of(order))
        if any(order.field.name == "id" for order in self.sort):
            return keys
        descending = bool(self.sort) and self.sort[-1].descending
        return *keys, SortKey(Field("id"), KeyKind.INTEGER, descending)

    def fingerprint(self) -> str:
        """What decides which records come in which order, as 16 hex digits. A cursor belongs to it."""
        asked = (sorted(map(repr, self.where)), self.search, self.sort)
        return blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _keys_of(order: Order) -> tuple[SortKey, ...]:
    """Of what stands in metadata, numbers come before texts."""
    field, descending = order.field, order.descending
    match field.kind:
        case Kind.INTEGER:
            return (SortKey(field, KeyKind.INTEGER, descending),)
        case Kind.TIME if field.name != "published_at":
            return (SortKey(field, KeyKind.TIME, descending),)
        case Kind.TEXT | Kind.TIME:
            return (SortKey(field, KeyKind.TEXT, descending),)
        case Kind.JSON:
            kinds = (KeyKind.NUMBER, KeyKind.TEXT)
            return tuple(SortKey(field, kind, descending) for kind in kinds)


def _names_source(condition: Condition) -> bool:
    return condition.field.name == "source" and condition.op is Op.EQ


def conditions_of(filters: tuple[Filter, ...]) -> Iterator[Condition]:
    """Every condition, however deep."""
    for one in filters:
        match one:
            case Condition():
                yield one
            case Group():
                yield from conditions_of(one.members)
