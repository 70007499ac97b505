from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kasparro.core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    KasparroError,
    LeaseHeld,
    RunInterrupted,
)
from kasparro.schemas.ingest import RunCounters, RunId, RunReport, RunStatus, SourceName, Trigger
from kasparro.storage.ingest_jobs import IngestJob
from kasparro.storage.job_claims import Claim, TakenOver
from kasparro.worker.outcomes import (
    Busy,
    DatabaseFailed,
    Ended,
    Interrupted,
    Outcome,
    Refused,
    attempt,
    settle,
)
from kasparro.worker.pace import Pace

pytestmark = pytest.mark.anyio

JOB = IngestJob(SourceName("airports"), RunId("run_airports_1"), Trigger.API)
SCHEDULED = replace(JOB, trigger=Trigger.SCHEDULE)
PACE = Pace(busy=5.0, busy_tries=3)


def report(status: RunStatus, code: str | None = None) -> RunReport:
    return RunReport(JOB.run_id, JOB.source, status, RunCounters(), 1, code, code)


async def outcome_of(result: RunReport | Exception, *, stopping: bool = False) -> Outcome:
    async def ingest(job: IngestJob) -> RunReport:
        if isinstance(result, Exception):
            raise result
        return result

    stop = asyncio.Event()
    if stopping:
        stop.set()
    return await attempt(JOB, ingest, stop)


class Claims:
    """Records the one thing that is done with the job."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    async def finish(self, claim: Claim) -> bool:
        self.done.append(("finish",))
        return True

    async def postpone(self, claim: Claim, seconds: float) -> bool:
        self.done.append(("postpone", seconds))
        return True

    async def release(self, claim: Claim) -> TakenOver:
        self.done.append(("release",))
        return TakenOver(claim.job, "queued")

    async def retry(self, claim: Claim, seconds: float) -> TakenOver:
        self.done.append(("retry", seconds))
        return TakenOver(claim.job, "queued")

    async def give_up(self, claim: Claim, reason: str) -> bool:
        self.done.append(("give_up", reason))
        return True


async def settled(outcome: Outcome, job: IngestJob = JOB) -> tuple[object, ...]:
    claims = Claims()
    await settle(claims, Claim(1, 1, job), outcome, PACE)
    (done,) = claims.done
    return done


@pytest.mark.parametrize("status", [RunStatus.SUCCESS, RunStatus.PARTIAL, RunStatus.FAILED])
async def test_a_run_that_came_to_its_end_is_done_however_it_ended(status):
    assert await outcome_of(report(status, "source_refused")) == Ended(report(status, "source_refused"))
    assert await settled(Ended(report(status))) == ("finish",)


async def test_a_run_cut_off_by_the_stop_is_handed_over():
    cut_off = report(RunStatus.FAILED, RunInterrupted.code)
    assert await outcome_of(cut_off, stopping=True) == Interrupted()
    assert await outcome_of(cut_off) == Ended(cut_off), "nobody told this worker to stop"
    assert await outcome_of(report(RunStatus.FAILED, "source_refused"), stopping=True) != Interrupted()
    assert await outcome_of(report(RunStatus.SUCCESS), stopping=True) == Ended(report(RunStatus.SUCCESS))
    assert await settled(Interrupted()) == ("release",)


async def test_a_database_that_failed_the_run_is_tried_again():
    assert await outcome_of(DatabaseUnavailable("gone")) == DatabaseFailed("gone")
    assert await settled(DatabaseFailed("gone")) == ("retry", 5.0)


@pytest.mark.parametrize("error", [ConfigurationError("no such source"), KasparroError("no such source")])
async def test_what_cannot_be_begun_ends_visibly(error):
    assert await outcome_of(error) == Refused("no such source")
    assert await settled(Refused("no such source")) == ("give_up", "no such source")


async def test_a_fault_of_ours_ends_the_job_and_does_not_leak_its_text():
    outcome = await outcome_of(RuntimeError("secret of the record"))
    assert isinstance(outcome, Refused)
    assert "RuntimeError" in outcome.reason
    assert "secret" not in outcome.reason


async def test_a_source_in_the_foreground_makes_the_job_busy():
    held = LeaseHeld("airports", "laptop:1", "run_airports_2", datetime(2026, 1, 1, tzinfo=UTC))
    assert await outcome_of(held) == Busy(held.message)


@pytest.mark.parametrize(
    ("job", "done"),
    [
        (SCHEDULED, "finish"),
        (JOB, "postpone"),
        (replace(JOB, waits=2), "postpone"),
        (replace(JOB, waits=3), "give_up"),
        (replace(SCHEDULED, resumes=RunId("run_airports_0")), "postpone"),
        (replace(SCHEDULED, takeovers=1), "postpone"),
    ],
)
async def test_a_scheduled_run_is_skipped_while_busy_and_one_that_is_asked_for_or_cut_off_waits(job, done):
    assert (await settled(Busy("busy"), job))[0] == done


async def test_giving_up_on_a_busy_source_says_who_had_it():
    done = await settled(Busy("source 'airports' is being ingested by laptop:1"), replace(JOB, waits=3))
    assert done == (
        "give_up",
        "waited for 15 s and did not begin: source 'airports' is being ingested by laptop:1",
    )
