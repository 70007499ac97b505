"""`schedule` of the declared sources: at the moments a cron expression names, in UTC, a run is queued.

Every worker does this; the database lets one of them succeed for each moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog
from croniter import croniter  # type: ignore[import-untyped]  # it has no types

from kasparro.core.clock import now
from kasparro.core.etl_config import Catalog, SourceName
from kasparro.schemas.limits import Policy, Standing
from kasparro.storage.ingest_jobs import Occupied
from kasparro.storage.jobs import JobQueue

log = structlog.get_logger(__name__)

CATCH_UP: Final = timedelta(minutes=10)
"""A moment missed for longer, because no worker lived, is left out: the next one comes."""

LONGEST_SLEEP: Final = 30.0
"""A clock that was set, or a machine that slept, is noticed after so many seconds."""


def latest_moment(cron: str, at: datetime) -> datetime:
    """The last moment *cron* names that is not after *at*; both in UTC."""
    second = at.astimezone(UTC).replace(microsecond=0)
    moment: datetime = croniter(cron, second + timedelta(seconds=1)).get_prev(datetime)
    return moment


def next_moment(cron: str, at: datetime) -> datetime:
    moment: datetime = croniter(cron, at.astimezone(UTC)).get_next(datetime)
    return moment


class Limits(Protocol):
    """What a schedule asks of `storage.limits`."""

    async def standings(self, policies: Sequence[Policy]) -> list[Standing]: ...


class Scheduler:
    """Queues what is due. It remembers what it has dealt with only to spare the database the question.

    A moment at which the source must not be asked is left out: it asked for a rest, its budget is used up, or it is down.
    """

    def __init__(
        self, catalog: Catalog, jobs: JobQueue, limits: Limits, clock: Callable[[], datetime] = now
    ) -> None:
        self._crons = dict(scheduled(catalog))
        self._policies = {name: Policy.of(catalog.sources[name]) for name in self._crons}
        self._jobs = jobs
        self._limits = limits
        self._clock = clock
        self._dealt_with: dict[SourceName, datetime] = {}

    async def step(self) -> float:
        """Queue the runs whose moment has come; seconds until the next moment."""
        at = self._clock()
        for source, cron in self._crons.items():
            moment = latest_moment(cron, at)
            if self._dealt_with.get(source) != moment and at - moment <= CATCH_UP:
                await self._deal_with(source, moment)
                self._dealt_with[source] = moment
        return self._until_next(at)

    async def _deal_with(self, source: SourceName, moment: datetime) -> None:
        [standing] = await self._limits.standings([self._policies[source]])
        if standing.blocked is None or not self._policies[source].too_long(standing.blocked):
            _report(source, moment, await self._jobs.request_scheduled(source, moment))
        elif await self._jobs.skip_scheduled(source, moment):
            log.info(
                "schedule.skipped", source=source, moment=moment.isoformat(), reason=standing.explanation
            )

    def _until_next(self, at: datetime) -> float:
        waits = ((next_moment(cron, at) - at).total_seconds() for cron in self._crons.values())
        return min([LONGEST_SLEEP, *waits])


def scheduled(catalog: Catalog) -> Iterable[tuple[SourceName, str]]:
    for declaration in catalog.sources.values():
        if declaration.enabled and declaration.schedule:
            yield declaration.name, declaration.schedule


def _report(source: SourceName, moment: datetime, result: str | Occupied | None) -> None:
    match result:
        case None:
            pass
        case Occupied():
            log.info("schedule.skipped", source=source, moment=moment.isoformat(), reason=str(result))
        case str():
            log.info("schedule.queued", source=source, moment=moment.isoformat(), run_id=result)
