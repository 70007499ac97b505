"""Whatever a query says, the text of its statement is our own: what was said is bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from kasparro.schemas.query import (
    FIELDS,
    OPERATORS,
    ORDERED,
    Condition,
    Count,
    Field,
    Group,
    Joint,
    Kind,
    Op,
    Order,
    Position,
    RecordQuery,
    SearchMode,
)
from kasparro.storage.query_page import estimate_statement, page_statement

MARK = "m4rk'\"\\;--"
PATH = Field("metadata", (MARK, "0"))
NUMBER, DAY = 987654321, datetime(1987, 6, 5, tzinfo=UTC)
VALUES = {Kind.INTEGER: NUMBER, Kind.TIME: DAY, Kind.TEXT: MARK, Kind.JSON: MARK}
TELLTALES = ("m4rk", str(NUMBER), "1987", "4711")


def operands(kind: Kind, op: Op) -> tuple:
    if op is Op.ISNULL:
        return (True,)
    return (VALUES[kind],) * (2 if op is Op.BETWEEN else 1)


CONDITIONS = [
    Condition(field, op, operands(field.kind, op))
    for field in (*(Field(name) for name, kind in FIELDS.items() if kind is not Kind.JSON), PATH)
    for op in sorted(OPERATORS[field.kind])
] + [
    Condition(PATH, op, (Decimal(NUMBER),) * 2) for op in sorted({Op.EQ, Op.NE, Op.IN, Op.CONTAINS, *ORDERED})
]

QUERIES = [
    *(RecordQuery(where=(condition,)) for condition in CONDITIONS),
    *(RecordQuery(where=(Group(joint, tuple(CONDITIONS[:3])),)) for joint in Joint),
    RecordQuery(search=MARK),
    RecordQuery(search=MARK, where=tuple(CONDITIONS[:2]), facets=(PATH, Field("author")), fields=(PATH,)),
    RecordQuery(
        sort=(Order(PATH), Order(Field("title"), descending=True)), facets=(PATH,), fields=(PATH, Field("id"))
    ),
    RecordQuery(limit=47, offset=4711),
]


def places(query: RecordQuery) -> list[Position | None]:
    keys = len(query.sort_keys())
    return [None, Position((MARK,) * keys), Position((None,) * (keys - 1) + (str(NUMBER),))]


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_nothing_of_what_is_asked_is_in_the_text_of_the_statement(query):
    for mode in SearchMode:
        statements = [page_statement(replace(query, after=place), mode) for place in places(query)]
        for statement in (*statements, estimate_statement(query, mode)):
            assert [mark for mark in TELLTALES if mark in statement.text] == []
            assert all(f"%({name})s" in statement.text for name in statement.values)


def test_queries_of_one_shape_are_one_statement():
    """So that PostgreSQL needs to plan it only once."""
    first, second = (
        page_statement(
            RecordQuery(where=(Condition(PATH, Op.IN, (Decimal(n), "x" * n)),), limit=n, count=Count.NONE)
        )
        for n in (1, 2)
    )

    assert first.text == second.text
    assert first.values != second.values
