"""The invariants of the write path, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import psycopg
import pytest

from ingest_kit import LEASE_SECONDS, MemorySource, api_declaration, ingest, job, one, rows, writer
from kasparro.core.errors import LeaseHeld, LeaseLost, PermanentSourceError, TransientSourceError
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.lanes import Lanes
from kasparro.ingestion.prepare import Recipe, identify, prepare
from kasparro.ingestion.runner import run_etl_with_backoff
from kasparro.schemas.ingest import (
    ApiOrigin,
    Landed,
    RawRecord,
    RunCounters,
    RunStatus,
    SourceKind,
    new_run_id,
)
from kasparro.storage.ingest_store import PostgresIngestStore

pytestmark = pytest.mark.anyio

LEDGER = """
SELECT records_processed, records_inserted, records_updated, records_unchanged, records_failed, records_duplicates
FROM etl_run ORDER BY id DESC LIMIT 1
"""


async def test_every_record_lands_raw_and_normalised_with_its_origin(database_url):
    async with writer(database_url) as db:
        report = await ingest(
            db, MemorySource([[b'{"id": 1, "name": "one", "x": 1.10}'], [{"id": "b", "title": "two"}]])
        )

        assert report.status is RunStatus.SUCCESS
        assert report.counters == RunCounters(inserted=2)
        assert await rows(
            db, "SELECT external_id, url, page, position, processed FROM raw_data_api ORDER BY id"
        ) == [
            ("1", "http://test/items", 1, 0, True),
            ("b", "http://test/items", 2, 0, True),
        ]
        data = [
            json.loads(text)
            for (text,) in await rows(db, "SELECT data::text FROM normalized_data ORDER BY id")
        ]
        assert [(d["source"], d["source_id"], d["title"]) for d in data] == [
            ("things", "1", "one"),
            ("things", "b", "two"),
        ]
        assert (
            await one(db, "SELECT data->'metadata'->>'x' FROM normalized_data WHERE source_id = '1'")
            == "1.10"
        )
        assert await one(db, "SELECT version, record_count, status, cursor FROM etl_checkpoint") == (
            1,
            2,
            "complete",
            None,
        )


async def test_raw_is_what_was_received_to_the_byte(database_url):
    text = b'{ "id":1,"z" : 1.10, "a": 123456789012345678901234567890, "dup":1, "dup":2, "t": "caf\\u00e9 \\u0000" }'
    async with writer(database_url) as db:
        report = await ingest(db, MemorySource([[text]]))

        assert (await one(db, "SELECT raw_data::text FROM raw_data_api")).encode() == text
        assert report.counters == RunCounters(failed=1)
        assert await one(db, "SELECT reason, field, external_id, raw_data::text FROM quarantine") == (
            "invalid_text",
            "t",
            "1",
            text.decode(),
        )


async def test_an_unchanged_record_writes_nothing(database_url):
    records = [{"id": i, "name": f"n{i}"} for i in range(50)]
    async with writer(database_url) as db:
        await ingest(db, MemorySource([records]))
        before = await rows(db, "SELECT xmin::text, ctid::text, updated_at FROM normalized_data ORDER BY id")
        raw_before = await rows(db, "SELECT xmin::text, ctid::text FROM raw_data_api ORDER BY id")

        report = await ingest(db, MemorySource([records]))

        assert report.counters == RunCounters(unchanged=50)
        assert (
            await rows(db, "SELECT xmin::text, ctid::text, updated_at FROM normalized_data ORDER BY id")
            == before
        )
        assert await rows(db, "SELECT xmin::text, ctid::text FROM raw_data_api ORDER BY id") == raw_before
        assert await one(db, "SELECT version FROM etl_checkpoint") == 1


async def test_a_record_that_goes_from_a_to_b_to_a_lands_three_times(database_url):
    async with writer(database_url) as db:
        reports = [await ingest(db, MemorySource([[{"id": 1, "name": name}]])) for name in ("a", "b", "a")]

        assert [(r.counters.inserted, r.counters.updated) for r in reports] == [(1, 0), (0, 1), (0, 1)]
        assert await one(db, "SELECT version, record_count FROM etl_checkpoint") == (3, 1)
        assert await one(db, "SELECT data->>'title' FROM normalized_data") == "a"
        assert await one(db, "SELECT updated_at > created_at FROM normalized_data")


async def test_one_bad_record_among_a_thousand_is_one_reject(database_url):
    records: list[object] = [{"id": i, "name": "x"} for i in range(1000)]
    records[500] = {"id": 500, "name": {"not": "text"}}
    async with writer(database_url) as db:
        report = await ingest(db, MemorySource([records]), api_declaration(map={"title": "name"}))

        assert report.status is RunStatus.PARTIAL
        assert report.counters == RunCounters(inserted=999, failed=1)
        assert await one(db, "SELECT count(*) FROM normalized_data") == 999
        assert await one(db, "SELECT external_id, field, reason, attempts FROM quarantine") == (
            "500",
            "title",
            "wrong_type",
            1,
        )
        assert await one(db, LEDGER) == (1000, 999, 0, 0, 1, 0)


@pytest.mark.parametrize(
    "record", [{"name": "x"}, {"id": None}, {"id": ""}, {"id": {}}, {"id": True}, [1], "text", 5]
)
async def test_a_record_without_an_identity_is_a_reject_never_a_text(database_url, record):
    async with writer(database_url) as db:
        report = await ingest(db, MemorySource([[record, {"id": 1}]]))

        assert report.counters == RunCounters(inserted=1, failed=1)
        assert await rows(db, "SELECT external_id FROM quarantine") == [(None,)]
        assert await rows(db, "SELECT source_id FROM normalized_data") == [("1",)]


async def test_a_mended_record_leaves_quarantine(database_url):
    declaration = api_declaration(map={"title": "name"})
    async with writer(database_url) as db:
        bad = await ingest(db, MemorySource([[{"id": 1, "name": []}]]), declaration)
        again = await ingest(db, MemorySource([[{"id": 1, "name": []}]]), declaration)
        good = await ingest(db, MemorySource([[{"id": 1, "name": "fine"}]]), declaration)

        assert (bad.status, again.status, good.status) == (
            RunStatus.FAILED,
            RunStatus.FAILED,
            RunStatus.SUCCESS,
        )
        assert good.counters == RunCounters(inserted=1)
        assert await one(db, "SELECT attempts, resolved_at IS NOT NULL FROM quarantine") == (2, True)


async def test_a_record_that_turns_bad_keeps_its_last_good_version(database_url):
    declaration = api_declaration(map={"title": "name"})
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": 1, "name": "good"}]]), declaration)
        await ingest(db, MemorySource([[{"id": 1, "name": []}]]), declaration)
        assert await one(db, "SELECT data->>'title' FROM normalized_data") == "good"

        report = await ingest(db, MemorySource([[{"id": 1, "name": "better"}]]), declaration)

        assert report.counters == RunCounters(updated=1)
        assert await one(db, "SELECT record_count FROM etl_checkpoint") == 1


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
async def test_one_key_twice_in_one_fetch_counts_as_a_duplicate_wherever_the_batches_are_cut(
    database_url, batch
):
    records = [
        {"id": 1, "name": "first"},
        {"id": 2},
        {"id": 1, "name": "later"},
        {"id": 3},
        {"id": 1, "name": "later"},
    ]
    async with writer(database_url) as db:
        report = await ingest(db, MemorySource([records]), batch=batch)

        assert report.counters == RunCounters(inserted=3, duplicates=2)
        assert await one(db, "SELECT data->>'title' FROM normalized_data WHERE source_id = '1'") == "later"
        assert await one(db, "SELECT record_count FROM etl_checkpoint") == 3


async def test_a_source_that_fails_keeps_what_was_committed_and_resumes_after_it(database_url):
    pages = [[{"id": 1}], [{"id": 2}], PermanentSourceError("gone"), [{"id": 3}]]
    source = MemorySource(pages)
    async with writer(database_url) as db:
        report = await ingest(db, source, batch=1)
        assert (report.status, report.error_code, report.counters) == (
            RunStatus.FAILED,
            "source_refused",
            RunCounters(inserted=2),
        )
        assert await one(db, "SELECT cursor, status FROM etl_checkpoint") == ({"page": 2}, "in_progress")

        report = await ingest(db, source, batch=1)

        assert report.counters == RunCounters(inserted=1)
        assert source.asked_after == [None, {"page": 2}]


async def test_what_is_transient_is_tried_again_from_the_checkpoint_within_the_same_run(database_url):
    source = MemorySource([[{"id": 1}], TransientSourceError("busy"), [{"id": 2}]])
    async with writer(database_url) as db:
        report = await ingest(db, source, batch=1)

        assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters(inserted=2))
        assert source.asked_after == [None, {"page": 1}]
        assert await one(db, "SELECT count(*) FROM etl_run") == 1


async def test_a_source_that_was_asked_often_enough_is_not_asked_again_by_the_run(database_url):
    error = TransientSourceError("busy")
    error.tried_enough = True
    source = MemorySource([[{"id": 1}], error, [{"id": 2}]])
    async with writer(database_url) as db:
        report = await ingest(db, source, batch=1)

        assert (report.status, report.error_code) == (RunStatus.FAILED, "source_unavailable")
        assert source.asked_after == [None]


async def test_a_full_run_ignores_the_checkpoint(database_url):
    source = MemorySource([[{"id": 1}], PermanentSourceError("gone"), [{"id": 2}]])
    async with writer(database_url) as db:
        await ingest(db, source, batch=1)
        report = await ingest(db, source, batch=1, full=True)

        assert source.asked_after == [None, None]
        assert report.counters == RunCounters(inserted=1, unchanged=1)


async def test_a_full_run_goes_on_from_the_dataset_version_it_finds(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": 1}], [{"id": 2}], [{"id": 3}]]), batch=1)
        before = await one(db, "SELECT version FROM etl_checkpoint")

        await ingest(db, MemorySource([[{"id": 1}, {"id": 2, "changed": True}]]), full=True)

        assert await one(db, "SELECT version FROM etl_checkpoint") == before + 1
        assert await one(db, "SELECT version FROM normalized_data WHERE source_id = '2'") == before + 1


async def test_the_second_ingest_of_a_source_is_told_who_holds_the_lease(database_url):
    async with writer(database_url) as db:
        store = PostgresIngestStore(db, LEASE_SECONDS)
        run_id = new_run_id("things")
        async with store.session("things", SourceKind.API, run_id, {}):
            with pytest.raises(LeaseHeld, match=run_id):
                await ingest(db, MemorySource([[{"id": 1}]]))
        assert await one(db, "SELECT count(*) FROM etl_run") == 1
        report = await ingest(db, MemorySource([[{"id": 1}]]))
        assert report.counters == RunCounters(inserted=1)


async def test_of_many_that_start_at_once_one_gets_the_lease(database_url):
    async with writer(database_url) as db:
        source = [{"id": i} for i in range(200)]
        outcomes = await asyncio.gather(
            *(
                ingest(db, MemorySource([source[i : i + 10] for i in range(0, 200, 10)]), batch=10)
                for _ in range(4)
            ),
            return_exceptions=True,
        )
        held = [o for o in outcomes if isinstance(o, LeaseHeld)]
        assert len(held) >= 1
        assert await one(db, "SELECT count(*), count(DISTINCT external_id) FROM raw_data_api") == (200, 200)
        assert sum(o.counters.inserted for o in outcomes if not isinstance(o, BaseException)) == 200


def batch_of(*ids: int):
    recipe = Recipe.of(api_declaration())
    raw = [RawRecord(json.dumps({"id": i}).encode(), ApiOrigin("http://test", 1, i)) for i in ids]
    haul = Haul(raw, [], {"page": 1}, complete=False)
    return prepare(recipe, haul, identify(recipe, haul), dict.fromkeys(range(len(ids))))


async def test_a_batch_sent_again_after_its_answer_was_lost_changes_nothing(database_url):
    async with writer(database_url) as db:
        store = PostgresIngestStore(db, LEASE_SECONDS)
        async with store.session("things", SourceKind.API, new_run_id("things"), {}) as session:
            await session.resume()
            place = session.next_place()
            first = await session.commit(place, batch_of(1, 2))

            again = await session.commit(place, batch_of(1, 2))  # as after a COMMIT whose answer never came

            assert first == again == RunCounters(inserted=2)
            assert await session.commit(session.next_place(), batch_of(3)) == RunCounters(inserted=3)


async def test_a_process_that_lost_its_lease_cannot_write(database_url):
    async with writer(database_url) as db:
        store = PostgresIngestStore(db, LEASE_SECONDS)
        stale_run = new_run_id("things")
        async with store.session("things", SourceKind.API, stale_run, {}) as stale:
            await stale.resume()
            await rows(db, "UPDATE source_lease SET expires_at = now() - interval '1 s' RETURNING 1")
            async with store.session("things", SourceKind.API, new_run_id("things"), {}) as taker:
                await taker.resume()
                with pytest.raises(LeaseLost):
                    await stale.commit(stale.next_place(), batch_of(1))
                assert await taker.commit(taker.next_place(), batch_of(2)) == RunCounters(inserted=1)
            with pytest.raises(LeaseLost):
                await stale.commit(stale.next_place(), batch_of(1))
        assert await rows(db, "SELECT external_id FROM raw_data_api") == [("2",)]
        status, message = await one(
            db, "SELECT status, error_message FROM etl_run WHERE run_id = %(r)s", {"r": stale_run}
        )
        assert (status, message[:12]) == ("failed", "interrupted:")
        assert await one(db, "SELECT metadata->>'resumes' FROM etl_run ORDER BY id DESC LIMIT 1") == stale_run


async def test_the_ledger_must_balance(database_url):
    async with writer(database_url) as db:
        await ingest(db, MemorySource([[{"id": 1}]]))
        with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE etl_run SET records_inserted = records_inserted + 1")


async def test_a_value_only_the_database_refuses_costs_only_its_record(database_url):
    """The last net under the checks at the edge: a recipe that lets a NUL through."""
    declaration = api_declaration()
    recipe = Recipe.of(declaration)

    def careless(keyed):
        bad = b'{"bad": "\\u0000"}'
        return [
            Landed(one.keyed, bad) if one.keyed.external_id in {"3", "8"} else one
            for one in recipe.normalise(keyed)
        ]

    raw = [RawRecord(json.dumps({"id": i}).encode(), ApiOrigin("http://test", 1, i)) for i in range(10)]
    async with writer(database_url) as db:
        request = job(MemorySource([]), declaration)
        store = PostgresIngestStore(db, LEASE_SECONDS)
        async with store.session(request.name, SourceKind.API, request.run_id, {}) as session:
            await session.resume()
            async with Lanes(session, replace(recipe, normalise=careless), lambda _: None) as lanes:
                await lanes.take(Haul(raw, [], None, complete=True))
            _, counters = await session.finish(None)

        assert counters == RunCounters(inserted=8, failed=2)
        assert await rows(db, "SELECT external_id, reason FROM quarantine ORDER BY 1") == [
            ("3", "refused_by_database"),
            ("8", "refused_by_database"),
        ]
        assert await one(db, "SELECT record_count FROM etl_checkpoint") == 8


async def test_stopping_hands_in_the_batch_in_hand_and_leaves_a_resumable_checkpoint(database_url):
    stop = asyncio.Event()
    reached = asyncio.Event()

    class Slow(MemorySource):
        async def pages(self, after):
            async for page in super().pages(after):
                yield page
                if page.cursor == {"page": 2} and after is None:
                    reached.set()
                    await asyncio.Event().wait()

    source = Slow([[{"id": 1}], [{"id": 2}], [{"id": 3}]])
    async with writer(database_url) as db:
        running = asyncio.create_task(ingest(db, source, batch=10, stop=stop))
        await reached.wait()
        stop.set()
        report = await running

        assert (report.status, report.error_code) == (RunStatus.FAILED, "interrupted")
        assert report.counters == RunCounters(inserted=2)
        assert await one(db, "SELECT cursor FROM etl_checkpoint") == {"page": 2}
        assert (await ingest(db, source)).counters == RunCounters(inserted=1)


async def test_cancelling_rolls_the_batch_back_and_frees_the_source(database_url):
    reached = asyncio.Event()

    class Endless(MemorySource):
        async def pages(self, after):
            async for page in super().pages(after):
                yield page
                reached.set()
                await asyncio.Event().wait()

    async with writer(database_url) as db:
        running = asyncio.create_task(ingest(db, Endless([[{"id": 1}], [{"id": 2}]]), batch=10))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert await one(db, "SELECT status, records_processed FROM etl_run") == ("failed", 0)
        assert (await ingest(db, MemorySource([[{"id": 1}]]))).status is RunStatus.SUCCESS


async def test_a_slow_source_commits_after_the_interval(database_url):
    """A page that arrives is in the database when the interval is over, though the batch is far from full."""
    committed = asyncio.Event()

    class Waiting(MemorySource):
        async def pages(self, after):
            async for page in super().pages(after):
                yield page
                if page.cursor is not None:
                    await committed.wait()

    async with writer(database_url) as db:
        quick = job(
            Waiting([[{"id": 1}], [{"id": 2}]]),
            observe=lambda event: committed.set() if hasattr(event, "counters") else None,
        )
        object.__setattr__(quick, "pace", type(quick.pace)(1000, 0.01))
        report = await run_etl_with_backoff(quick, PostgresIngestStore(db, LEASE_SECONDS))

        assert report.counters == RunCounters(inserted=2)
        assert await one(db, "SELECT version FROM etl_checkpoint") == 2
