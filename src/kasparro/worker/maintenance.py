"""What any living worker does for the dead: fails their runs, takes over their jobs. And it forgets old jobs."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from kasparro.core.clock import monotonic
from kasparro.storage.job_claims import PRUNE_AT_ONCE, JobClaims
from kasparro.storage.stale_runs import fail_stale_runs
from kasparro.worker.outcomes import report_handed_over
from kasparro.worker.pace import Pace
from kasparro.worker.supervision import Outage

log = structlog.get_logger(__name__)


class Maintenance:
    def __init__(
        self,
        claims: JobClaims,
        outage: Outage,
        pace: Pace,
        lease_seconds: float,
        wake: Callable[[], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._claims = claims
        self._outage = outage
        self._pace = pace
        self._lease_seconds = lease_seconds
        self._wake = wake
        self._clock = clock
        self._next_pruning = clock()

    async def step(self) -> float:
        """One round. Right after an outage the living have not shown a sign of life either, so nobody is taken for dead."""
        if self._outage.calm_for() >= self._pace.silent_for:
            await self._care_for_the_dead()
        if self._clock() >= self._next_pruning:
            pruned = await self._claims.prune()
            self._next_pruning = self._clock() + (self._pace.pruning if pruned < PRUNE_AT_ONCE else 0.0)
        return self._pace.maintenance

    async def _care_for_the_dead(self) -> None:
        for run_id in await fail_stale_runs(self._claims.database, self._lease_seconds):
            log.warning("run.interrupted", run_id=run_id, reason="the process that ran it is gone")
        if found := await self._claims.take_over(self._pace.silent_for):
            for job in found:
                report_handed_over(job)
            self._wake()
