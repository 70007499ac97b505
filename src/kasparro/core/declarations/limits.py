"""How hard a source may be asked: `rate_limit` and `retry`."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field, model_validator

from kasparro.core.declarations.base import Declaration, refuse
from kasparro.core.durations import Duration, Period

CONCURRENCY: Final = 4
"""Requests under way at once where nothing is declared: enough to hide the latency of a page, few enough to be polite."""


class Budget(Declaration):
    """A quota over a long period, kept across runs and processes."""

    requests: int = Field(gt=0, description="Requests in one period.")
    per: Period = Field(
        description="The period: `hour`, `day`, `month` (calendar, UTC), or a length of time."
    )


class RateLimit(Declaration):
    """The most a source may be asked."""

    requests: int | None = Field(None, gt=0, description="Requests in one period; left out: no limit.")
    per: Duration = Field(timedelta(seconds=1), gt=timedelta(0), description="The period, such as `60s`.")
    concurrency: int = Field(CONCURRENCY, ge=1, le=100, description="Requests under way at once.")
    budget: Budget | None = Field(None, description="A quota over a long period, such as a month.")

    @model_validator(mode="after")
    def _of_something(self) -> RateLimit:
        if self.requests is None and "per" in self.model_fields_set:
            refuse("has no meaning without requests", at=("per",))
        return self


class Retry(Declaration):
    """How a request that failed for a passing reason is tried again: after base, 2 x base, 4 x base ... with jitter."""

    attempts: int = Field(5, ge=1, le=20, description="Attempts in all; 1 means that nothing is tried again.")
    base: Duration = Field(
        timedelta(seconds=1), le=timedelta(hours=1), description="The wait before the second attempt."
    )
    max: Duration = Field(
        timedelta(seconds=60), le=timedelta(days=1), description="The longest wait between two attempts."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Retry:
        if self.max < self.base:
            refuse("must not be shorter than base", at=("max",))
        return self
