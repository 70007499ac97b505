"""A source that is to be left alone: its run ends well, nobody asks meanwhile, and a worker goes on when the time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ingest_kit import one, rows, writer
from integration.api_server import json_answer, serve
from kasparro.core.config import Settings
from kasparro.core.database import Database
from kasparro.core.etl_config import ApiSource, Catalog
from kasparro.ingestion.ports import Facilities
from kasparro.schemas.ingest import RunId, RunReport, RunStatus, SourceName, Trigger
from kasparro.schemas.limits import CIRCUIT_AFTER, FIRST_REST
from kasparro.services.ingestion import DataIngestionService
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.job_claims import JobClaims
from kasparro.storage.jobs import JobQueue
from kasparro.storage.limits import PostgresLimits
from kasparro.storage.parked_runs import ParkedRuns
from kasparro.storage.raw_archive import PostgresRawArchive
from kasparro.storage.run_book import RunBook
from kasparro.storage.runs import RunHistory
from kasparro.worker.outcomes import Ended, attempt, settle
from kasparro.worker.pace import Pace
from kasparro.worker.schedules import Scheduler
from kasparro.worker.waking import Waker

pytestmark = pytest.mark.anyio

NOON = datetime(2036, 5, 4, 12, tzinfo=UTC)
"""Later than now: a schedule takes what began after a moment for its run, and runs begin by the real clock."""
HOUR = timedelta(hours=1)
THINGS = SourceName("things")


@dataclass
class Api:
    """Four pages of two records. *refuse* says which requests are refused, by their number from 1, and how."""

    refuse: dict[int, web.Response | Callable[[], web.Response]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        page = int(request.query["page"])
        self.asked.append(page)
        refusal = self.refuse.get(len(self.asked)) or self.refuse.get(0)
        if refusal is not None:
            return refusal() if callable(refusal) else refusal
        return json_answer([{"id": 2 * page + n} for n in range(2)] if page <= 4 else [])


def too_many(seconds: int) -> Callable[[], web.Response]:
    return lambda: json_answer({}, status=429, headers={"Retry-After": str(seconds)})


def down() -> web.Response:
    return json_answer({}, status=503)


@dataclass
class Clock:
    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Place:
    """One process with its connections; the database and the clock are those of all."""

    catalog: Catalog
    database: Database
    jobs: JobQueue
    limits: PostgresLimits
    service: DataIngestionService
    clock: Clock

    def waker(self) -> Waker:
        return Waker(self.catalog, ParkedRuns(self.jobs.database), self.limits, self.clock)

    def scheduler(self) -> Scheduler:
        return Scheduler(self.catalog, self.jobs, self.limits, self.clock)

    async def work(self) -> RunReport | None:
        """What a worker does with the next job, if there is one."""
        claims = JobClaims(self.jobs.database)
        claim = await claims.claim(await claims.register())
        if claim is None:
            return None

        async def ingest(job: Any) -> RunReport:
            return await self.service.ingest(
                job.source, run_id=job.run_id, full=job.full, trigger=job.trigger
            )

        outcome = await attempt(claim.job, ingest, asyncio.Event())
        assert isinstance(outcome, Ended)
        await settle(claims, claim, outcome, Pace())
        return outcome.report


@asynccontextmanager
async def process(database_url: str, clock: Clock, *sources: ApiSource) -> AsyncIterator[Place]:
    catalog = Catalog(sources={source.name: source for source in sources}, path=Path("kasparro.yaml"))
    jobs = JobQueue(database_url)
    async with writer(database_url) as database:
        limits = PostgresLimits(database, clock)
        service = DataIngestionService(
            catalog,
            Settings(_env_file=None, etl_batch_size=2),
            PostgresIngestStore(database, 5.0),
            PostgresRawArchive(database),
            RunBook(database),
            Checkpoints(database),
            Facilities(limits=limits),
        )
        yield Place(catalog, database, jobs, limits, service, clock)
    await jobs.close()


def things(url: str, name: str = "things", **keys: Any) -> ApiSource:
    keys = {"rate_limit": {"concurrency": 1}, "retry": {"attempts": 1}, **keys}
    return ApiSource.model_validate({"name": name, "url": url, "key": "id", "pagination": "page", **keys})


async def queued(place: Place) -> list[tuple[Any, ...]]:
    return await rows(
        place.database,
        "SELECT args->>'trigger', args->>'resumes', (args->>'full')::bool FROM procrastinate_jobs WHERE status = 'todo'",
    )


async def test_a_long_rest_parks_the_run_and_a_worker_continues_it_when_it_is_over(database_url):
    api, clock = Api({3: too_many(3600)}), Clock()
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        parked = await place.service.ingest("things")

        assert (parked.status, parked.error_code, parked.resume_at) == (
            RunStatus.PARTIAL,
            "source_parked",
            NOON + HOUR,
        )
        assert parked.counters.inserted == 4, "what had come is committed"
        found = await RunHistory(place.database, 5.0).run(parked.run_id)
        assert found is not None
        assert (found.resume_at, found.error_message) == (NOON + HOUR, parked.error)
        assert await one(place.database, "SELECT holder FROM source_lease") is None
        assert await one(place.database, "SELECT last_success FROM etl_totals") is None

        clock.at = NOON + HOUR - timedelta(seconds=2)
        assert await place.waker().step() == 2.0
        assert await queued(place) == []

        clock.at = NOON + HOUR
        await asyncio.gather(*(place.waker().step() for _ in range(4)))
        assert await queued(place) == [("resume", parked.run_id, False)]
        await place.waker().step()
        assert len(await queued(place)) == 1, "while it waits for a worker it is not queued again"

        resumed = await place.work()
        assert resumed is not None
        assert (resumed.status, resumed.counters.inserted) == (RunStatus.SUCCESS, 4)
        assert api.asked == [1, 2, 3, 3, 4, 5]
        await place.waker().step()
        assert await queued(place) == []
        old, new = await rows(place.database, "SELECT metadata FROM etl_run ORDER BY id")
        assert old[0]["resumed_by"] == resumed.run_id
        assert new[0]["resumes"] == parked.run_id
        found = await RunHistory(place.database, 5.0).run(parked.run_id)
        assert found is not None
        assert found.resume_at is None, "it has been continued"


async def test_a_parked_source_is_not_asked_by_hand_nor_by_another_process_unless_forced(database_url):
    api, clock = Api({2: too_many(3600)}), Clock()
    async with serve(api) as server:
        async with process(database_url, clock, things(server.url)) as place:
            await place.service.ingest("things")
        asked = len(api.asked)
        async with process(database_url, clock, things(server.url)) as restarted:
            again = await restarted.service.ingest("things")
            assert (again.status, again.resume_at, len(api.asked)) == (RunStatus.PARTIAL, NOON + HOUR, asked)
            assert again.error is not None
            assert "2036-05-04 13:00:00 UTC" in again.error
            assert "--force" in again.error
            forced = await restarted.service.ingest("things", force=True)
            assert (forced.status, forced.counters.inserted) == (RunStatus.SUCCESS, 6)
            clock.at += HOUR
            await restarted.waker().step()
            assert await queued(restarted) == [], "there is nothing to go on with"


async def test_a_rest_is_told_to_the_other_sources_of_a_group(database_url):
    api, clock = Api({2: too_many(3600)}), Clock()
    limit = {"group": "acme", "concurrency": 1}
    async with serve(api) as server:
        sources = [things(server.url, name, rate_limit=limit) for name in ("things", "more")]
        async with process(database_url, clock, *sources) as place:
            await place.service.ingest("things")
            other = await place.service.ingest("more")
            assert (other.resume_at, len(api.asked)) == (NOON + HOUR, 2)
            clock.at += HOUR
            await place.waker().step()
            assert sorted(await rows(place.database, "SELECT args->>'source' FROM procrastinate_jobs")) == [
                ("more",),
                ("things",),
            ]


async def test_a_budget_is_shared_by_a_group_and_parks_until_the_next_day(database_url):
    api, clock = Api(), Clock()
    limit = {"group": "acme", "concurrency": 1, "budget": {"requests": 7, "per": "day"}}
    async with serve(api) as server:
        sources = [things(server.url, name, rate_limit=limit) for name in ("things", "more")]
        async with process(database_url, clock, *sources) as place:
            first = await place.service.ingest("things")
            assert first.status is RunStatus.SUCCESS
            second = await place.service.ingest("more")
            assert (second.status, second.resume_at) == (RunStatus.PARTIAL, datetime(2036, 5, 5, tzinfo=UTC))
            assert second.counters.inserted == 4
            assert len(api.asked) == 7
            clock.at = datetime(2036, 5, 5, tzinfo=UTC)
            await place.waker().step()
            resumed = await place.work()
            assert resumed is not None
            assert (resumed.status, resumed.counters.inserted, len(api.asked)) == (RunStatus.SUCCESS, 4, 10)


async def test_a_full_run_that_was_parked_before_it_committed_anything_is_still_a_full_run(database_url):
    api, clock = Api(), Clock()
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        await place.service.ingest("things")
        api.refuse = {0: too_many(3600)}
        parked = await place.service.ingest("things", full=True)
        clock.at += HOUR
        await place.waker().step()
        assert await queued(place) == [("resume", parked.run_id, True)]


async def test_a_replay_does_not_wake_a_parked_source_nor_forget_it(database_url):
    api, clock = Api({2: too_many(3600)}), Clock()
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        parked = await place.service.ingest("things")
        assert (await place.service.normalize_data("things")).status is RunStatus.SUCCESS
        clock.at += HOUR
        await place.waker().step()
        assert await queued(place) == [("resume", parked.run_id, False)]


async def test_a_schedule_does_not_ask_a_parked_source_and_a_disabled_one_stays_asleep(database_url):
    api, clock = Api({2: too_many(3600)}), Clock()
    async with serve(api) as server:
        scheduled = things(server.url, schedule="* * * * *")
        async with process(database_url, clock, scheduled) as place:
            await place.service.ingest("things")
            clock.at += timedelta(minutes=1)
            await place.scheduler().step()
            assert await queued(place) == []
            skipped = "SELECT defer_timestamp FROM procrastinate_periodic_defers"
            assert await one(place.database, skipped) == int(clock.at.timestamp())
        disabled = things(server.url, enabled=False)
        async with process(database_url, clock, disabled) as place:
            clock.at += HOUR
            await place.waker().step()
            assert await queued(place) == []


async def test_the_last_request_of_a_quota_keeps_the_next_run_from_being_refused(database_url):
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800"}
    api, clock = Api(), Clock()
    api.refuse = {5: lambda: json_answer([], headers=used_up)}
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        assert (await place.service.ingest("things")).status is RunStatus.SUCCESS
        parked = await place.service.ingest("things")
        assert (parked.resume_at, len(api.asked)) == (NOON + timedelta(minutes=30), 5)


async def test_a_source_that_is_down_is_left_alone_then_probed_with_one_request(database_url):
    api, clock = Api({0: down}), Clock()
    async with serve(api) as server:
        retrying = things(server.url, schedule="* * * * *", retry={"attempts": 2, "base": "0s"})
        async with process(database_url, clock, retrying) as place:
            for _ in range(CIRCUIT_AFTER):
                report = await place.service.ingest("things")
                assert (report.status, report.error_code) == (RunStatus.FAILED, "source_unavailable")
            assert len(api.asked) == 2 * CIRCUIT_AFTER

            report = await place.service.ingest("things")
            assert (report.status, report.error_code) == (RunStatus.FAILED, "circuit_open")
            assert "failed 3 times in a row (source_unavailable)" in (report.error or "")
            assert await place.scheduler().step() == 30.0
            assert await queued(place) == []
            assert len(api.asked) == 2 * CIRCUIT_AFTER, "nobody asked"

            clock.at += FIRST_REST
            await place.scheduler().step()
            assert len(await queued(place)) == 1
            await place.work()
            assert len(api.asked) == 2 * CIRCUIT_AFTER + 1, "one request, and no retries"
            [standing] = (await place.limits.of(place.catalog.sources)).values()
            assert standing.blocked is not None
            assert standing.blocked.until == clock.at + 2 * FIRST_REST

            clock.at = standing.blocked.until
            api.refuse = {}
            report = await place.service.ingest("things")
            assert (report.status, report.counters.inserted) == (RunStatus.SUCCESS, 8)
            assert await rows(place.database, "SELECT failures, open_until FROM source_limit") == [(0, None)]


async def test_a_source_without_a_rate_limit_asks_the_database_for_no_request(database_url):
    api, clock = Api(), Clock()
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        asked: list[str] = []
        place.limits.turn = lambda policy: asked.append(policy.name)  # type: ignore[method-assign,assignment,return-value]
        assert (await place.service.ingest("things")).status is RunStatus.SUCCESS
        assert asked == []
        assert await rows(place.database, "SELECT * FROM source_limit") == []


async def test_a_run_by_hand_takes_the_place_of_one_that_was_to_be_woken(database_url):
    api, clock = Api({2: too_many(3600)}), Clock()
    async with serve(api) as server, process(database_url, clock, things(server.url)) as place:
        await place.service.ingest("things")
        [parked] = await ParkedRuns(place.database).of([THINGS])
        await place.service.ingest("things")
        assert await ParkedRuns(place.database).resume(parked) is None, "a later one is parked now"
        clock.at += HOUR
        await place.service.ingest("things")
        assert await ParkedRuns(place.database).resume(parked) is None
        run_id = await place.jobs.request_run(THINGS, Trigger.API)
        assert isinstance(run_id, str)
        assert RunId(run_id) != parked.run_id
