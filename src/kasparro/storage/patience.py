"""How long a run waits for its database: work that is safe to repeat in, its outcome out, or the error that used up the patience.

| the database | the run |
|---|---|
| ended the transaction for a conflict | tries again at once, a bounded number of times |
| is away, does not answer, has no connection left | tries again for about a minute |
| is full, read-only or recovering | is paused: tries again every few seconds for as long as it takes, and says so |

A run that was asked to stop is not patient: it gives a pause up at once, and an outage after a moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from kasparro.core.clock import monotonic
from kasparro.core.errors import DatabaseConflict, DatabasePaused, DatabaseUnavailable, RunInterrupted
from kasparro.schemas.ingest import SourceName

log = structlog.get_logger(__name__)

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds between attempts. `pause` doubles up to its last; `tell_again` is how often a pause is repeated in the log."""

    conflict: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5)
    outage: tuple[float, ...] = (0.2, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0)
    moment: tuple[float, ...] = (0.2, 0.5, 1.0)
    pause: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    tell_again: float = 60.0


WAITS: Final = Waits()


@dataclass(slots=True)
class Patience:
    """The patience of one run of *source*, which ends early when *stop* is set."""

    source: SourceName
    stop: asyncio.Event
    waits: Waits = WAITS
    clock: Callable[[], float] = monotonic
    used_up: bool = False
    """An outage was waited for as long as that is worth; what is tried after it gets a moment, until something succeeds."""
    reason: str = ""
    """Why the source is paused, as it was told; batches that are written together are paused together."""
    told: float = 0.0

    async def with_(self, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Do *work* until it is done. Only for work that is safe to repeat whatever became of the attempt before."""
        return await self._repeat(work, _Attempts(self))

    async def with_refused(self, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Repeat *work* only where the database has said that it did not do it, so that nothing is done twice."""
        return await self._repeat(work, _Attempts(self, outages=False))

    async def _repeat(self, work: Callable[[], Awaitable[Outcome]], attempts: _Attempts) -> Outcome:
        while True:
            try:
                outcome = await work()
            except DatabaseUnavailable as error:
                seconds = attempts.wait_after(error)
                if isinstance(error, DatabaseConflict):
                    await asyncio.sleep(seconds)
                elif await self._stopped_within(seconds) and attempts.paused_since is not None:
                    raise RunInterrupted from error
            else:
                attempts.over()
                return outcome

    async def _stopped_within(self, seconds: float) -> bool:
        if self.stop.is_set():  # it will not be set again: this wait is part of the moment that is left
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class _Attempts:
    """What has happened so far in one piece of work, and what follows from it."""

    patience: Patience
    outages: bool = True
    paused_since: float | None = None
    conflicts: Iterator[float] = field(init=False)
    outage: Iterator[float] = field(init=False)
    moment: Iterator[float] = field(init=False)
    pauses: int = 0

    def __post_init__(self) -> None:
        waits = self.patience.waits
        outage = waits.moment if self.patience.used_up else waits.outage
        self.conflicts, self.outage, self.moment = map(iter, (waits.conflict, outage, waits.moment))

    def wait_after(self, error: DatabaseUnavailable) -> float:
        """Seconds until the next attempt; raises *error* when there is to be none."""
        if isinstance(error, DatabaseConflict):
            return self._next(self.conflicts, error, "database.conflict")
        if isinstance(error, DatabasePaused) or (self.paused_since is not None and self.outages):
            return self._pause(error)
        if not self.outages:
            raise error
        return self._next(
            self.moment if self.patience.stop.is_set() else self.outage, error, "database.waiting"
        )

    def _next(self, waits: Iterator[float], error: DatabaseUnavailable, event: str) -> float:
        seconds = next(waits, None)
        if seconds is None:
            self.patience.used_up = True
            raise error
        log.warning(event, source=self.patience.source, wait_s=seconds, reason=str(error))
        return jittered(seconds)

    def _pause(self, error: DatabaseUnavailable) -> float:
        """Also an outage within a pause belongs to it: a server whose disk is full may go down for it."""
        if self.patience.stop.is_set():
            raise error
        now = self.patience.clock()
        if self.paused_since is None:
            self.paused_since = now
        reason = error.code if isinstance(error, DatabasePaused) else self.patience.reason
        if reason != self.patience.reason or now - self.patience.told >= self.patience.waits.tell_again:
            self._tell(error, reason, now)
        self.pauses += 1
        longest = len(self.patience.waits.pause) - 1
        return jittered(self.patience.waits.pause[min(self.pauses - 1, longest)])

    def _tell(self, error: DatabaseUnavailable, reason: str, now: float) -> None:
        self.patience.reason, self.patience.told = reason, now
        log.warning(
            "source.paused",
            source=self.patience.source,
            reason=reason,
            message=error.message,
            paused_s=round(now - (self.paused_since or now)),
            advice=error.advice if isinstance(error, DatabasePaused) else DatabasePaused.advice,
        )

    def over(self) -> None:
        patience = self.patience
        patience.used_up = False
        if self.paused_since is not None and patience.reason:
            seconds = round(patience.clock() - self.paused_since, 1)
            log.info("source.resumed", source=patience.source, reason=patience.reason, paused_s=seconds)
            patience.reason = ""


def jittered(seconds: float) -> float:
    """Up to a quarter longer, by chance, so that those who got in each other's way do not come back in step."""
    return seconds * random.uniform(1.0, 1.25)  # noqa: S311  # jitter, not a secret
