"""Run events in, something to look at out: progress bars on a terminal, log lines everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, assert_never

import structlog
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import ProgressColumn as Part
from rich.text import Text

from kasparro.schemas.events import (
    BatchCommitted,
    Noticed,
    Observer,
    PageFetched,
    RunEnded,
    RunEvent,
    RunStarted,
)
from kasparro.schemas.ingest import RunReport, RunStatus

log = structlog.get_logger(__name__)

STYLES = {RunStatus.SUCCESS: "green", RunStatus.PARTIAL: "yellow", RunStatus.FAILED: "red"}


@contextmanager
def progress(sources: Sequence[str]) -> Iterator[Observer]:
    """Show how the runs of *sources* go on for as long as the block lasts, on stderr."""
    if not sys.stderr.isatty():
        yield log_event
        return
    with Bars(sources) as bars:
        yield bars.show


def log_event(event: RunEvent) -> None:
    """One line for each thing that a reader of the log asks about later."""
    match event:
        case RunStarted():
            log.info("run.started", source=event.source, run_id=event.run_id, resumed=event.resumed)
        case PageFetched():
            log.debug("page.fetched", source=event.source, records=event.records, bytes=event.size)
        case Noticed():
            pass  # the runner has logged it
        case BatchCommitted():
            log.debug(
                "batch.committed", source=event.source, run_id=event.run_id, **event.counters.as_columns()
            )
        case RunEnded():
            _log_end(event.report)
        case _:
            assert_never(event)


def _log_end(report: RunReport) -> None:
    write = log.error if report.status is RunStatus.FAILED else log.info
    facts: dict[str, Any] = {
        "source": report.source,
        "run_id": report.run_id,
        "status": report.status.value,
        "duration_ms": report.duration_ms,
        **report.counters.as_columns(),
    }
    if report.error is not None:
        facts |= {"code": report.error_code, "reason": report.error}
    write("run.ended", **facts)


class Bars:
    """A line for each source: records, records a second, bytes, and the time left where the source tells its total."""

    def __init__(self, sources: Sequence[str], console: Console | None = None) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            Records(),
            Bytes(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[state]}"),
            console=console or Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {
            name: self._progress.add_task(name, total=None, start=False, state="waiting", bytes=0)
            for name in sources
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case PageFetched():
                self._advance(event)
            case Noticed():
                pass  # the log has it
            case BatchCommitted():
                self._update(event.source, state=f"{event.counters.processed:,} committed")
            case RunEnded():
                self._end(event.report)
            case _:
                assert_never(event)

    def _begin(self, event: RunStarted) -> None:
        self._progress.start_task(self._tasks[event.source])
        self._update(event.source, state="resuming" if event.resumed else "fetching")

    def _advance(self, event: PageFetched) -> None:
        task = self._task(event.source)
        self._update(
            event.source,
            completed=task.completed + event.records,
            total=event.total if event.total is not None else self._estimate(task, event),
            bytes=task.fields["bytes"] + event.size,
        )

    def _estimate(self, task: Task, event: PageFetched) -> float | None:
        """The records there will be, if the rest of the bytes holds as many as those that came."""
        received: int = task.fields["bytes"] + event.size
        if not event.total_size or not received:
            return None
        return (task.completed + event.records) * max(event.total_size / received, 1.0)

    def _end(self, report: RunReport) -> None:
        task = self._task(report.source)
        self._update(
            report.source,
            total=max(task.completed, 1),
            completed=max(task.completed, 1) if report.status is not RunStatus.FAILED else task.completed,
            state=f"[{STYLES[report.status]}]{report.status.value}",
        )
        self._progress.stop_task(task.id)

    def _task(self, source: str) -> Task:
        return next(task for task in self._progress.tasks if task.id == self._tasks[source])

    def _update(self, source: str, **changes: Any) -> None:
        self._progress.update(self._tasks[source], **changes)


class Records(Part):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = f" {speed:,.0f}/s" if speed else ""
        return Text(f"{task.completed:,.0f} records{rate}", style="cyan")


class Bytes(Part):
    def render(self, task: Task) -> Text:
        return Text(decimal(int(task.fields["bytes"])), style="dim")
