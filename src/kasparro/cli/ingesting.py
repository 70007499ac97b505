"""Several sources at once, in the foreground: names in, how each went out. Used by `ingest`, `normalize` and `up`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from kasparro.core.errors import KasparroError
from kasparro.schemas.ingest import RunId, RunReport, RunStatus

log = structlog.get_logger(__name__)

CONCURRENCY: Final = 4
"""Sources at once: each has its own fetching, and the ingest pool its connections."""

Run = Callable[[str], Awaitable[RunReport]]
Needs = Callable[[str], Collection[str]]


def independent(source: str) -> Collection[str]:  # noqa: ARG001  # it needs no other
    return ()


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went with one source: a report, or why there was no run at all."""

    source: str
    report: RunReport | None
    error: KasparroError | None = None

    @property
    def failed(self) -> bool:
        return self.report is None or self.report.status is RunStatus.FAILED

    @property
    def message(self) -> str | None:
        return self.report.error if self.report else str(self.error)

    @property
    def code(self) -> str | None:
        if self.report:
            return self.report.error_code
        return self.error.code if self.error else None

    @property
    def run_id(self) -> RunId | None:
        return self.report.run_id if self.report else None


async def run_each(
    sources: Sequence[str], run: Run, stop: asyncio.Event, needs: Needs = independent
) -> list[Ended]:
    """Run each of *sources*, some at once, in the order given; none begins after *stop* is set, and those are left out.

    One that *needs* others of them begins when these have ended, however they ended: what they have stored is there. A source
    that cannot be run is a value, so that it does not end the others.
    """
    places = asyncio.Semaphore(CONCURRENCY)
    over = {source: asyncio.Event() for source in sources}

    async def one(source: str) -> Ended | None:
        for needed in needs(source):
            if needed in over:
                await over[needed].wait()
        try:
            async with places:
                return None if stop.is_set() else await _ended(source, run)
        finally:
            over[source].set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(source), name=f"ingest {source}") for source in sources]
    return [ended for task in tasks if (ended := task.result())]


async def _ended(source: str, run: Run) -> Ended:
    try:
        return Ended(source, await run(source))
    except KasparroError as error:
        return Ended(source, None, error)
    except (
        Exception
    ) as error:  # a task boundary: what is wrong with one source ends neither the others nor the API
        log.exception("ingest.defect", source=source)
        return Ended(source, None, KasparroError(f"a defect in Kasparro: {type(error).__name__}: {error}"))
