"""One attempt at a job: run the source, say what came of it, and tell the queue.

A source that failed has a failed run, and the job is done: requests were retried already, and the schedule comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

from kasparro.core.errors import KasparroError, LeaseHeld, RunInterrupted, StorageError
from kasparro.schemas.ingest import RunReport, RunStatus, Trigger
from kasparro.storage.ingest_jobs import IngestJob
from kasparro.storage.job_claims import Claim, JobClaims, TakenOver
from kasparro.worker.pace import Pace

log = structlog.get_logger(__name__)

Ingest = Callable[[IngestJob], Awaitable[RunReport]]


@dataclass(frozen=True, slots=True)
class Ended:
    """The run came to its end, well or not."""

    report: RunReport


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The worker was told to stop; the checkpoint is resumable."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is ingesting the source; the run has not begun."""

    reason: str


@dataclass(frozen=True, slots=True)
class DatabaseFailed:
    """The run could not be begun or ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The run cannot be begun, and trying again changes nothing."""

    reason: str


Outcome = Ended | Interrupted | Busy | DatabaseFailed | Refused


async def attempt(job: IngestJob, ingest: Ingest, stop: asyncio.Event) -> Outcome:
    try:
        report = await ingest(job)
    except LeaseHeld as error:
        return Busy(error.message)
    except StorageError as error:
        return DatabaseFailed(str(error))
    except KasparroError as error:
        return Refused(str(error))
    except Exception as error:  # a task boundary: a fault in one run must not end the worker
        log.exception("job.failed")
        return Refused(f"internal error: {type(error).__name__}; the log of the worker has it")
    cut_off = report.status is RunStatus.FAILED and report.error_code == RunInterrupted.code
    return Interrupted() if cut_off and stop.is_set() else Ended(report)


async def settle(claims: JobClaims, claim: Claim, outcome: Outcome, pace: Pace) -> None:
    """Tell the queue what becomes of the job. Safe to repeat: a job that is settled is no longer ours."""
    match outcome:
        case Ended(report):
            log.info("job.done", status=report.status.value)
            await claims.finish(claim)
        case Interrupted():
            report_handed_over(await claims.release(claim))
        case DatabaseFailed(reason):
            log.warning("job.database_failed", reason=reason)
            report_handed_over(await claims.retry(claim, pace.busy))
        case Busy(reason):
            await _wait_for_source(claims, claim, reason, pace)
        case Refused(reason):
            log.error("job.refused", reason=reason)
            await claims.give_up(claim, reason)
        case _:
            assert_never(outcome)


async def _wait_for_source(claims: JobClaims, claim: Claim, reason: str, pace: Pace) -> None:
    job = claim.job
    if _comes_again(job):
        log.info("job.skipped", reason=reason)
        await claims.finish(claim)
    elif job.waits < pace.busy_tries:
        log.info("job.waiting", reason=reason, tries=job.waits + 1)
        await claims.postpone(claim, pace.busy)
    else:
        log.error("job.refused", reason=reason)
        await claims.give_up(
            claim, f"waited for {pace.busy * pace.busy_tries:g} s and did not begin: {reason}"
        )


def _comes_again(job: IngestJob) -> bool:
    """Whoever has the source does what this job was for, or the schedule does; one that a dead process left is continued."""
    scheduled = job.trigger is Trigger.SCHEDULE and job.resumes is None
    return (scheduled or job.trigger is Trigger.RESUME) and not job.takeovers


def report_handed_over(found: TakenOver) -> None:
    job = found.job
    log.warning(
        "job.handed_over",
        source=job.source,
        run_id=job.run_id,
        resumes=job.resumes,
        outcome=found.outcome,
        takeovers=job.takeovers,
    )
