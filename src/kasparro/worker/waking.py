"""Parked runs go on when their time has come: at `resume_at` a run is queued that continues after the checkpoint.

Every worker does this, and the database lets one of them succeed. What is parked stands in the history of runs, so a restart of
all workers, or a run that was parked on a command line, makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from kasparro.core.clock import now
from kasparro.core.etl_config import Catalog
from kasparro.schemas.limits import Policy
from kasparro.storage.ingest_jobs import Occupied
from kasparro.storage.parked_runs import ParkedRun, ParkedRuns
from kasparro.worker.schedules import Limits

log = structlog.get_logger(__name__)

LONGEST_SLEEP: Final = 5.0
"""A run that was parked since the last look, by whatever process, is noticed after so many seconds."""


class Waker:
    """Of the enabled sources of *catalog*. One whose limit is still not to be asked goes on sleeping."""

    def __init__(
        self, catalog: Catalog, runs: ParkedRuns, limits: Limits, clock: Callable[[], datetime] = now
    ) -> None:
        enabled = [declared for declared in catalog.sources.values() if declared.enabled]
        self._policies = {declared.name: Policy.of(declared) for declared in enabled}
        self._runs = runs
        self._limits = limits
        self._clock = clock

    async def step(self) -> float:
        """Wake what is due; seconds until the next is."""
        waits = [await self._left(parked) for parked in await self._runs.of(list(self._policies))]
        return min([LONGEST_SLEEP, *waits])

    async def _left(self, parked: ParkedRun) -> float:
        """Wake *parked* if it is due; seconds until it is worth looking again."""
        left = (parked.resume_at - self._clock()).total_seconds()
        if left > 0:
            return left
        policy = self._policies[parked.source]
        [standing] = await self._limits.standings([policy])
        if standing.blocked is not None and policy.too_long(standing.blocked):
            return standing.blocked.seconds
        _report(parked, await self._runs.resume(parked))
        return LONGEST_SLEEP


def _report(parked: ParkedRun, result: str | Occupied | None) -> None:
    match result:
        case None:
            pass
        case Occupied():
            log.debug("run.not_woken", source=parked.source, resumes=parked.run_id, reason=str(result))
        case str():
            log.info("run.woken", source=parked.source, resumes=parked.run_id, run_id=result)
