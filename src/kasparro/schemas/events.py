"""What happens during a run, as values. Logs, progress bars and metrics interpret them; the runner only reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kasparro.schemas.ingest import Notice, RunCounters, RunId, RunReport, SourceName


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The lease is taken; `resumed` says whether the run goes on after an earlier one's checkpoint."""

    source: SourceName
    run_id: RunId
    resumed: bool


@dataclass(frozen=True, slots=True)
class PageFetched:
    """A page arrived: so many records and bytes; totals where the source tells."""

    source: SourceName
    records: int
    size: int
    total: int | None
    total_size: int | None


@dataclass(frozen=True, slots=True)
class Noticed:
    """A source said, or showed, something that an operator should know."""

    source: SourceName
    run_id: RunId
    notice: Notice


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """A batch is in the database; `counters` are the run's so far."""

    source: SourceName
    run_id: RunId
    counters: RunCounters


@dataclass(frozen=True, slots=True)
class RunEnded:
    report: RunReport


RunEvent = RunStarted | PageFetched | Noticed | BatchCommitted | RunEnded
Observer = Callable[[RunEvent], None]


def unobserved(_event: RunEvent) -> None:
    """The observer of those who do not look."""
