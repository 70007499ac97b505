"""Records of every kind in memory, and what a `RecordQuery` finds among them: the rules of docs/api.md in plain Python."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from kasparro.schemas.query import Condition, Field, Filter, Group, Joint, Kind, Op, Order, RecordQuery

WORDS = [
    *(
        "",
        "a",
        "A",
        "ab",
        "Zürich",
        "zebra",
        "Ωmega",
        "日本語",
        "emoji 😀",
        "100%",
        "under_score",
        "back\\slash",
        "quo'te",
    ),
    *(
        '"quoted"',
        "<b>bold</b>",
        "comma, here",
        "tab\there",
        "e\u0301",
        "\u00e9",
        "x" * 120 + "1",
        "x" * 120 + "2",
        "true",
    ),
]
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
START = datetime(2024, 1, 1, tzinfo=UTC)
VALUES = [
    *(
        0,
        1,
        -1,
        7,
        10,
        1.5,
        -0.25,
        1e300,
        12345678901234567890,
        "7",
        "007",
        "10",
        "1.50",
        "-1",
        "1e2",
        "abc",
        "Abc",
        "",
    ),
    *(
        True,
        False,
        "true",
        "false",
        None,
        "null",
        [],
        ["a", "7"],
        [7, 1.5, True],
        {"b": 1},
        {"b": {"c": "deep"}},
        {"a.b": 2},
    ),
]


@dataclass(frozen=True)
class Row:
    id: int
    source: str
    source_id: str
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @property
    def text(self) -> str:
        return json.dumps(
            {"source": self.source, "source_id": self.source_id, **self.data}, ensure_ascii=False
        )


def make_rows(count: int, seed: int = 1) -> list[Row]:
    dice = random.Random(seed)
    return [_row(number, dice) for number in range(1, count + 1)]


def _row(number: int, dice: random.Random) -> Row:
    def some(values: list[Any]) -> Any:
        return dice.choice(values)

    published = START + timedelta(hours=dice.randint(0, 40), microseconds=some([0, 0, 1, 500_000]))
    data = {
        "title": some([None, *WORDS]),
        "author": some([None, None, "a", "A", "b"]),
        "category": some(["x", "y", None]),
        "url": some([None, "https://example.org/"]),
        "published_at": some([None, published.isoformat().replace("+00:00", "Z")]),
        "metadata": {name: some(VALUES) for name in ("n", "m", "a.b") if dice.random() < 0.8},
    }
    if dice.random() < 0.1:
        data.pop(some(["title", "author", "published_at", "metadata"]))
    created = START + timedelta(minutes=number // 40)
    return Row(
        number,
        some(["alpha", "beta", "gamma"]),
        f"{some(WORDS[1:])}-{number}",
        data,
        created,
        created + timedelta(minutes=dice.randint(0, 9)),
    )


def expected(query: RecordQuery, rows: list[Row]) -> list[int]:
    """The ids of all records that *query* finds, in its order."""
    found = [row for row in rows if all(holds(one, row) for one in query.where)]
    found.sort(key=lambda row: row.id)
    orders = query.sort or (Order(Field("id")),)
    if not any(order.field.name == "id" for order in orders):
        orders = (*orders, Order(Field("id"), orders[-1].descending))
    for order in reversed(orders):
        found = _sorted(found, order)
    return [row.id for row in found]


def counted(field: Field, found: list[Row]) -> list[dict[str, Any]]:
    """How often each value of *field* is there: the most frequent first, then by code point, none last."""
    times = Counter(_shown(value_of(field, row)) for row in found)
    pairs = sorted(times.items(), key=lambda pair: (-pair[1], pair[0] is None, pair[0] or ""))
    return [{"value": value, "count": count} for value, count in pairs[:50]]


def _shown(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{Decimal(repr(value)):f}"[:100]
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value))[:100]


def _sorted(rows: list[Row], order: Order) -> list[Row]:
    """Records without a value come last; of metadata numbers before texts."""
    groups: list[list[tuple[Any, Row]]] = [[], [], []]
    for row in rows:
        group, key = _key(order.field, row)
        groups[group].append((key, row))
    for group in groups[:2]:
        group.sort(
            key=lambda pair: pair[0], reverse=order.descending
        )  # keeps the order of ties, in reverse too
    return [row for group in groups for _, row in group]


def _key(field: Field, row: Row) -> tuple[int, Any]:
    value = value_of(field, row)
    if field.kind is not Kind.JSON:
        cut = isinstance(value, str) and field.name not in {"source", "source_id"}
        return (2, None) if value is None else (0, value[:100] if cut else value)
    if (number := as_number(value)) is not None:
        return 0, number
    if isinstance(value, bool):
        return 1, str(value).lower()
    return (1, value[:100]) if isinstance(value, str) else (2, None)


def value_of(field: Field, row: Row) -> Any:
    match field.name:
        case "id" | "source" | "source_id" | "created_at" | "updated_at":
            return getattr(row, field.name)
        case "published_at":
            text = row.data.get("published_at")
            return None if text is None else datetime.fromisoformat(text)
        case "metadata":
            value: Any = row.data.get("metadata")
            for step in field.path:
                value = _step(value, step)
            return value
        case name:
            return row.data.get(name)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and re.fullmatch(r"-?\d+", step) and -len(value) <= int(step) < len(value):
        return value[int(step)]
    return None


def as_number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Decimal(repr(value))
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def holds(one: Filter, row: Row) -> bool:
    if isinstance(one, Group):
        results = [holds(member, row) for member in one.members]
        return {Joint.AND: all(results), Joint.OR: any(results), Joint.NOT: not all(results)}[one.joint]
    value = value_of(one.field, row)
    if one.op is Op.ISNULL:
        return (value is None) == one.values[0]
    if one.op is Op.NE:
        return not _met(one, Op.EQ, value)
    return _met(one, one.op, value)


def _met(one: Condition, op: Op, value: Any) -> bool:
    json_kind = one.field.kind is Kind.JSON
    if value is None:
        return False
    if op in {Op.CONTAINS, Op.STARTSWITH}:
        return _has_part(one, op, value)
    if op in {Op.EQ, Op.IN}:
        return any(_equal(value, given, json_kind=json_kind) for given in one.values)
    if json_kind:
        value = value if isinstance(one.values[0], str) else as_number(value)
    comparable = value is not None and isinstance(one.values[0], str) == isinstance(value, str)
    return comparable and _compares(op, value, one.values[0], one.values[-1])


def _has_part(one: Condition, op: Op, value: Any) -> bool:
    given = one.values[0]
    if isinstance(value, list):
        return op is Op.CONTAINS and any(_same_json(element, given) for element in value)
    part = given if isinstance(given, str) else _written(given)
    return isinstance(value, str) and (value.startswith(part) if op is Op.STARTSWITH else part in value)


def _compares(op: Op, value: Any, first: Any, last: Any) -> bool:
    match op:
        case Op.LT:
            return value < first
        case Op.LE:
            return value <= first
        case Op.GT:
            return value > first
        case Op.GE:
            return value >= first
        case _:
            return first <= value <= last


def _equal(value: Any, given: Any, *, json_kind: bool) -> bool:
    if not json_kind:
        return value == given
    if isinstance(given, bool):
        return value is given or value == _written(given)
    if isinstance(given, Decimal):
        return as_number(value) == given
    return isinstance(value, str) and value == given


def _same_json(element: Any, given: Any) -> bool:
    """An element of a list is compared as it is: a number is no text."""
    if isinstance(given, Decimal):
        return not isinstance(element, bool | str) and as_number(element) == given
    return type(element) is type(given) and element == given


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
