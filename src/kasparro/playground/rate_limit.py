"""A token bucket: so many requests at once, then so many a second. Time is passed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Quota:
    """The state after one request asked to pass; times in seconds from then."""

    allowed: bool
    remaining: int
    retry_after: float
    full_after: float


class TokenBucket:
    """Starts full with *capacity* requests and regains *per_second*."""

    def __init__(self, capacity: int, per_second: float, clock: Callable[[], float]) -> None:
        self.capacity = capacity
        self.per_second = per_second
        self._clock = clock
        self._level = float(capacity)
        self._at = clock()

    def take(self) -> Quota:
        """Take one request out, if one is left; a refused request costs nothing."""
        self._refill()
        allowed = self._level >= 1 - _ROUNDING
        if allowed:
            self._level = max(self._level - 1, 0.0)
        return Quota(
            allowed=allowed,
            remaining=math.floor(self._level + _ROUNDING),
            retry_after=max(1 - self._level, 0.0) / self.per_second,
            full_after=(self.capacity - self._level) / self.per_second,
        )

    def _refill(self) -> None:
        at = self._clock()
        self._level = min(self._level + (at - self._at) * self.per_second, float(self.capacity))
        self._at = at
