"""The job queue on a real PostgreSQL: who may ask for a run, who executes it, and what becomes of it when that process dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kasparro.core.errors import AlreadyRunning, RunInterrupted
from kasparro.schemas.ingest import RunId, SourceName, Trigger
from kasparro.storage.ingest_jobs import IngestJob, Occupied
from kasparro.storage.job_claims import MAX_TAKEOVERS, PRUNE_AT_ONCE, Claim, JobClaims
from kasparro.storage.job_notices import listen
from kasparro.storage.jobs import JobQueue
from kasparro.storage.stale_runs import fail_stale_runs

pytestmark = pytest.mark.anyio

AIRPORTS = SourceName("airports")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def open_queue(url: str) -> AsyncIterator[JobQueue]:
    queue = JobQueue(url)
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
async def queue(database_url: str, anyio_backend: str) -> AsyncIterator[JobQueue]:
    async with open_queue(database_url) as opened:
        yield opened


@pytest.fixture
async def claims(queue: JobQueue) -> JobClaims:
    return JobClaims(queue.database)


async def sql(queue: JobQueue, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    async with queue.database.driver_transaction() as connection:
        cursor = await connection.execute(statement, parameters)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []


async def hold_lease(queue: JobQueue, source: str, run_id: str, seconds: float = 60.0) -> None:
    await sql(
        queue,
        "INSERT INTO source_lease (source, token, holder, run_id, expires_at)"
        " VALUES (%s, 1, 'laptop:1:aa', %s, clock_timestamp() + make_interval(secs => %s))",
        source,
        run_id,
        seconds,
    )


async def begin_run(queue: JobQueue, job: IngestJob, seconds_ago: float = 0.0) -> None:
    await sql(
        queue,
        "INSERT INTO etl_run (run_id, source, start_time, heartbeat)"
        " SELECT %s, %s, t, t FROM (SELECT clock_timestamp() - make_interval(secs => %s) AS t) AS times",
        job.run_id,
        job.source,
        seconds_ago,
    )


async def end_run(queue: JobQueue, run_id: str, status: str, error: str | None = None) -> None:
    await sql(
        queue,
        "UPDATE etl_run SET status = %s, end_time = now(), error_message = %s WHERE run_id = %s",
        status,
        error,
        run_id,
    )


async def run_row(queue: JobQueue, run_id: str) -> tuple[Any, ...] | None:
    found = await sql(queue, "SELECT status, error_message, metadata FROM etl_run WHERE run_id = %s", run_id)
    return found[0] if found else None


async def statuses(queue: JobQueue) -> list[str]:
    return [row[0] for row in await sql(queue, "SELECT status::text FROM procrastinate_jobs ORDER BY id")]


async def let_die(queue: JobQueue, worker_id: int) -> None:
    await sql(
        queue,
        "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute' WHERE id = %s",
        worker_id,
    )


async def claimed(queue: JobQueue, claims: JobClaims, source: str = AIRPORTS, **more: Any) -> Claim:
    await queue.request_run(source, Trigger.API, **more)
    claim = await claims.claim(await claims.register())
    assert claim is not None
    return claim


# asking for a run


async def test_a_requested_run_is_queued_under_the_id_that_was_returned(queue):
    run_id = await queue.request_run(AIRPORTS, Trigger.API, full=True)

    waiting = await queue.queued(run_id)
    assert waiting is not None
    assert (waiting.run_id, waiting.source, waiting.trigger, waiting.resumes) == (
        run_id,
        AIRPORTS,
        Trigger.API,
        None,
    )
    assert abs(waiting.requested_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await queue.depth() == 1
    assert await queue.queued("run_airports_00000000") is None


async def test_of_many_simultaneous_requests_exactly_one_wins_and_the_others_are_told_which(database_url):
    async with open_queue(database_url) as one, open_queue(database_url) as other:
        answers = await asyncio.gather(
            *(queue.request_run(AIRPORTS, Trigger.API) for queue in (one, other) * 8), return_exceptions=True
        )
        won = [answer for answer in answers if isinstance(answer, str)]
        lost = [answer for answer in answers if isinstance(answer, AlreadyRunning)]
        assert (len(won), len(lost)) == (1, 15)
        assert all(won[0] in str(error) for error in lost)
        assert await one.depth() == 1


async def test_two_sources_do_not_stand_in_each_others_way(queue):
    await queue.request_run("airports", Trigger.API)
    await queue.request_run("harbours", Trigger.API)
    assert await queue.depth() == 2


async def test_a_run_that_a_worker_has_in_hand_refuses_another(queue, claims):
    claim = await claimed(queue, claims)
    with pytest.raises(AlreadyRunning, match=claim.job.run_id):
        await queue.request_run(AIRPORTS, Trigger.API)
    assert await queue.queued(claim.job.run_id), "it has not begun, and must still be found"

    await claims.finish(claim)
    assert await queue.queued(claim.job.run_id) is None
    await queue.request_run(AIRPORTS, Trigger.API)


async def test_a_living_lease_refuses_a_request_and_an_expired_one_does_not(queue):
    await hold_lease(queue, "airports", "run_airports_1")
    await hold_lease(queue, "harbours", "run_harbours_1", seconds=-1)

    with pytest.raises(AlreadyRunning, match="being ingested as run run_airports_1"):
        await queue.request_run("airports", Trigger.API)
    await queue.request_run("harbours", Trigger.API)


# schedules


async def test_a_scheduled_moment_is_queued_once_however_many_workers_try(database_url):
    async with open_queue(database_url) as one, open_queue(database_url) as other:
        results = await asyncio.gather(*(q.request_scheduled(AIRPORTS, NOON) for q in (one, other) * 5))
        assert sorted(type(r).__name__ for r in results) == ["NoneType"] * 9 + ["str"]
        assert await one.depth() == 1


async def test_a_moment_stays_dealt_with_after_its_job_has_run_and_after_a_later_moment(queue, claims):
    assert await queue.request_scheduled(AIRPORTS, NOON)
    claim = await claims.claim(await claims.register())
    assert claim is not None
    await claims.finish(claim)

    assert await queue.request_scheduled(AIRPORTS, NOON) is None
    assert await queue.request_scheduled(AIRPORTS, NOON + timedelta(hours=1))
    assert await queue.request_scheduled(AIRPORTS, NOON) is None


async def test_a_moment_that_finds_the_source_occupied_is_skipped_for_every_worker(queue):
    await hold_lease(queue, AIRPORTS, "run_airports_1")
    assert await queue.request_scheduled(AIRPORTS, NOON) == Occupied(RunId("run_airports_1"), "doing")

    await sql(queue, "UPDATE source_lease SET holder = NULL")
    assert await queue.request_scheduled(AIRPORTS, NOON) is None, "another worker would double it"
    assert await queue.request_scheduled(AIRPORTS, NOON + timedelta(hours=1))


async def test_a_moment_after_which_an_external_cron_has_run_the_source_is_left_out(queue):
    job = IngestJob(AIRPORTS, RunId("run_airports_cafe0000"), Trigger.CLI)
    await begin_run(queue, job)
    await end_run(queue, job.run_id, "success")

    earlier = datetime.now(UTC) - timedelta(minutes=1)
    assert await queue.request_scheduled(AIRPORTS, earlier) is None
    assert await queue.request_scheduled(SourceName("harbours"), earlier)


async def test_a_queued_schedule_refuses_a_request_and_names_its_run(queue):
    run_id = await queue.request_scheduled(AIRPORTS, NOON)
    with pytest.raises(AlreadyRunning, match=f"already queued as run {run_id}"):
        await queue.request_run(AIRPORTS, Trigger.API)


# executing


async def test_jobs_are_claimed_in_order_and_one_at_a_time_for_each_source(queue, claims):
    first = await queue.request_run("airports", Trigger.API)
    second = await queue.request_run("harbours", Trigger.API)
    worker = await claims.register()

    claimed_ = [await claims.claim(worker) for _ in range(3)]
    assert [c and c.job.run_id for c in claimed_] == [first, second, None]


async def test_a_job_that_waits_for_its_source_comes_back_when_its_time_has_come(queue, claims):
    claim = await claimed(queue, claims)
    assert await claims.postpone(claim, 3600)
    assert await claims.claim(await claims.register()) is None
    assert await queue.queued(claim.job.run_id)

    await sql(queue, "UPDATE procrastinate_jobs SET scheduled_at = now()")
    again = await claims.claim(await claims.register())
    assert again is not None
    assert again.job == replace(claim.job, waits=1)


async def test_a_job_can_wait_although_the_schedule_has_queued_the_source_again(queue, claims):
    claim = await claimed(queue, claims)
    await sql(
        queue,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)"
        " SELECT queue_name, task_name, lock, queueing_lock, args FROM procrastinate_jobs",
    )
    assert await claims.postpone(claim, 0)


async def test_giving_up_leaves_a_failed_run_that_says_why(queue, claims):
    claim = await claimed(queue, claims)
    assert await claims.give_up(claim, "no such source")

    assert await run_row(queue, claim.job.run_id) == (
        "failed",
        "no such source",
        {"trigger": "api", "full": False},
    )
    assert await statuses(queue) == ["failed"]
    assert await queue.queued(claim.job.run_id) is None


async def test_a_listener_hears_of_a_new_job(queue, database_url):
    heard = asyncio.Queue[None]()
    listener = asyncio.create_task(listen(database_url, lambda: heard.put_nowait(None)))
    try:
        await heard.get()  # it listens now, and whoever asks first must look
        await queue.request_run(AIRPORTS, Trigger.API)
        await asyncio.wait_for(heard.get(), 10)
    finally:
        listener.cancel()
        await asyncio.wait([listener])


# workers that are gone


async def test_a_job_whose_worker_died_before_the_run_began_keeps_its_run_id(queue, claims):
    claim = await claimed(queue, claims)
    assert list(await claims.take_over(15)) == []
    await let_die(queue, claim.worker_id)

    (found,) = await claims.take_over(15)
    assert (found.outcome, found.job) == ("queued", replace(claim.job, takeovers=1))
    again = await claims.claim(await claims.register())
    assert again is not None
    assert again.job == found.job


async def test_a_run_that_was_cut_off_is_continued_by_a_new_one_and_both_say_so(queue, claims):
    claim = await claimed(queue, claims, full=True)
    await begin_run(queue, claim.job)
    await let_die(queue, claim.worker_id)

    (found,) = await claims.take_over(15)
    assert found.outcome == "queued"
    assert found.job.run_id != claim.job.run_id
    assert (found.job.resumes, found.job.full) == (claim.job.run_id, True)
    assert (await run_row(queue, claim.job.run_id))[2] == {"resumed_by": found.job.run_id}

    again = await claims.claim(await claims.register())
    await begin_run(queue, again.job)
    await end_run(queue, again.job.run_id, "success")
    assert await claims.finish(again)
    assert (await run_row(queue, again.job.run_id))[2] == {"resumes": claim.job.run_id}


async def test_a_job_of_a_worker_that_is_unknown_is_taken_over_by_one_of_many(queue, claims):
    claim = await claimed(queue, claims)
    await claims.unregister(claim.worker_id)

    found = await asyncio.gather(*(claims.take_over(15) for _ in range(5)))
    assert sum(map(len, found)) == 1


async def test_a_job_that_another_worker_is_taking_over_is_left_to_it_without_waiting(queue, claims):
    claim = await claimed(queue, claims)
    await let_die(queue, claim.worker_id)
    async with queue.database.driver_transaction() as other:
        await other.execute("SELECT FROM procrastinate_jobs FOR UPDATE")
        assert list(await claims.take_over(15)) == []
    assert len(await claims.take_over(15)) == 1


@pytest.mark.parametrize(
    ("status", "error"), [("success", None), ("partial", None), ("failed", "the source refuses")]
)
async def test_a_run_that_ended_before_its_worker_died_is_not_run_again(queue, claims, status, error):
    claim = await claimed(queue, claims)
    await begin_run(queue, claim.job)
    await end_run(queue, claim.job.run_id, status, error)
    await let_die(queue, claim.worker_id)

    (found,) = await claims.take_over(15)
    assert found.outcome == "finished"
    assert await statuses(queue) == ["succeeded"]


@pytest.mark.parametrize("error", ["interrupted: the process that ran it is gone", str(RunInterrupted())])
async def test_a_run_that_was_interrupted_is_continued(queue, claims, error):
    claim = await claimed(queue, claims)
    await begin_run(queue, claim.job)
    await end_run(queue, claim.job.run_id, "failed", error)

    released = await claims.release(claim)
    assert (released.outcome, released.job.resumes, released.job.takeovers) == ("queued", claim.job.run_id, 0)


async def test_a_worker_that_was_frozen_cannot_touch_a_job_that_is_no_longer_its_own(queue, claims):
    frozen = await claimed(queue, claims)
    await begin_run(queue, frozen.job)
    await let_die(queue, frozen.worker_id)
    (found,) = await claims.take_over(15)
    current = await claims.claim(await claims.register())

    await claims.beat(frozen.worker_id)
    assert not await claims.finish(frozen)
    assert not await claims.postpone(frozen, 0)
    assert not await claims.give_up(frozen, "no")
    assert (await claims.release(frozen)).outcome == "lost"
    assert (await run_row(queue, frozen.job.run_id))[2] == {"resumed_by": found.job.run_id}
    assert await statuses(queue) == ["doing"]
    assert await claims.finish(current)


async def test_a_job_that_costs_every_process_its_life_ends_visibly(queue, claims):
    claim = await claimed(queue, claims)
    for _ in range(MAX_TAKEOVERS):
        await let_die(queue, claim.worker_id)
        (found,) = await claims.take_over(15)
        assert found.outcome == "queued"
        claim = await claims.claim(await claims.register())
    await let_die(queue, claim.worker_id)

    (found,) = await claims.take_over(15)
    assert found.outcome == "given_up"
    assert await statuses(queue) == ["failed"]
    status, error, _ = await run_row(queue, claim.job.run_id)
    assert status == "failed"
    assert error.startswith(f"crash loop: given up after {MAX_TAKEOVERS} processes in a row"), error


async def test_a_worker_that_was_given_up_is_alive_again_under_the_same_id(queue, claims):
    worker = await claims.register()
    await claims.unregister(worker)
    await claims.beat(worker)
    await queue.request_run(AIRPORTS, Trigger.API)
    claim = await claims.claim(worker)
    assert claim is not None
    assert claim.worker_id == worker
    assert await claims.register() != worker


async def test_only_jobs_that_ended_more_than_a_week_ago_are_forgotten_and_not_all_at_once(queue, claims):
    kept = await claimed(queue, claims, "recent")
    await claims.finish(kept)
    await queue.request_run("waiting", Trigger.API)
    await sql(
        queue,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, args)"
        " SELECT 'ingest', 'ingest', 'succeeded', '{}' FROM generate_series(1, %s)",
        PRUNE_AT_ONCE + 1,
    )
    await sql(
        queue,
        "INSERT INTO procrastinate_events (job_id, type, at)"
        " SELECT id, 'succeeded', now() - interval '8 days' FROM procrastinate_jobs WHERE args = '{}'",
    )
    assert [await claims.prune() for _ in range(3)] == [PRUNE_AT_ONCE, 1, 0]
    assert await statuses(queue) == ["succeeded", "todo"]


# runs that are gone


async def test_a_run_without_a_sign_of_life_is_failed_and_says_when_it_was_last_seen(queue):
    job = IngestJob(AIRPORTS, RunId("run_airports_1"), Trigger.CLI)
    await begin_run(queue, job, seconds_ago=60)
    await begin_run(queue, replace(job, run_id=RunId("run_airports_2")))

    assert await fail_stale_runs(queue.database, 12) == ["run_airports_1"]
    status, error, _ = await run_row(queue, "run_airports_1")
    assert status == "failed"
    assert error.startswith("interrupted: the process that ran it is gone (last sign of life 20")
    assert error.endswith(" UTC)")
    assert await sql(queue, "SELECT end_time = heartbeat FROM etl_run WHERE status = 'failed'") == [(True,)]
    assert (await run_row(queue, "run_airports_2"))[0] == "in_progress"
    assert await fail_stale_runs(queue.database, 12) == []


async def test_a_run_that_holds_a_living_lease_is_never_failed(queue):
    job = IngestJob(AIRPORTS, RunId("run_airports_1"), Trigger.CLI)
    await begin_run(queue, job, seconds_ago=60)
    await hold_lease(queue, AIRPORTS, "run_airports_1")
    assert await fail_stale_runs(queue.database, 12) == []

    await sql(queue, "UPDATE source_lease SET run_id = 'run_airports_2'")
    assert await fail_stale_runs(queue.database, 12) == ["run_airports_1"]


async def test_a_failed_stale_run_shows_as_the_last_failure_of_its_source(queue):
    await sql(queue, "INSERT INTO etl_totals (source) VALUES ('airports')")
    await begin_run(queue, IngestJob(AIRPORTS, RunId("run_airports_1"), Trigger.CLI), seconds_ago=60)
    await fail_stale_runs(queue.database, 12)
    assert await sql(queue, "SELECT last_failure IS NOT NULL FROM etl_totals") == [(True,)]
