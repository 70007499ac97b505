"""Records of different sources that speak of the same thing, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random

import pytest

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.errors import NotFound
from kasparro.core.uuid7 import uuid7
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_under_lease
from kasparro.schemas.ingest import RunStatus
from kasparro.storage import snapshots
from kasparro.storage.entities.deciding import EntityDecisions
from kasparro.storage.entities.reading import Entities, EntityFilter
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive

pytestmark = pytest.mark.anyio

LINKS = "SELECT source || ':' || source_id, entity_id::text, method, confidence FROM entity_link ORDER BY 1"
SUMS = """
SELECT (SELECT count(*) FROM normalized_data) = (SELECT count(*) FROM entity_link),
    NOT EXISTS (SELECT FROM entity AS e WHERE e.records <> (SELECT count(*) FROM entity_link WHERE entity_id = e.id)),
    NOT EXISTS (
        SELECT key, entity_id, records FROM entity_key
        EXCEPT
        SELECT substring(l.keys FROM 16 * n + 1 FOR 16), l.entity_id, count(*)
        FROM entity_link AS l, generate_series(0, length(l.keys) / 16 - 1) AS n WHERE l.conflict IS NULL GROUP BY 1, 2
    ),
    (SELECT coalesce(sum(records), 0) FROM entity_key)
        = (SELECT coalesce(sum(length(keys) / 16), 0) FROM entity_link WHERE conflict IS NULL)
"""


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def matched(name, *match):
    return api_declaration(name, entity={"match": match or [["url"], ["title", "author"]]})


async def load(db, name, *pages, declaration=None, **more):
    return await ingest(db, MemorySource(list(pages)), declaration or matched(name), **more)


async def normalise(db, declaration):
    request, recipe, archive = (
        job(MemorySource([]), declaration),
        Recipe.of(declaration),
        PostgresRawArchive(db),
    )
    store = PostgresIngestStore(db, LEASE_SECONDS)
    return await run_under_lease(request, store, lambda session: replay(request, session, archive, recipe))


async def partition(db):
    found = await rows(db, "SELECT array_agg(source || ':' || source_id) FROM entity_link GROUP BY entity_id")
    return {frozenset(together) for (together,) in found}


def book(n, **more):
    return {"id": n, "url": f"https://books.example/{n}", "title": f"Book {n}", "author": "Someone", **more}


async def test_records_of_two_sources_with_one_address_are_one_entity(db):
    await load(db, "one", [book(1), book(2)])
    await load(
        db,
        "two",
        [book(7, url="HTTPS://books.example:443/1/"), book(8, url=None, title=" BOOK  2", author="SOMEONE")],
    )

    found = {
        record: (entity, method, confidence) for record, entity, method, confidence in await rows(db, LINKS)
    }
    assert found["one:1"][0] == found["two:7"][0] != found["one:2"][0] == found["two:8"][0]
    assert [found[record][1:] for record in ("one:1", "two:7", "two:8")] == [
        ("first", 1.0),
        ("url", 0.95),
        ("title+author", 0.8),
    ]
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_source_without_rules_is_not_linked(db):
    await load(db, "one", [book(1)], declaration=api_declaration("one"))
    assert await rows(db, LINKS) == []


async def test_a_record_is_linked_to_one_entity_by_the_commit_that_brings_it(db):
    await load(db, "one", [book(1)], [book(2), book(1, title="Other")])
    report = await load(db, "one", [book(1, title="Other"), book(2)])
    assert (report.counters.unchanged, len(await rows(db, LINKS))) == (2, 2)
    assert await rows(db, "SELECT count(*) FROM entity") == [(2,)]


async def test_records_that_match_different_entities_are_noticed_and_not_guessed(db):
    await load(db, "one", [book(1), book(2)])
    report = await load(db, "two", [{**book(1), "title": "Book 2"}])

    assert report.status is RunStatus.SUCCESS
    assert await partition(db) == {frozenset({"one:1"}), frozenset({"one:2"}), frozenset({"two:1"})}
    entities = dict(await rows(db, "SELECT source || source_id, entity_id::text FROM entity_link"))
    conflict = await one(db, "SELECT conflict FROM entity_link WHERE conflict IS NOT NULL")
    assert conflict == {"url": [entities["one1"]], "title+author": [entities["one2"]]}
    [notice] = await one(db, f"SELECT metadata->'notices' FROM etl_run WHERE run_id = '{report.run_id}'")
    assert (notice["code"], notice["details"]) == ("entity_conflict", {"records": 1})


@pytest.mark.parametrize("seed", range(3))
async def test_two_sources_at_once_make_no_entity_twice(db, seed):
    """Whatever the order, batching and overlap."""
    chance = random.Random(seed)

    def pages():
        books = [book(n) for n in range(120)]
        chance.shuffle(books)
        return [books[start : start + 15] for start in range(0, len(books), 15)]

    await asyncio.gather(*(load(db, name, *pages(), batch=15) for name in ("one", "two", "three")))

    assert await partition(db) == {
        frozenset(f"{name}:{n}" for name in ("one", "two", "three")) for n in range(120)
    }
    assert await one(db, SUMS) == (True, True, True, True)


async def test_what_was_loaded_before_rules_were_declared_is_linked_by_a_replay(db):
    plain = [api_declaration(name) for name in ("one", "two")]
    for declaration in plain:
        await load(db, declaration.name, [book(1), book(2)], declaration=declaration)
    version = await rows(db, "SELECT version FROM etl_checkpoint ORDER BY source")

    reports = [await normalise(db, matched(name)) for name in ("one", "two")]
    links = await rows(db, LINKS)
    again = await normalise(db, matched("two"))

    assert [report.counters.unchanged for report in (*reports, again)] == [2, 2, 2]
    assert await partition(db) == {frozenset({"one:1", "two:1"}), frozenset({"one:2", "two:2"})}
    assert await rows(db, LINKS) == links
    assert await rows(db, "SELECT version FROM etl_checkpoint ORDER BY source") == version
    assert await one(db, SUMS) == (True, True, True, True)


async def test_other_rules_hold_after_a_replay(db):
    await load(db, "one", [book(1)])
    await load(db, "two", [book(1, title="Elsewhere")])
    strict = [matched(name, ["url", "title"]) for name in ("one", "two")]
    before = await rows(db, "SELECT id::text FROM entity")

    for declaration in strict:
        await normalise(db, declaration)

    assert await partition(db) == {frozenset({"one:1"}), frozenset({"two:1"})}
    assert before[0] in await rows(db, "SELECT id::text FROM entity")
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_record_that_changes_finds_another_entity_and_its_own_answers_with_that(db):
    await load(db, "one", [book(1), book(2)])
    await load(db, "two", [book(9)])
    left = await one(db, "SELECT entity_id::text FROM entity_link WHERE source = 'two'")
    await load(db, "two", [book(9, url="https://books.example/2")])

    assert await partition(db) == {frozenset({"one:1"}), frozenset({"one:2", "two:9"})}
    merged = "SELECT merged_into = (SELECT entity_id FROM entity_link WHERE source = 'two') FROM entity WHERE id = %(id)s"
    assert await rows(db, merged, {"id": left}) == [(True,)]
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_batch_costs_the_same_statements_however_many_records_it_has(db):
    """Also for a key that very many share: one row, not one each."""
    same = [book(n, url="https://books.example/", title=None) for n in range(500)]
    await load(db, "one", same[:250], same[250:], batch=250)
    assert await rows(db, "SELECT records FROM entity_key") == [(500,)]
    assert await rows(db, "SELECT records FROM entity") == [(500,)]


async def entity_of(db, record):
    return await one(
        db, "SELECT entity_id::text FROM entity_link WHERE source || ':' || source_id = %(r)s", {"r": record}
    )


async def test_entities_that_an_operator_merges_are_one_for_ever(db):
    await load(db, "one", [book(1), book(2)])
    stays, goes = await entity_of(db, "one:1"), await entity_of(db, "one:2")

    merged = await EntityDecisions(db).merge(stays, goes)
    again = await EntityDecisions(db).merge(goes, stays)
    await load(db, "two", [book(2)])
    await load(db, "one", [book(1, url="https://elsewhere.example/", title="X"), book(2)])

    assert merged == again == stays
    assert await partition(db) == {frozenset({"one:1", "one:2", "two:2"})}
    shown = await Entities(db).one(goes)
    assert (shown.id, shown.record_count) == (stays, 3)
    assert {(r.source, r.method, r.decided_by) for r in shown.records} == {
        ("one", "first", "operator"),
        ("one", "merge", "operator"),
        ("two", "url", "rule"),
    }
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_record_that_an_operator_takes_out_stays_out(db):
    await load(db, "one", [book(1)])
    await load(db, "two", [book(1)])
    await load(db, "three", [book(1)])
    entity = await entity_of(db, "one:1")

    new = await EntityDecisions(db).split(entity, [("two", "1"), ("three", "1"), ("two", "1")])
    for name in ("one", "two", "three"):
        await normalise(db, matched(name))
    await load(db, "four", [book(1)])

    assert new != entity
    assert await partition(db) == {
        frozenset({"one:1"}),
        frozenset({"two:1", "three:1"}),
        frozenset({"four:1"}),
    }
    [torn] = await Entities(db).page(10, EntityFilter(conflicts=True))
    assert torn.records[0].conflict == {"url": sorted([entity, new]), "title+author": sorted([entity, new])}
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_conflict_is_over_when_an_operator_has_decided(db):
    await load(db, "one", [book(1), book(2)])
    await load(db, "two", [book(1, title="Book 2"), {**book(1, title="Book 2"), "id": 9}])
    own = await entity_of(db, "two:1")

    kept = await EntityDecisions(db).split(own, [("two", "1")])
    await EntityDecisions(db).merge(await entity_of(db, "one:1"), await entity_of(db, "two:9"))
    await normalise(db, matched("two"))

    assert kept == own
    assert not await Entities(db).page(10, EntityFilter(conflicts=True))
    assert await partition(db) == {frozenset({"one:1", "two:9"}), frozenset({"one:2"}), frozenset({"two:1"})}
    assert await one(db, SUMS) == (True, True, True, True)


async def test_what_is_not_there_cannot_be_decided_and_nothing_is_changed(db):
    await load(db, "one", [book(1)])
    entity, links = await entity_of(db, "one:1"), await rows(db, LINKS)
    decisions = EntityDecisions(db)

    for wrong in (uuid7(), "1", ""):
        with pytest.raises(NotFound, match="there is no entity"):
            await decisions.merge(entity, wrong)
        with pytest.raises(NotFound, match="there is no entity"):
            await decisions.split(wrong, [("one", "1")])
    with pytest.raises(NotFound, match=f"entity {entity} has no record one:2, two:1"):
        await decisions.split(entity, [("one", "1"), ("two", "1"), ("one", "2")])
    assert await rows(db, LINKS) == links


async def test_operators_and_loads_do_not_get_in_each_others_way(db):
    """Merging what is being loaded: whoever comes second sees what the first has done."""
    books = [book(n) for n in range(100)]
    await load(db, "one", books[:50])
    entities = [await entity_of(db, f"one:{n}") for n in range(10)]
    decisions = EntityDecisions(db)

    await asyncio.gather(
        load(db, "one", *([each] for each in books), batch=1),
        load(db, "two", *([each] for each in reversed(books)), batch=1),
        *(decisions.merge(entities[0], other) for other in entities[1:]),
    )

    together = frozenset(f"{name}:{n}" for name in ("one", "two") for n in range(10))
    assert await partition(db) == {together, *(frozenset({f"one:{n}", f"two:{n}"}) for n in range(10, 100))}
    assert await one(db, SUMS) == (True, True, True, True)


def shown_whole(name):
    return matched(name).model_copy(update={"snapshot": True})


async def test_a_record_that_is_deleted_leaves_its_entity_and_one_that_comes_back_finds_it_again(db):
    whole = shown_whole("two")
    await load(db, "one", [book(1), book(2)])
    await load(db, "two", [book(1), book(2), book(3)], declaration=whole)
    alone = await one(db, "SELECT entity_id::text FROM entity_link WHERE source_id = '3'")

    await load(db, "two", [book(2)], declaration=whole)
    assert await partition(db) == {frozenset({"one:1"}), frozenset({"one:2", "two:2"})}
    assert await one(db, SUMS) == (True, True, True, True)
    emptied = await Entities(db).one(alone)
    assert emptied is not None
    assert (emptied.record_count, emptied.records) == (0, [])

    await load(db, "two", [book(1), book(2), book(3)], declaration=whole)
    assert await partition(db) == {
        frozenset({"one:1", "two:1"}),
        frozenset({"one:2", "two:2"}),
        frozenset({"two:3"}),
    }
    assert await one(db, SUMS) == (True, True, True, True)


async def test_a_record_that_is_deleted_leaves_its_entity_though_no_rules_are_declared_any_more(db):
    await load(db, "one", [book(1)])
    await load(db, "two", [book(1), book(2)])
    await load(db, "two", [book(2)], declaration=api_declaration("two", snapshot=True))
    assert await partition(db) == {frozenset({"one:1"}), frozenset({"two:2"})}
    assert await one(db, SUMS) == (True, True, True, True)


@pytest.mark.parametrize("seed", range(3))
async def test_sources_that_link_and_delete_at_once_keep_together_what_is_there(db, seed, monkeypatch):
    """Small windows and batches, so that deletions of one source come between those of others and their linking."""
    monkeypatch.setattr(snapshots, "WINDOW", 4)
    chance = random.Random(seed)
    last = {}

    async def follow(name):
        for _ in range(4):
            last[name] = chance.sample(range(19), chance.randint(1, 19))
            books = [book(n) for n in last[name]]
            pages = [books[start : start + 5] for start in range(0, len(books), 5)]
            report = await load(db, name, *pages, declaration=shown_whole(name), batch=5)
            assert report.status is RunStatus.SUCCESS

    await asyncio.gather(*(follow(name) for name in ("one", "two", "three")))

    there = [frozenset(f"{name}:{n}" for name in last if n in last[name]) for n in range(19)]
    assert await partition(db) == {together for together in there if together}
    assert await one(db, SUMS) == (True, True, True, True)
