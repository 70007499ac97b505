"""Where every request to a source waits for its turn: one gate for a source that is read, all its requests through it, in order.

What is declared (rate, budget) is asked of the `Limits`, which other processes share. The rest that a source asks for is kept
here, for who asks it meanwhile, and there, for everybody else and for later.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NoReturn

import structlog

from kasparro.core import clock
from kasparro.core.errors import SourceParked
from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.limits import LocalLimits
from kasparro.ingestion.ports import Limits
from kasparro.schemas.limits import LONGEST_PAUSE, REASONS, Because, Blocked, Policy

log = structlog.get_logger(__name__)

_WORTH_A_LINE: Final = 5.0
"""Seconds; a shorter wait for the turn is not logged."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Time, sleep and chance; tests pass their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], datetime] = clock.now
    chance: Callable[[], float] = field(default=random.random)
    monotonic: Callable[[], float] = clock.monotonic


class Gate:
    """`passed` before each request; `rest` when an answer asks for it, or `hold` where that must not wait for the others' limits.

    A wait that is too long parks the source.
    """

    def __init__(self, policy: Policy, limits: Limits, waiting: Waiting) -> None:
        self.policy = policy
        self.limits = limits
        self.probing = False
        """The source failed so often that a request is not tried again until one has succeeded."""
        self._waiting = waiting
        self._rest_until: datetime | None = None
        self._in_order = asyncio.Lock()

    async def passed(self) -> None:
        """Wait until a request may be sent, which must then be sent at once. Raises `SourceParked`."""
        async with self._in_order:
            while (blocked := await self._blocked()) is not None:
                self.park_if_long(blocked)
                if blocked.seconds >= _WORTH_A_LINE:
                    log.info("request.waiting", limit=self.policy.name, wait_s=round(blocked.seconds, 1))
                await self._waiting.sleep(blocked.seconds)
                if (
                    self._rest_until == blocked.until
                ):  # slept is slept, whatever was done to the clock meanwhile
                    self._rest_until = None

    def hold(self, seconds: float) -> None:
        """Let no request pass here for so many *seconds*, from now on."""
        until = self._waiting.now() + timedelta(seconds=min(seconds, LONGEST_PAUSE.total_seconds()))
        if seconds and (self._rest_until is None or until > self._rest_until):
            self._rest_until = until

    async def rest(self, seconds: float) -> None:
        """Let nobody ask this source for so many *seconds*."""
        self.hold(seconds)
        await self.limits.rest(self.policy, seconds)

    def park_if_long(self, blocked: Blocked | None) -> None:
        """Raise `SourceParked` if that is too long to wait for within a run."""
        if blocked is not None and self.policy.too_long(blocked):
            _park(blocked)

    def park_if_resting(self) -> None:
        """Raise `SourceParked` if the source asked for a rest that is too long to wait for."""
        self.park_if_long(self._resting())

    @property
    def resting(self) -> bool:
        return self._resting() is not None

    def now(self) -> datetime:
        return self._waiting.now()

    async def _blocked(self) -> Blocked | None:
        """Why the request at hand may not be sent now; if it may, it has been counted."""
        resting = self._resting()
        if resting is None and self.policy.counted:
            return await self.limits.turn(self.policy) or self._resting()  # told so by an answer meanwhile
        return resting

    def _resting(self) -> Blocked | None:
        if self._rest_until is None:
            return None
        left = (self._rest_until - self._waiting.now()).total_seconds()
        return Blocked(left, self._rest_until, Because.REST) if left > 0 else None


def open_gate(waiting: Waiting | None = None) -> Gate:
    """One for requests to which nothing was declared and that nobody shares; it holds them up when they are told to wait."""
    waiting = waiting or Waiting()
    return Gate(Policy("requests"), LocalLimits(waiting.now), waiting)


def local_gate(declaration: SourceDeclaration, waiting: Waiting | None = None) -> Gate:
    """One whose limits hold in this process only."""
    waiting = waiting or Waiting()
    return gate_of(declaration, LocalLimits(waiting.now), waiting)


def gate_of(declaration: SourceDeclaration, limits: Limits, waiting: Waiting) -> Gate:
    return Gate(Policy.of(declaration), limits, waiting)


def _park(blocked: Blocked) -> NoReturn:
    raise SourceParked(
        f"parked until {blocked.moment}: {REASONS[blocked.because]}",
        resume_at=blocked.until,
        asked=blocked.because is Because.REST,
    )
