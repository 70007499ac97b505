from __future__ import annotations

import asyncio
from collections import deque

import pytest

from kasparro.core.errors import DatabaseUnavailable
from kasparro.schemas.ingest import RunCounters, RunId, RunReport, RunStatus, SourceName, Trigger
from kasparro.storage.ingest_jobs import IngestJob
from kasparro.storage.job_claims import Claim, TakenOver
from kasparro.worker.execution import Execution
from kasparro.worker.pace import Pace
from kasparro.worker.supervision import Outage

pytestmark = pytest.mark.anyio


class Claims:
    """A queue in memory; `away` is how many calls fail before the database is back."""

    def __init__(self, *sources: str) -> None:
        self.waiting = deque(
            Claim(n, 7, IngestJob(SourceName(s), RunId(f"run_{s}_{n}"), Trigger.API))
            for n, s in enumerate(sources)
        )
        self.finished: list[str] = []
        self.released: list[str] = []
        self.away = 0

    async def claim(self, worker_id: int) -> Claim | None:
        assert worker_id == 7
        return self.waiting.popleft() if self.waiting else None

    async def finish(self, claim: Claim) -> bool:
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable("gone")
        self.finished.append(claim.job.source)
        return True

    async def release(self, claim: Claim) -> TakenOver:
        if self.away:
            raise DatabaseUnavailable("gone")
        self.released.append(claim.job.source)
        return TakenOver(claim.job, "queued")


class Sources:
    """Runs that last until they are let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Queue[str]()
        self.let_go = asyncio.Event()

    async def __call__(self, job: IngestJob) -> RunReport:
        self.begun.put_nowait(job.source)
        await self.let_go.wait()
        return RunReport(job.run_id, job.source, RunStatus.SUCCESS, RunCounters(), 1)


def execution(
    claims: Claims, sources: Sources, stop: asyncio.Event | None = None, concurrency: int = 2
) -> Execution:
    return Execution(claims, 7, sources, concurrency, stop or asyncio.Event(), Pace(backoff=0.0), Outage())


async def test_as_many_jobs_are_claimed_as_there_is_room_for():
    claims, sources = Claims("a", "b", "c"), Sources()
    running = execution(claims, sources)
    await running.step()
    assert {await sources.begun.get(), await sources.begun.get()} == {"a", "b"}
    assert len(claims.waiting) == 1

    sources.let_go.set()
    await running.wake.wait()
    await running.drain(10)
    await running.step()
    await running.drain(10)
    assert claims.finished == ["a", "b", "c"]


async def test_nothing_is_claimed_once_the_worker_stops():
    claims, stop = Claims("a"), asyncio.Event()
    stop.set()
    await execution(claims, Sources(), stop).step()
    assert len(claims.waiting) == 1


async def test_a_job_claimed_at_the_very_end_goes_back_without_being_begun():
    stop, sources = asyncio.Event(), Sources()

    class Stopping(Claims):
        async def claim(self, worker_id: int) -> Claim | None:
            stop.set()
            return await super().claim(worker_id)

    claims = Stopping("a", "b")
    running = execution(claims, sources, stop)
    await running.step()
    await running.drain(10)
    assert claims.released == ["a"]
    assert sources.begun.empty()


async def test_an_ended_run_is_told_to_the_queue_when_the_database_is_back():
    claims, sources = Claims("a"), Sources()
    claims.away = 3
    sources.let_go.set()
    running = execution(claims, sources)
    await running.step()
    await running.drain(10)
    assert claims.finished == ["a"]


async def test_runs_that_outlast_the_grace_period_are_cancelled_and_handed_over():
    claims, sources = Claims("a", "b"), Sources()
    running = execution(claims, sources)
    await running.step()
    await running.drain(0.01)
    assert sorted(claims.released) == ["a", "b"]
    assert claims.finished == []


async def test_a_cancelled_run_ends_although_the_database_is_away():
    claims, sources = Claims("a"), Sources()
    running = execution(claims, sources)
    await running.step()
    claims.away = 1
    await running.drain(0)
    assert claims.released == []
