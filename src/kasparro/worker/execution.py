"""The jobs a worker has in hand: claimed while there is room, run side by side, each told of the end when the worker stops."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from kasparro.core.errors import StorageError
from kasparro.storage.job_claims import Claim, JobClaims
from kasparro.worker.outcomes import Ingest, Interrupted, Outcome, attempt, settle
from kasparro.worker.pace import Pace
from kasparro.worker.supervision import Outage, until_stored

log = structlog.get_logger(__name__)

LAST_WORD: Final = 5.0
"""Seconds to tell the queue about jobs that were cancelled; what is not told is found by the next worker."""


class Execution:
    """Of one source at most one job runs at a time, on whatever machine: the queue sees to that."""

    def __init__(
        self,
        claims: JobClaims,
        worker_id: int,
        ingest: Ingest,
        concurrency: int,
        stop: asyncio.Event,
        pace: Pace,
        outage: Outage,
    ) -> None:
        self._claims = claims
        self._worker_id = worker_id
        self._ingest = ingest
        self._concurrency = concurrency
        self._stop = stop
        self._pace = pace
        self._outage = outage
        self.wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def step(self) -> float:
        """Claim what there is room for; seconds until it is worth looking again, unless `wake` is set."""
        while len(self._running) < self._concurrency and not self._stop.is_set():
            claim = await self._claims.claim(self._worker_id)
            if claim is None:
                break
            self._start(claim)
        return self._pace.poll

    def _start(self, claim: Claim) -> None:
        task = asyncio.create_task(self._run(claim), name=f"job {claim.job_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("job.not_settled", exc_info=error)

    async def _run(self, claim: Claim) -> None:
        job = claim.job
        with bound_contextvars(source=job.source, run_id=job.run_id):
            log.info("job.claimed", trigger=job.trigger.value, resumes=job.resumes)
            try:
                outcome = (
                    Interrupted() if self._stop.is_set() else await attempt(job, self._ingest, self._stop)
                )
                if isinstance(outcome, Interrupted):
                    await self._let_go(claim)
                else:
                    await self._settle(claim, outcome)
            except asyncio.CancelledError:
                await self._let_go(claim)
                raise

    async def _settle(self, claim: Claim, outcome: Outcome) -> None:
        await until_stored(
            lambda: settle(self._claims, claim, outcome, self._pace), self._outage, self._pace.backoff
        )

    async def _let_go(self, claim: Claim) -> None:
        try:
            async with asyncio.timeout(LAST_WORD):
                await self._settle(claim, Interrupted())
        except (StorageError, TimeoutError) as error:
            log.warning("job.not_released", reason=str(error) or "no answer in time")

    async def drain(self, grace: float) -> None:
        """Wait for the runs, which have been told to stop; cancel those that take longer than *grace* seconds."""
        if self._running and grace > 0:
            await asyncio.wait(self._running, timeout=grace)
        late = list(self._running)
        for task in late:
            task.cancel()
        if late:
            log.warning("worker.cancelled_runs", runs=len(late))
            await asyncio.wait(late)
