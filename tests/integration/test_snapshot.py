"""What a complete fetch does not show is deleted, told once, and comes back; what was not proved absent stays."""

from __future__ import annotations

import asyncio
import random

import pytest

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.errors import PermanentSourceError, TransientSourceError
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.batching import Pace
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_under_lease
from kasparro.schemas.changes import FeedPosition
from kasparro.schemas.events import BatchCommitted
from kasparro.schemas.ingest import RunCounters, RunStatus
from kasparro.schemas.query import RecordQuery
from kasparro.services.dry_run import Ask, dry_run
from kasparro.storage import snapshots
from kasparro.storage.changes import Changes
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.raw_archive import PostgresRawArchive
from kasparro.storage.stored_data import PostgresStoredData

pytestmark = pytest.mark.anyio

ALL = RecordQuery()
WHOLE = api_declaration(snapshot=True)


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


def things(*numbers, title="first"):
    return [{"id": number, "title": title} for number in numbers]


async def load(db, *pages, batch=2, declaration=WHOLE, **more):
    return await ingest(db, MemorySource(list(pages)), declaration, batch=batch, **more)


async def stored(db):
    """The keys in the dataset, which are as many as are counted."""
    keys = [int(key) for (key,) in await rows(db, "SELECT source_id FROM normalized_data ORDER BY id")]
    assert await one(db, "SELECT record_count FROM etl_checkpoint") == len(keys)
    return sorted(keys)


async def notices(db, report):
    found = await one(
        db, "SELECT metadata -> 'notices' FROM etl_run WHERE run_id = %(run)s", {"run": report.run_id}
    )
    return {notice["code"]: notice for notice in found or ()}


async def told(db, position):
    changes, reader = [], Changes(db)
    while True:
        changed = await reader.read(ALL, position, 2)
        changes += [(one.op.value, one.source_id, one.version) for one in changed.changes]
        position = changed.after
        if not changed.more:
            return changes, position


async def test_what_a_complete_fetch_does_not_show_is_deleted(db):
    await load(db, things(1, 2, 3), things(4, 5))
    report = await load(db, things(1, 3), things(4))

    assert report.status is RunStatus.SUCCESS
    assert report.counters == RunCounters(unchanged=3, deleted=2)
    counted = "SELECT records_processed, records_deleted FROM"
    assert await rows(db, f"{counted} etl_run ORDER BY id") == [(5, 0), (3, 2)]
    assert await rows(db, f"{counted} etl_totals") == [(8, 2)]
    assert await stored(db) == [1, 3, 4]
    raw = (
        "SELECT external_id, raw_data::text <> '' FROM raw_data_api WHERE deleted_at IS NOT NULL ORDER BY id"
    )
    assert await rows(db, raw) == [("2", True), ("5", True)]
    assert await one(db, "SELECT count(*) FROM snapshot_seen") == 0


async def test_a_source_without_snapshot_keeps_everything_and_no_marks(db):
    await load(db, things(1, 2), declaration=api_declaration())
    await load(db, things(1), declaration=api_declaration())
    assert await stored(db) == [1, 2]


async def test_deletions_are_told_once_in_order_and_what_comes_back_is_new(db, monkeypatch):
    monkeypatch.setattr(snapshots, "WINDOW", 2)
    await load(db, things(1, 2, 3, 4, 5), batch=10)
    changes, position = await told(db, FeedPosition())
    assert [key for _, key, _ in changes] == ["1", "2", "3", "4", "5"]

    await load(db, things(3), batch=10)
    changes, position = await told(db, position)
    assert changes == [("delete", "1", 2), ("delete", "2", 2), ("delete", "4", 3), ("delete", "5", 4)]
    assert await told(db, position) == ([], position)

    report = await load(db, things(1, 3), batch=10)
    assert report.counters == RunCounters(inserted=1, unchanged=1)
    await load(db, things(3), batch=10)
    await load(db, things(1, 3), batch=10)
    changes, _ = await told(db, position)
    assert changes == [("delete", "1", 6), ("upsert", "1", 7)], (
        "compacted: between two deletions it was never told"
    )
    assert (
        await one(db, "SELECT count(*) FROM raw_data_api WHERE external_id = '1' AND deleted_at IS NULL") == 1
    )


async def test_a_second_run_without_changes_writes_nothing(db):
    await load(db, things(1, 2, 3))
    before = await rows(db, "SELECT xmin::text, ctid::text FROM raw_data_api ORDER BY id")
    version = await one(db, "SELECT version FROM etl_checkpoint")
    await load(db, things(1, 2, 3))
    assert await rows(db, "SELECT xmin::text, ctid::text FROM raw_data_api ORDER BY id") == before
    assert await one(db, "SELECT version FROM etl_checkpoint") == version


async def test_a_fetch_that_failed_deletes_nothing_and_neither_does_the_one_that_goes_on(db):
    await load(db, things(1, 2), things(3, 4))
    broken = MemorySource([things(1), PermanentSourceError("it broke"), things(3)])
    report = await ingest(db, broken, WHOLE, batch=1)
    assert report.status is RunStatus.FAILED
    assert await stored(db) == [1, 2, 3, 4]

    report = await ingest(db, broken, WHOLE, batch=1)
    assert report.status is RunStatus.PARTIAL
    assert "deletions_withheld" in await notices(db, report)
    assert await stored(db) == [1, 2, 3, 4]

    await load(db, things(1), things(3))
    assert await stored(db) == [1, 3]


async def test_an_attempt_that_goes_on_within_the_run_knows_what_was_seen_before(db):
    await load(db, things(1, 2), things(3, 4))
    source = MemorySource([things(1), TransientSourceError("a moment"), things(3)])
    report = await ingest(db, source, WHOLE, batch=1)
    assert report.status is RunStatus.SUCCESS
    assert source.asked_after[1] is not None
    assert await stored(db) == [1, 3]


async def test_what_was_rejected_is_there(db):
    declaration = api_declaration(snapshot=True, map={"title": "title"})
    await load(db, things(1, 2, 3), declaration=declaration)
    report = await load(db, [{"id": 1, "title": "x"}, {"id": 2, "title": ["y"]}], declaration=declaration)
    assert report.counters.failed == 1
    assert await stored(db) == [1, 2]


async def test_a_record_that_does_not_say_which_it_is_keeps_all(db):
    await load(db, things(1, 2, 3))
    report = await load(db, [{"id": 1, "title": "x"}, {"title": "y"}])
    assert await stored(db) == [1, 2, 3]
    assert "which one it is" in (await notices(db, report))["deletions_withheld"]["message"]


async def test_more_than_half_is_deleted_only_when_that_is_allowed(db):
    await load(db, things(*range(40)), batch=100)
    for shown in (things(*range(19)), []):
        report = await load(db, shown)
        assert report.status is RunStatus.PARTIAL
        assert "--allow-deletions" in (await notices(db, report))["deletions_withheld"]["message"]
        assert len(await stored(db)) == 40

    report = await load(db, things(*range(20)))
    assert report.status is RunStatus.SUCCESS
    assert len(await stored(db)) == 20
    await load(db, things(1), allow_deletions=True)
    assert await stored(db) == [1]


async def test_a_replay_does_not_bring_back_what_was_deleted(db):
    await load(db, things(1, 2))
    await load(db, things(1))
    request = job(MemorySource([]), WHOLE)
    archive, store = PostgresRawArchive(db), PostgresIngestStore(db, LEASE_SECONDS)
    report = await run_under_lease(
        request, store, lambda session: replay(request, session, archive, Recipe.of(WHOLE))
    )
    assert report.counters == RunCounters(unchanged=1)
    assert await stored(db) == [1]


async def test_rows_that_left_a_file_are_deleted(db, tmp_path):
    file = tmp_path / "things.csv"
    declaration = CsvSource(name="things", path=str(file), key="id", snapshot=True)
    for numbers in ((1, 2, 3), (1, 3), (1, 3), (3, 2)):
        file.write_text("id,title\n" + "".join(f"{number},t\n" for number in numbers))
        report = await ingest(db, open_source(declaration, 100), declaration)
        assert report.status is RunStatus.SUCCESS
        assert await stored(db) == sorted(numbers)


@pytest.fixture(params=["unordered", "ordered"])
def marks(request, monkeypatch):
    """Marks as they are in a short fetch, and as they are in a long one: in order, in parts."""
    if request.param == "ordered":
        monkeypatch.setattr(snapshots, "SAMPLED", 1)
        monkeypatch.setattr(snapshots, "PART", 2)
        monkeypatch.setattr(snapshots, "GROUP", 1)
    return request.param


async def test_marks_of_a_long_fetch_are_read_a_part_at_a_time(db, marks, monkeypatch):
    forget = snapshots.forget

    async def kept(connection, source):
        query = "SELECT count(DISTINCT part), bool_and(part > 0) FROM snapshot_seen"
        found.append(await (await connection.execute(query)).fetchone())
        await forget(connection, source)

    found = []
    await load(db, things(*range(10)), things(*range(10, 20)), batch=3)
    monkeypatch.setattr(snapshots, "forget", kept)
    await load(db, things(*range(19, 4, -1)), batch=3)
    assert await stored(db) == [*range(5, 20)]
    assert found[-1] == ((8, True) if marks == "ordered" else (1, False))


async def test_what_the_source_left_when_it_was_of_another_type_is_deleted_and_comes_back(db, tmp_path):
    declaration = api_declaration(snapshot=True)
    file = tmp_path / "things.csv"
    file.write_text("id,title\n1,first\n2,first\n3,first\n")
    csv = CsvSource(name="things", path=str(file), key="id", snapshot=True)
    await ingest(db, open_source(csv, 100), csv)

    report = await load(db, things(3, 4), declaration=declaration)
    assert report.counters == RunCounters(inserted=1, updated=1, deleted=2)
    assert await stored(db) == [3, 4]
    changes, position = await told(db, FeedPosition())
    assert [key for op, key, _ in changes if op == "upsert"] == ["3", "4"]

    await ingest(db, open_source(csv, 100), csv, full=True)
    assert await stored(db) == [1, 2, 3]
    changes, _ = await told(db, position)
    assert ("delete", "4") in [(op, key) for op, key, _ in changes]


async def test_a_record_whose_key_is_too_long_was_never_stored_and_keeps_nothing(db):
    await load(db, things(1, 2, 3))
    report = await load(db, [{"id": 1, "title": "first"}, {"id": "x" * 256, "title": "first"}])
    assert report.counters == RunCounters(unchanged=1, failed=1, deleted=2)
    assert await stored(db) == [1]


async def test_what_is_told_of_a_source_is_forgotten_with_it(db):
    await load(db, things(1, 2))
    await load(db, things(1))
    assert await one(db, "SELECT count(*) FROM tombstone") == 1
    async with db.driver_transaction() as connection:
        await connection.execute("DELETE FROM etl_checkpoint")
    assert await one(db, "SELECT count(*) FROM tombstone") == 0


@pytest.mark.parametrize("seed", range(4))
async def test_in_the_end_the_dataset_is_the_last_complete_fetch_and_a_follower_has_the_same(
    db, seed, marks, monkeypatch
):
    monkeypatch.setattr(snapshots, "WINDOW", 3)
    chance = random.Random(seed)
    position, followed, complete = FeedPosition(), set(), set()
    for _ in range(12):
        shown = chance.sample(range(12), chance.randint(1, 12))
        pages = [things(*shown[at : at + 3], title=chance.choice("ab")) for at in range(0, len(shown), 3)]
        broken = chance.random() < 0.3
        if broken:
            pages.insert(chance.randint(0, len(pages)), PermanentSourceError("it broke"))
        report = await load(db, *pages, batch=chance.randint(1, 5), full=True)
        assert (report.status is RunStatus.FAILED) == broken
        complete = complete | set(await stored(db)) if broken else set(shown)
        assert set(await stored(db)) == complete
        changes, position = await told(db, position)
        for op, key, _ in changes:
            (followed.add if op == "upsert" else followed.discard)(int(key))
        assert followed == complete


async def test_a_run_that_is_stopped_between_two_deletions_leaves_the_rest_to_the_next(db, monkeypatch):
    monkeypatch.setattr(snapshots, "WINDOW", 2)
    await load(db, things(1, 2, 3, 4, 5, 6), batch=10)
    stop = asyncio.Event()

    def stopping(event):
        if isinstance(event, BatchCommitted):
            asyncio.get_running_loop().call_soon_threadsafe(stop.set)

    report = await load(db, things(6), batch=10, stop=stop, observe=stopping)
    assert report.status is RunStatus.FAILED
    left = await stored(db)
    assert left in ([3, 4, 5, 6], [1, 2, 3, 4, 5, 6])

    report = await load(db, things(6), batch=10)
    assert report.status is RunStatus.SUCCESS
    assert await stored(db) == [6]
    changes, _ = await told(db, FeedPosition())
    assert [key for op, key, _ in changes if op == "upsert"] == ["6"]
    deleted = await rows(db, "SELECT source_id FROM tombstone ORDER BY source_id")
    assert deleted == [(str(number),) for number in range(1, 6)]


async def test_a_dry_run_says_what_would_be_deleted_and_what_withholds_it(db, tmp_path):
    file = tmp_path / "things.csv"
    source = CsvSource(name="things", path=str(file), key="id", snapshot=True)
    every_row = "SELECT xmin::text, ctid::text FROM normalized_data ORDER BY id"

    def write(*numbers, bad=""):
        file.write_text("id,title\n" + "".join(f"{number},t\n" for number in numbers) + bad)

    async def foretold(**asked):
        before = await rows(db, every_row)
        found = await dry_run(source, PostgresStoredData(db), Pace(7, 60.0), Ask(**asked))
        assert await rows(db, every_row) == before
        assert await one(db, "SELECT count(*) FROM snapshot_seen") == 0
        return found.would_delete, found.withheld

    write(*range(40))
    assert await foretold() == (0, None)
    await ingest(db, open_source(source, 100), source)
    write(*range(30))
    assert await foretold() == (10, None)
    assert await foretold(limit=5) == (None, None)
    write(*range(30), bad=",nobody\n")
    deleted, why = await foretold()
    assert deleted == 0
    assert "which one it is" in why
    write(*range(10))
    deleted, why = await foretold()
    assert deleted == 0
    assert "30 of 40" in why
    assert await foretold(allow_deletions=True) == (30, None)

    write(*range(30))
    assert (await ingest(db, open_source(source, 100), source)).counters.deleted == 10
