"""Queries over real rows: what PostgreSQL answers is what the rules say, page by page, while a load goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kasparro.core.database import Database
from kasparro.schemas.query import (
    DEEPEST,
    FACETS,
    FIELDS,
    MOST_FACETS,
    MOST_ORDERS,
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
    RecordQuery,
)
from kasparro.services.query_text import parse_query
from kasparro.services.record_cursor import read_cursor, write_cursor
from kasparro.storage.dataset import Dataset, DatasetPage
from query_oracle import START, VALUES, WORDS, Row, counted, expected, make_rows
from query_writing import levels, written

ROWS = 1_500

INSERT = """
INSERT INTO normalized_data (source, source_id, data, version, created_at, updated_at, id)
VALUES (%s, %s, %s, 1, %s, %s, coalesce(%s, nextval('normalized_data_id_seq')))
"""


def insert(connection: psycopg.Connection, rows: list[Row], *, new: bool = False) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            INSERT,
            [
                (r.source, r.source_id, r.text, r.created_at, r.updated_at, None if new else r.id)
                for r in rows
            ],
        )
    connection.execute("SELECT setval('normalized_data_id_seq', (SELECT max(id) FROM normalized_data))")
    connection.execute("TRUNCATE etl_checkpoint CASCADE")
    connection.execute(
        "INSERT INTO etl_checkpoint (source, record_count) SELECT source, count(*) FROM normalized_data GROUP BY 1"
    )


Ask = Callable[[RecordQuery], DatasetPage]


@pytest.fixture
def rows() -> list[Row]:
    return make_rows(ROWS)


@pytest.fixture
def connection(database_url: str, rows: list[Row]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        insert(opened, rows)
        opened.execute("ANALYZE")
        yield opened


@pytest.fixture
def ask(database_url: str, connection: psycopg.Connection) -> Iterator[Ask]:
    with asyncio.Runner() as runner:
        database = Database(database_url)
        yield lambda query: runner.run(Dataset(database).page(query))
        runner.run(database.close())


def ids(page: DatasetPage) -> list[int]:
    return [row.id for row in page.rows]


def walk(ask: Ask, query: RecordQuery, between: Callable[[], None] = lambda: None) -> list[int]:
    """Every page, each behind the cursor of the one before."""
    found: list[int] = []
    page = ask(query)
    while True:
        found += ids(page)
        if page.next is None:
            return found
        between()
        page = ask(replace(query, after=read_cursor(write_cursor(query, page.next), query)))


NAMING = {Op.EQ, Op.NE, Op.IN}
NAMES = st.sampled_from(["alpha", "beta", "gamma", "nobody"])
"""A source is named, and what is no name is refused."""

TIMES = st.integers(0, 60).map(
    lambda hours: START + timedelta(hours=hours, microseconds=500_000 * (hours % 2))
)
NUMBERS = st.sampled_from([v for v in VALUES if isinstance(v, int | float) and not isinstance(v, bool)]).map(
    lambda number: Decimal(repr(number))
)
TEXTS = st.sampled_from([*WORDS, *(v for v in VALUES if isinstance(v, str)), "alpha", "%", "_", "\\", "'"])
PATHS = st.sampled_from(
    [("n",), ("m",), ("n", "b"), ("n", "b", "c"), ("n", "0"), ("n", "-1"), ("a.b",), ("gone",), ("n", "a.b")]
)
PLAIN = st.sampled_from([Field(name) for name, kind in FIELDS.items() if kind is not Kind.JSON])
FIELDS_ASKED = PLAIN | PATHS.map(lambda path: Field("metadata", path))


def values(field: Field, op: Op) -> st.SearchStrategy[tuple]:
    match field.kind:
        case Kind.INTEGER:
            one = st.integers(-5, ROWS + 5)
        case Kind.TIME:
            one = TIMES
        case Kind.TEXT:
            one = NAMES if field.name == "source" and op in NAMING else TEXTS
        case Kind.JSON:
            one = TEXTS | NUMBERS | (st.nothing() if op in ORDERED else st.booleans())
    match op:
        case Op.ISNULL:
            return st.tuples(st.booleans())
        case Op.BETWEEN if field.kind is Kind.JSON:
            return st.tuples(TEXTS, TEXTS) | st.tuples(NUMBERS, NUMBERS)
        case Op.BETWEEN:
            return st.tuples(one, one)
        case Op.IN:
            return st.lists(one, min_size=1, max_size=4).map(tuple)
        case Op.STARTSWITH:
            return st.tuples(TEXTS)
        case _:
            return st.tuples(one)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    field = draw(FIELDS_ASKED)
    op = draw(st.sampled_from(sorted(OPERATORS[field.kind])))
    return Condition(field, op, draw(values(field, op)))


FILTERS = st.recursive(
    conditions(),
    lambda inner: st.builds(
        Group, st.sampled_from(Joint), st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
ORDERS = st.lists(
    st.builds(Order, FIELDS_ASKED, st.booleans()), max_size=MOST_ORDERS, unique_by=lambda o: o.field
).map(tuple)
COUNTED = st.lists(
    st.sampled_from(FACETS).map(Field) | PATHS.map(lambda path: Field("metadata", path)),
    max_size=MOST_FACETS,
    unique=True,
).map(tuple)
QUERIES = st.builds(
    RecordQuery,
    where=st.lists(FILTERS, max_size=2).map(tuple),
    sort=ORDERS,
    limit=st.sampled_from([1, 7, 100]),
)


def test_any_query_that_is_written_into_a_url_finds_what_the_rules_say(ask, rows):
    by_id = {row.id: row for row in rows}

    @settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
    @given(query=QUERIES, facets=COUNTED, offset=st.integers(0, 30))
    def finds(query: RecordQuery, facets: tuple[Field, ...], offset: int) -> None:
        assume(all(levels(one) < DEEPEST - 1 for one in query.where))  # `written` may put one around all
        should = expected(query, rows)
        page = ask(parse_query(written(replace(query, facets=facets, offset=offset))))
        assert ids(page) == should[offset : offset + query.limit]
        assert page.total == len(should)
        found = [by_id[number] for number in should]
        assert json.loads(page.facets or "{}") == {str(facet): counted(facet, found) for facet in facets}

    finds()


def test_any_query_can_be_paged_through_by_cursors(ask, rows):
    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(query=QUERIES)
    def pages(query: RecordQuery) -> None:
        few = replace(query, limit=40)
        assert walk(ask, few) == expected(few, rows)

    pages()


SORTS = [
    (),
    (Order(Field("id"), descending=True),),
    (Order(Field("title")), Order(Field("published_at"), descending=True)),
    (Order(Field("published_at"), descending=True),),
    (Order(Field("published_at")),),
    (Order(Field("created_at"), descending=True),),
    (Order(Field("metadata", ("n",))),),
    (Order(Field("metadata", ("m",)), descending=True), Order(Field("author"))),
    (Order(Field("source")), Order(Field("source_id"), descending=True)),
]


@pytest.mark.parametrize("source", [None, "beta"])
@pytest.mark.parametrize(
    "sort", SORTS, ids=lambda sort: ",".join(f"{'-' * o.descending}{o.field}" for o in sort) or "id"
)
def test_while_a_load_goes_on_every_record_is_seen_once(ask, connection, rows, sort, source):
    """Between any two pages records are added on all sides, others changed, and some that were not yet met deleted."""
    where = (Condition(Field("source"), Op.EQ, (source,)),) if source else ()
    query = RecordQuery(where=where, sort=sort, limit=60)
    gone = {row.id for row in rows[::50]}
    more = iter([make_rows(5, seed=seed) for seed in range(100, 200)])

    def load() -> None:
        batch = next(more)
        insert(connection, [replace(r, source_id=f"{id(batch)}-{r.source_id}") for r in batch], new=True)
        connection.execute(
            "DELETE FROM normalized_data WHERE id = (SELECT id FROM normalized_data WHERE id = ANY(%s) LIMIT 1)",
            (list(gone),),
        )

    found = walk(ask, query, load)

    should = [number for number in expected(query, rows) if number not in gone]
    assert [number for number in found if number <= ROWS and number not in gone] == should
    assert len(found) == len(set(found))


def test_the_total_of_a_page_by_cursor_is_that_of_the_first(ask, connection):
    query = RecordQuery(where=(Condition(Field("category"), Op.EQ, ("x",)),), limit=5)
    first = ask(query)
    connection.execute("DELETE FROM normalized_data WHERE data->>'category' = 'x' AND id % 2 = 0")

    second = ask(replace(query, after=first.next))

    assert (second.total, second.count) == (first.total, Count.EXACT)


def test_counts_are_exact_estimated_or_none(ask, rows):
    some = RecordQuery(where=(Condition(Field("category"), Op.EQ, ("x",)),))
    matching = sum(row.data.get("category") == "x" for row in rows)

    exact, estimated, none = (ask(replace(some, count=count)) for count in Count)

    assert (exact.total, exact.count) == (matching, Count.EXACT)
    assert estimated.count is Count.ESTIMATED
    assert estimated.total >= 0
    assert (none.total, none.count) == (None, Count.NONE)
    assert ids(exact) == ids(estimated) == ids(none)


def test_what_commits_keep_count_of_is_exact_even_where_an_estimate_would_do(ask, rows):
    page = ask(RecordQuery(count=Count.ESTIMATED))

    assert (page.total, page.count) == (ROWS, Count.EXACT)
