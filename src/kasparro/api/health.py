"""Whether the API can serve, told within seconds even when the database does not answer at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from kasparro.core.database import Database, PoolOptions
from kasparro.core.errors import DatabaseTimeout, StorageError
from kasparro.schemas.data import Health
from kasparro.schemas.ingest import RunStatus
from kasparro.services.freshness import Freshness
from kasparro.storage.runs import EndedRun, RunHistory
from kasparro.storage.versions import DatasetState, Versions

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 1.5
POOL: Final = PoolOptions(size=1, overflow=0, checkout=1.0, statement=1.0, lock=1.0, name="kasparro-health")
"""A connection of its own: a pool that is exhausted is no reason to restart the process."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out. `cause` is an error code; `failed` names the sources whose last run failed, `stale` those whose
    last good run is older than they promise.
    """

    status: Health
    cause: str | None = None
    last: EndedRun | None = None
    failed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def etl_last_run(self) -> datetime | None:
        return self.last.end_time if self.last else None

    @property
    def etl_status(self) -> RunStatus | None:
        return self.last.status if self.last else None


class HealthCheck:
    """Asks the database how the last runs went. One question at a time, whoever waits for its answer.

    A question is never cancelled: a database that hangs would not let go of it. Whoever asked stops waiting instead, and the
    connection ends at its own deadline.
    """

    def __init__(self, url: str, watched: Sequence[str], freshness: Freshness) -> None:
        self._database = Database(url, POOL)
        self._history = RunHistory(self._database, lease_seconds=0)
        self._versions = Versions(self._database)
        self._watched = frozenset(watched)
        self._freshness = freshness
        self._question: asyncio.Task[Finding] | None = None

    async def ask(self) -> Finding:
        """How things are; does not raise, and returns within `PATIENCE_SECONDS`."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._look())
        question = self._question
        await asyncio.wait({question}, timeout=PATIENCE_SECONDS)
        return question.result() if question.done() else Finding(Health.UNHEALTHY, DatabaseTimeout.code)

    async def close(self) -> None:
        if self._question is not None:
            await asyncio.wait({self._question})
        await self._database.close()

    async def _look(self) -> Finding:
        try:
            return self._judge(
                await self._history.last_ended_of_each_source(), await self._versions.current()
            )
        except StorageError as error:
            log.warning("database.not_usable", code=error.code, error=str(error))
            return Finding(Health.UNHEALTHY, error.code)

    def _judge(self, ended: Sequence[EndedRun], state: DatasetState) -> Finding:
        failed = (run.source for run in ended if run.status is RunStatus.FAILED)
        names = tuple(sorted(self._watched.intersection(failed)))
        stale = tuple(sorted(name for name in self._watched if self._freshness.of(name, state)))
        last = max(ended, key=lambda run: run.end_time, default=None)
        status = Health.DEGRADED if names or stale else Health.HEALTHY
        return Finding(status, last=last, failed=names, stale=stale)
