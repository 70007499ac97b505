"""The whole flow on one screen: a source's pages in, a report out.

    FETCH      source.pages -> hauls          (fetched ahead, bounded)
    STORE      identify, session.known        (new, changed, unchanged, by hash)
    NORMALIZE  prepare                        (pure: DataRecords and rejects)
    PERSIST    session.commit                 (one transaction: data, rejects, checkpoint, counters)
    MONITOR    observe                        (events; logs, progress and metrics read them)

STORE to PERSIST are in `lanes`: a batch is prepared while those before it are written.

`services.ingestion` calls `run_etl_with_backoff`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from kasparro.core.clock import monotonic
from kasparro.core.crowding import Crowding
from kasparro.core.errors import (
    DatabaseUnavailable,
    KasparroError,
    RunInterrupted,
    SourceParked,
    TransientSourceError,
)
from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.batching import Pace, hauls
from kasparro.ingestion.deleting import delete_absent
from kasparro.ingestion.lanes import Lanes
from kasparro.ingestion.ports import IngestSession, IngestStore, RunSession, Source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.run_thread import run_thread
from kasparro.schemas.events import (
    BatchCommitted,
    Noticed,
    Observer,
    PageFetched,
    RunEnded,
    RunStarted,
    unobserved,
)
from kasparro.schemas.ingest import (
    Cursor,
    Notice,
    NoticeCode,
    Page,
    RunCounters,
    RunId,
    RunReport,
    SourceKind,
    SourceName,
)

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 4
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""A source that asks for a longer rest than this ends the run; its checkpoint waits for the next one. Seconds."""

TRANSIENT: Final = (TransientSourceError, DatabaseUnavailable)

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """One run: what to fetch, how fast to commit, who asked and who watches."""

    run_id: RunId
    declaration: SourceDeclaration
    source: Source
    pace: Pace
    full: bool = False
    allow_deletions: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    observe: Observer = unobserved
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> SourceName:
        return self.declaration.name


async def run_etl(job: Job, session: IngestSession, recipe: Recipe, after: Cursor | None) -> None:
    """Move everything there is after *after* into the dataset, batch by batch.

    Raises what stopped it; whatever was committed stays, and the checkpoint says how far that is.
    """
    told = partial(tell, job, set())
    pages = observed(job, job.source.pages(after), told)

    def committed(counters: RunCounters) -> None:
        job.observe(BatchCommitted(job.name, job.run_id, counters))

    with run_thread():
        async with (
            aclosing(hauls(pages, after, job.pace, job.stop)) as batches,
            Lanes(session, recipe, committed, tell=told, crowded=Crowding()) as lanes,
        ):
            async for haul in batches:
                await lanes.take(haul)


async def run_etl_with_backoff(job: Job, store: IngestStore, sleep: Sleep = asyncio.sleep) -> RunReport:
    """One run under the source's lease. What is transient is tried again after 1, 2, 4 s (with jitter), from the checkpoint.

    Raises `LeaseHeld` before anything has happened; every other failure is in the report.
    """
    recipe = Recipe.of(job.declaration)
    return await run_under_lease(job, store, lambda session: attempts(job, session, recipe, sleep))


async def run_under_lease(
    job: Job, store: IngestStore, work: Callable[[RunSession], Awaitable[None]]
) -> RunReport:
    """Do *work* as a run: take the lease, open the run, close it however the work ends."""
    started = monotonic()
    kind = SourceKind.of(job.declaration.type)
    search = job.declaration.search_language
    async with store.session(job.name, kind, job.run_id, job.details, job.stop, search) as session:
        error = await failure(work(session), session)
        resume_at = error.resume_at if isinstance(error, SourceParked) else None
        status, counters = await session.finish(None if error is None else str(error), resume_at)
    report = RunReport(
        run_id=job.run_id,
        source=job.name,
        status=status,
        counters=counters,
        duration_ms=round((monotonic() - started) * 1000),
        error=None if error is None else str(error),
        error_code=None if error is None else error.code,
        resume_at=resume_at,
    )
    job.observe(RunEnded(report))
    return report


async def failure(work: Awaitable[None], session: IngestSession) -> KasparroError | None:
    """Do *work* and return what went wrong, if it is something we have a name for; close the run on anything else."""
    try:
        await work
    except KasparroError as error:
        return error
    except BaseException as error:
        message = str(RunInterrupted()) if isinstance(error, asyncio.CancelledError) else f"defect: {error!r}"
        await asyncio.shield(session.finish(message))
        raise
    return None


async def attempts(job: Job, session: RunSession, recipe: Recipe, sleep: Sleep) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await fetch(job, session, recipe, first=attempt == 1)
        except TRANSIENT as error:
            wait = backoff(attempt, error)
            if attempt == ATTEMPTS or wait > LONGEST_WAIT or was_tried_enough(error):
                raise
            log.warning(
                "run.retry",
                source=job.name,
                run_id=job.run_id,
                attempt=attempt,
                wait_s=wait,
                reason=str(error),
            )
            await sleep(wait)
    return None


async def fetch(job: Job, session: RunSession, recipe: Recipe, *, first: bool) -> None:
    """One attempt: everything there is, and what is no more."""
    after = await start(job, session, first=first)
    await run_etl(job, session, recipe.following(session.shape()), after)
    if job.declaration.snapshot:
        told = partial(tell, job, set())
        await delete_absent(job.name, session, job.stop, told, allowed=job.allow_deletions)


async def start(job: Job, session: RunSession, *, first: bool) -> Cursor | None:
    """Where this attempt begins. A full run ignores the checkpoint it finds, not the one it has made itself."""
    found = await session.resume()  # always: it also tells the session which dataset version it goes on from
    after = None if job.full and first else found
    if job.declaration.snapshot and await session.begin_snapshot(anew=after is None):
        after = None
    job.observe(RunStarted(job.name, job.run_id, resumed=after is not None))
    return after


def was_tried_enough(error: KasparroError) -> bool:
    return isinstance(error, TransientSourceError) and error.tried_enough


def backoff(attempt: int, error: KasparroError) -> float:
    """Seconds before the next attempt: 1, 2, 4 with up to 25 % jitter; never less than the source asks for."""
    asked = (error.retry_after or 0.0) if isinstance(error, TransientSourceError) else 0.0
    return max(asked, FIRST_WAIT * 2.0 ** (attempt - 1) * random.uniform(1.0, 1.25))  # noqa: S311  # jitter, not a secret


async def observed(
    job: Job, pages: AsyncGenerator[Page], told: Callable[[Notice], None]
) -> AsyncGenerator[Page]:
    """Pass the pages on, telling the observer of each and of its notices."""
    async with aclosing(pages):
        async for page in pages:
            found = len(page.records) + len(page.rejects) + page.unchanged
            job.observe(PageFetched(job.name, found, page.size, page.total, page.total_size))
            for notice in page.notices:
                told(notice)
            yield page


def tell(job: Job, before: set[NoticeCode], notice: Notice) -> None:
    """Log what is said for the first time, since *before*, in a way that is seen; tell the observer of all."""
    write = log.debug if notice.code in before else log.warning
    before.add(notice.code)
    write(
        "source.notice",
        source=job.name,
        run_id=job.run_id,
        code=notice.code.value,
        reason=notice.message,
        details=dict(notice.details),
    )
    job.observe(Noticed(job.name, job.run_id, notice))
