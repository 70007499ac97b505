"""How often a source may be asked, as values: what is declared, what is known of it, and the answer to who wants to ask.

`ingestion.limits` keeps them in this process, `storage.limits` in PostgreSQL for all of them; both decide alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from kasparro.core.durations import CalendarPeriod
from kasparro.core.etl_config import PARK_AFTER, ApiSource, RateLimit, SourceDeclaration

NONE: Final = timedelta(0)
LONGEST_SLACK: Final = timedelta(milliseconds=250)
SLACK: Final = 0.05
"""Requests take different times to arrive, the first one most. So `per` is taken for so much longer, as a part of itself."""

CIRCUIT_AFTER: Final = 3
"""So many failures in a row, for one reason, and the source is left alone for a while."""
FIRST_REST: Final = timedelta(minutes=1)
LONGEST_REST: Final = timedelta(hours=1)
"""How long it is left alone: the first one, doubled by each further failure, up to the longest."""
PROBE: Final = timedelta(minutes=2)
"""After such a rest one run may try; for so long no other one does."""

LONGEST_PAUSE: Final = timedelta(days=366)
"""A source that asks for more than this gets this."""


class Because(StrEnum):
    """Why a source may not be asked just now."""

    RATE = "rate"
    REST = "rest"
    BUDGET = "budget"
    CIRCUIT = "circuit"


REASONS: Final = {
    Because.RATE: "its rate limit allows no request earlier",
    Because.REST: "it asked to be left alone until then",
    Because.BUDGET: "its budget of requests is used up",
    Because.CIRCUIT: "it failed too often in a row",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What is declared, under the *name* of those who share it: a source, or a group of sources.

    *interval* is what lies between two requests, and `burst - 1` of them may come so much earlier (*tolerance*): then no time
    of the declared length holds more than the declared number.
    """

    name: str
    interval: timedelta = NONE
    tolerance: timedelta = NONE
    budget: int | None = None
    period: CalendarPeriod | timedelta = NONE
    grouped: bool = False
    park_after: timedelta = PARK_AFTER

    @classmethod
    def of(cls, declaration: SourceDeclaration) -> Self:
        limit = declaration.rate_limit if isinstance(declaration, ApiSource) else None
        if limit is None:
            return cls(declaration.name)
        interval = _interval(limit)
        return cls(
            name=declaration.name if limit.group is None else f"group:{limit.group}",
            interval=interval,
            tolerance=interval * (limit.burst - 1),
            budget=limit.budget.requests if limit.budget else None,
            period=limit.budget.per if limit.budget else NONE,
            grouped=limit.group is not None,
            park_after=limit.park_after,
        )

    @property
    def counted(self) -> bool:
        """Whether every request has to ask: something is counted, or another source may have been told to rest."""
        return bool(self.interval) or self.budget is not None or self.grouped

    def too_long(self, blocked: Blocked | None) -> bool:
        """Whether that is too long to wait for within a run."""
        return blocked is not None and (
            blocked.because is Because.CIRCUIT or blocked.seconds > self.park_after.total_seconds()
        )


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing may be asked for so many *seconds*, until that moment by the clock of whoever keeps the limit."""

    seconds: float
    until: datetime
    because: Because

    @property
    def moment(self) -> str:
        return f"{self.until:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Start:
    """Whether a run may begin. *probe*: it is the one that tries whether the source is back; `failures` is why."""

    blocked: Blocked | None = None
    probe: bool = False
    failures: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands, for people."""

    name: str
    blocked: Blocked | None
    used: int | None = None
    failures: int = 0
    failure: str | None = None

    @property
    def explanation(self) -> str:
        """Why the source is not asked, and until when; empty when it may be."""
        if self.blocked is None:
            return ""
        failed = f"it failed {self.failures} times in a row ({self.failure})"
        reason = failed if self.blocked.because is Because.CIRCUIT else REASONS[self.blocked.because]
        return f"not asked before {self.blocked.moment}: {reason}"


def circuit_rest(failures: int) -> timedelta | None:
    """How long a source that failed *failures* times in a row is left alone."""
    beyond = failures - CIRCUIT_AFTER
    return None if beyond < 0 else min(LONGEST_REST, FIRST_REST * 2 ** min(beyond, 16))


def _interval(limit: RateLimit) -> timedelta:
    """What keeps to the limit in every window: `burst` at once, and the rest of the window's requests spread over it."""
    if limit.requests is None:
        return NONE
    longer = limit.per + min(LONGEST_SLACK, limit.per * SLACK)
    microseconds = longer / timedelta(microseconds=1) / (limit.requests - limit.burst + 1)
    return timedelta(microseconds=max(1, math.ceil(microseconds)))
