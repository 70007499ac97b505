"""The steps of a check, as values: what was looked at, how it went, what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from kasparro.core.clock import monotonic
from kasparro.core.errors import KasparroError


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `hint` says what to do unless all is well, `milliseconds` how long it took where that tells something.

    `error` is what a failed step failed with, where the product itself raised it.
    """

    step: str
    outcome: Outcome
    detail: str
    hint: str | None = None
    milliseconds: int | None = None
    error: KasparroError | None = None


def failed(step: str, error: KasparroError, milliseconds: int | None = None) -> Step:
    return Step(step, Outcome.FAIL, error.message, error.hint, milliseconds, error)


def stopwatch() -> Callable[[], int]:
    """Milliseconds since now."""
    started = monotonic()
    return lambda: round((monotonic() - started) * 1000)
