"""The change feed against the dataset: every change once, in order, from any position, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict

import psycopg
import pytest

from ingest_kit import MemorySource, api_declaration, ingest, writer
from kasparro.schemas.changes import Changed, ChangeOp, FeedPosition, Place
from kasparro.schemas.query import RecordQuery
from kasparro.services.change_text import parse_changes
from kasparro.services.feed_cursor import read_position, write_position
from kasparro.storage.change_statements import window_statement
from kasparro.storage.changes import Changes

pytestmark = pytest.mark.anyio

ALL = RecordQuery()


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


@pytest.fixture
def changes(db):
    return Changes(db)


def things(*numbers, title="first", **more):
    return [{"id": number, "title": title, **more} for number in numbers]


async def load(db, *pages, name="things", **more):
    return await ingest(
        db, MemorySource(list(pages)), api_declaration(name, map={"category": "category"}), **more
    )


async def read_all(changes, position=None, query=ALL, limit=2):
    """Everything behind *position*, a few at a time, each time from the position as a text."""
    told, position = [], position or FeedPosition()
    while True:
        changed = await changes.read(query, position, limit)
        told += changed.changes
        position = read_position(write_position(query, changed.after), query, "since")
        if not changed.more:
            return told, position


def keys(told):
    return [(change.op.value, change.source_id, change.version) for change in told]


async def test_a_follower_gets_what_is_there_and_then_each_change_once(db, changes):
    await load(db, things(1, 2, 3))
    told, position = await read_all(changes)
    assert keys(told) == [("upsert", "1", 1), ("upsert", "2", 1), ("upsert", "3", 1)]

    await load(db, things(2, 4, title="second"))
    told, position = await read_all(changes, position)
    assert keys(told) == [("upsert", "2", 2), ("upsert", "4", 2)]
    assert '"second"' in told[0].record

    assert await read_all(changes, position) == ([], position)


async def test_changes_come_in_the_order_of_the_commits(db, changes):
    await load(db, things(*range(1, 8)), batch=100)
    _, position = await read_all(changes)
    await load(db, things(5, title="a"), things(2, title="b"), things(7, 9, title="c"), batch=1)

    told, _ = await read_all(changes, position)
    assert [change.source_id for change in told] == ["5", "2", "7", "9"]
    assert [change.version for change in told] == sorted(change.version for change in told)


async def test_a_record_that_changed_twice_is_told_once_as_it_is_now(db, changes):
    await load(db, things(1, 2))
    _, position = await read_all(changes)
    await load(db, things(1, title="second"))
    await load(db, things(1, title="third"))

    told, _ = await read_all(changes, position)
    assert keys(told) == [("upsert", "1", 3)]
    assert '"third"' in told[0].record


async def test_what_changes_during_the_first_walk_comes_with_its_change(db, changes):
    await load(db, things(*range(1, 7)))
    first = await changes.read(ALL, FeedPosition(), 2)
    await load(db, things(1, 5, 7, title="second"))

    told, _ = await read_all(changes, first.after)
    assert [change.source_id for change in first.changes] == ["1", "2"]
    assert keys(told) == [("upsert", "3", 1), ("upsert", "4", 1), ("upsert", "6", 1)] + [
        ("upsert", number, 2) for number in ("1", "5", "7")
    ]


async def test_only_what_comes_from_now_on(db, changes):
    await load(db, things(1, 2))
    now = await changes.now(ALL)
    await load(db, things(2, title="second"))
    await load(db, things(1), name="others")

    told, _ = await read_all(changes, now)
    assert [(change.source, change.source_id) for change in told] == [("others", "1"), ("things", "2")]


async def test_a_filter_lets_through_what_meets_it_and_tells_what_no_more_does(db, changes):
    query = parse_changes([("category", "a"), ("fields", "id,title")]).query
    await load(db, things(1, 2, category="a") + things(3, category="b"))
    told, position = await read_all(changes, query=query)
    assert keys(told) == [("upsert", "1", 1), ("upsert", "2", 1)]
    assert set(json.loads(told[0].record)) == {"id", "title"}

    await load(db, things(1, category="b"), things(3, category="a"), things(4, category="b"), batch=1)
    told, _ = await read_all(changes, position, query)
    assert keys(told) == [("delete", "1", 2), ("upsert", "3", 3)]


async def test_a_filter_by_source_hears_of_no_other(db, changes):
    for name in ("a", "b"):
        await load(db, things(1, 2), name=name)
    for pairs in ([("source", "a")], [("source[in]", "a,c")], [("filter", '{"not": {"source": "b"}}')]):
        query = parse_changes(pairs).query
        told, position = await read_all(changes, query=query)
        assert {change.source for change in told} == {"a"}
        assert set(position.places) == {"a"}


async def test_filters_that_let_nothing_through_do_not_keep_an_answer(db):
    changes = Changes(db, scanned=2)
    await load(db, *(things(number) for number in range(200)), batch=1)
    query = parse_changes([("title", "nothing")]).query

    first = await changes.read(query, FeedPosition(), 100)
    assert (first.changes, first.more) == ([], True)
    assert first.after != FeedPosition()
    assert (await read_all(changes, first.after, query))[0] == []


async def test_a_source_that_went_back_or_away_is_begun_anew(db, changes, database_url):
    for name in ("away", "back", "same"):
        await load(db, things(1), things(2), name=name, batch=1)
    now = await changes.now(ALL)
    _, position = await read_all(changes)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM normalized_data WHERE source = 'away' OR version = 2 AND source = 'back'"
        )
        connection.execute("DELETE FROM etl_checkpoint WHERE source = 'away'")
        connection.execute("UPDATE etl_checkpoint SET version = 1 WHERE source = 'back'")

    told, after = await read_all(changes, position)
    assert [(c.op, c.source, c.source_id) for c in told] == [
        (ChangeOp.RESET, "away", None),
        (ChangeOp.RESET, "back", None),
        (ChangeOp.UPSERT, "back", "1"),
    ]
    assert await read_all(changes, after) == ([], after)

    told, after = await read_all(changes, now)
    assert [(c.op, c.source) for c in told] == [(ChangeOp.GAP, "away"), (ChangeOp.GAP, "back")]
    assert await read_all(changes, after) == ([], after)


async def test_a_source_that_was_forgotten_and_came_again_is_another(db, changes, database_url):
    await load(db, things(1, 2))
    _, position = await read_all(changes)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table in ("normalized_data", "etl_checkpoint", "raw_data_api"):
            connection.execute(f"DELETE FROM {table}")
    await load(db, things(5))

    told, _ = await read_all(changes, position)
    assert [(c.op, c.source_id) for c in told] == [(ChangeOp.RESET, None), (ChangeOp.UPSERT, "5")]


async def test_a_row_that_is_no_record_has_no_text_and_stops_nothing(db, changes, database_url):
    await load(db, things(1, 2))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE normalized_data SET data = '[]' WHERE source_id = '1'")

    told, _ = await read_all(changes)
    assert [(c.source_id, c.record is None) for c in told] == [("1", True), ("2", False)]


# With eight writers

SOURCES = [f"source_{letter}" for letter in "abcdefgh"]


async def write(db, name, rounds, number):
    """Runs that insert and change, each of several batches, two of which are under way at a time."""
    chance = random.Random(number)
    for turn in range(rounds):
        pages = [
            things(*sorted(chance.sample(range(60), 9)), title=f"{turn} {page}", turn=[turn, page])
            for page in range(6)
        ]
        await load(db, *pages, name=name, batch=9)


async def follow(changes, done, number):
    """Reads on until all is written, with a new limit each time; what it was told, and how often it asked."""
    chance = random.Random(number)
    told, position, asked = [], FeedPosition(), 0
    while True:
        last = done.is_set()
        changed: Changed = await changes.read(ALL, position, chance.choice([1, 2, 3, 7, 40]))
        told += changed.changes
        asked += 1
        position = read_position(write_position(ALL, changed.after), ALL, "since")
        if last and not changed.more:
            return told, asked


async def test_with_eight_writers_nothing_is_lost_and_nothing_comes_twice(db, changes, database_url):
    done = asyncio.Event()
    followers = [asyncio.create_task(follow(changes, done, number)) for number in range(3)]
    async with writer(database_url) as other:
        stores = [db, other]
        await asyncio.gather(*(write(stores[n % 2], name, 4, n) for n, name in enumerate(SOURCES)))
    done.set()
    results = await asyncio.gather(*followers)

    with psycopg.connect(database_url) as connection:
        final = set(connection.execute("SELECT source, source_id, version FROM normalized_data"))
    assert sum(asked for _, asked in results) > 200
    for told, _ in results:
        seen = [(c.source, c.source_id, c.version) for c in told]
        assert len(seen) == len(set(seen))
        versions = defaultdict(list)
        for source, key, version in seen:
            versions[source, key].append(version)
        assert all(found == sorted(found) for found in versions.values())
        assert {(*record, found[-1]) for record, found in versions.items()} == final


# What it costs


async def test_what_changed_is_found_without_reading_the_rest(db, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            INSERT INTO normalized_data (source, source_id, data, version)
            SELECT 'big', g, jsonb_build_object('title', repeat('x', 300)), 1 + g / 100 FROM generate_series(1, 40000) AS g
        """)
        connection.execute("VACUUM ANALYZE normalized_data")
        statement = window_statement(ALL, "big", Place(1, 200), 201, 100)
        plan = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", statement.values
        ).fetchone()[0][0]

    assert "normalized_data_source_version_idx" in str(plan)
    pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    assert pages < 200
