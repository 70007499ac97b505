"""How hard a source may be asked: `rate_limit` and `retry`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.durations import Duration, Period

CONCURRENCY: Final = 4
"""Requests under way at once where nothing is declared: enough to hide the latency of a page, few enough to be polite."""

PARK_AFTER: Final = timedelta(seconds=60)
"""The longest wait within a run where nothing is declared; for a longer one the run ends and goes on later."""

_SHARED: Final = ("requests", "per", "burst", "budget")

GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]


class Budget(Declaration):
    """A quota over a long period, kept across runs and processes."""

    requests: int = Field(gt=0, description="Requests in one period.")
    per: Period = Field(
        description="The period: `hour`, `day`, `month` (calendar, UTC), or a length of time that begins with its first request."
    )

    @model_validator(mode="after")
    def _of_some_length(self) -> Budget:
        if self.per == timedelta(0):
            refuse("must be longer than nothing", at=("per",))
        return self


class RateLimit(Declaration):
    """The most a source may be asked, by all processes together."""

    requests: int | None = Field(
        None, gt=0, description="The most requests within any time of the length `per`; left out: no limit."
    )
    per: Duration = Field(timedelta(seconds=1), gt=timedelta(0), description="The period, such as `60s`.")
    burst: int = Field(1, ge=1, description="Requests that need not keep their distance; at most `requests`.")
    concurrency: int = Field(CONCURRENCY, ge=1, le=100, description="Requests under way at once.")
    budget: Budget | None = Field(None, description="A quota over a long period, such as a month.")
    group: GroupName | None = Field(
        None, description="Sources that name the same group share one limit, as those of one API key do."
    )
    park_after: Duration = Field(
        PARK_AFTER,
        le=timedelta(hours=1),
        description="The longest wait within a run; for a longer one the run ends and goes on by itself later.",
    )

    @model_validator(mode="after")
    def _of_something(self) -> RateLimit:
        for key in ("per", "burst"):
            if self.requests is None and key in self.model_fields_set:
                refuse("has no meaning without requests", at=(key,))
        if self.requests is not None and self.burst > self.requests:
            refuse("must not be larger than requests", at=("burst",))
        return self

    def differing(self, other: RateLimit) -> list[str]:
        """The keys in which two members of a group differ and must not."""
        return [key for key in _SHARED if getattr(self, key) != getattr(other, key)]


class Retry(Declaration):
    """How a request that failed for a passing reason is tried again: within base, 2 x base, 4 x base ..., by chance."""

    attempts: int = Field(5, ge=1, le=20, description="Attempts in all; 1 means that nothing is tried again.")
    base: Duration = Field(
        timedelta(seconds=1), le=timedelta(hours=1), description="The longest wait before the second attempt."
    )
    max: Duration = Field(
        timedelta(seconds=60), le=timedelta(days=1), description="The longest wait between two attempts."
    )
    total: Duration = Field(
        timedelta(minutes=10),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="No attempt begins later than this after the first one failed.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Retry:
        if self.max < self.base:
            refuse("must not be shorter than base", at=("max",))
        return self
