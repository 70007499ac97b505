"""Loops that outlive the database: what fails is reported once, and tried again with growing pauses."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from kasparro.core.clock import monotonic
from kasparro.core.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 0.25


@dataclass
class Outage:
    """The database as the worker's loops see it: one event when it goes, one when it is back."""

    clock: Callable[[], float] = monotonic
    _since: float | None = None
    _ended: float = -math.inf

    def noticed(self, error: DatabaseUnavailable) -> None:
        if self._since is None:
            self._since = self.clock()
            log.warning("worker.database_unavailable", reason=str(error))

    def over(self) -> None:
        if self._since is not None:
            self._ended = self.clock()
            log.info("worker.database_back", outage_s=round(self._ended - self._since, 1))
            self._since = None

    def calm_for(self) -> float:
        """Seconds since the last outage. Just after one, nobody else has shown a sign of life either."""
        return 0.0 if self._since is not None else self.clock() - self._ended


@dataclass
class Loop:
    """Calls *step* until told to stop; the step returns how many seconds to wait before the next.

    The wait ends early when `alarm` is set.
    """

    name: str
    step: Callable[[], Awaitable[float]]
    outage: Outage
    longest_pause: float
    alarm: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.alarm.clear()
            pause = await self._step()
            await self._rest(stop, pause)

    async def _step(self) -> float:
        try:
            pause = await self.step()
        except DatabaseUnavailable as error:
            self.outage.noticed(error)
        except Exception:  # a task boundary: a fault in one round must not end the rounds
            if not self._failures:
                log.exception("worker.loop_failed", loop=self.name)
        else:
            self._failures = 0
            return pause
        self._failures += 1
        return growing_pause(self._failures, self.longest_pause)

    async def _rest(self, stop: asyncio.Event, seconds: float) -> None:
        waits = {asyncio.ensure_future(event.wait()) for event in (stop, self.alarm)}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*waits, return_exceptions=True)


async def until_stored(work: Callable[[], Awaitable[object]], outage: Outage, longest_pause: float) -> None:
    """Do *work*, again and again while the database is away. Whoever cannot wait for ever cancels."""
    failures = 0
    while True:
        try:
            await work()
        except DatabaseUnavailable as error:
            outage.noticed(error)
            failures += 1
            await asyncio.sleep(growing_pause(failures, longest_pause))
        else:
            return


def growing_pause(failures: int, longest: float) -> float:
    """Doubles with each failure up to *longest*, a fifth of it by chance, so that workers do not return in step."""
    full = min(FIRST_PAUSE * 2.0 ** min(failures, 16), longest)
    return full * random.uniform(0.8, 1.0)  # noqa: S311  # jitter, not a secret
