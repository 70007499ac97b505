"""What a run would do, done up to the writing: fetched, identified, normalised, compared with what is stored, and counted.

It is the flow of a real run (`ingestion.runner.run_etl`) under a session that writes nothing: no lease, no run, no checkpoint.
What it cannot foretell is what only PostgreSQL would refuse.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from kasparro.core.clock import monotonic
from kasparro.core.errors import KasparroError, SourceParked
from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.batching import Pace
from kasparro.ingestion.deleting import withheld
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities, Source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.runner import Job, run_etl
from kasparro.schemas.drift import Drift
from kasparro.schemas.events import Observer, RunEnded, RunStarted, unobserved
from kasparro.schemas.ingest import (
    Absence,
    Batch,
    Cursor,
    Keyed,
    Known,
    Page,
    Place,
    Reject,
    RunCounters,
    RunReport,
    RunStatus,
    SourceKind,
    SourceName,
    Stored,
    new_run_id,
    outcome,
)
from kasparro.services.seen import Seen
from kasparro.storage.snapshots import Seeing, shown


class StoredData(Protocol):
    """What is stored of a source, to be looked at."""

    async def cursor(self, source: SourceName) -> Cursor | None: ...

    async def complete(self, source: SourceName) -> bool:
        """Whether the last fetch saw the end."""
        ...

    async def keys(self, source: SourceName, after: str) -> Sequence[str]:
        """Some keys of its records in the dataset behind *after*, in their order; none: there are no more."""
        ...

    async def known(
        self, source: SourceName, kind: SourceKind, records: Sequence[Keyed], *, payloads: bool = False
    ) -> Stored:
        """As `ingestion.ports.IngestSession.known`."""
        ...

    async def shape(self, source: SourceName) -> bytes | None:
        """The accepted shape of its records, if one was learned."""
        ...


class NothingStored:
    """What is stored where there is no database yet."""

    async def cursor(self, source: SourceName) -> Cursor | None:  # noqa: ARG002  # as the protocol has it
        return None

    async def complete(self, source: SourceName) -> bool:  # noqa: ARG002  # likewise
        return False

    async def keys(self, source: SourceName, after: str) -> Sequence[str]:  # noqa: ARG002  # likewise
        return ()

    async def known(
        self,
        source: SourceName,  # noqa: ARG002  # likewise
        kind: SourceKind,  # noqa: ARG002  # likewise
        records: Sequence[Keyed],
        *,
        payloads: bool = False,  # noqa: ARG002  # likewise
    ) -> Stored:
        return dict.fromkeys(range(len(records)))

    async def shape(self, source: SourceName) -> bytes | None:  # noqa: ARG002  # likewise
        return None


@dataclass(frozen=True, slots=True)
class Ask:
    """How a dry run is asked for: from the checkpoint unless *full*, at most *limit* records; see `Job` for *allow_deletions*."""

    full: bool = False
    limit: int | None = None
    observe: Observer = unobserved
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    allow_deletions: bool = False


@dataclass(slots=True)
class RejectTally:
    """Rejects for one reason: how many, and the first of them."""

    records: int
    example: Reject


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do. `resumed`: from the checkpoint; `limited`: there is more than the limit let through.

    `would_delete`: how many records would leave the dataset, of a `snapshot` source whose fetch came to its end; `withheld`: why
    none would, though some may be gone. `drifts`: how the records differ from the accepted shape; `compared`: there is one.
    """

    report: RunReport
    rejects: Mapping[str, RejectTally]
    drifts: Sequence[Drift]
    compared: bool
    resumed: bool
    limited: bool
    would_delete: int | None = None
    withheld: str | None = None


async def dry_run(
    declaration: SourceDeclaration,
    stored: StoredData,
    pace: Pace,
    ask: Ask,
    facilities: Facilities | None = None,
) -> DryRun:
    """Do everything but write. A source that fails is a failed report, not an exception."""
    started = monotonic()
    source = _Limited(open_source(declaration, pace.records, facilities), ask.limit)
    run_id = new_run_id(declaration.name)
    job = Job(run_id, declaration, source, pace, ask.full, observe=ask.observe, stop=ask.stop)
    error: KasparroError | None = None
    with closing(Seen()) as seen:
        session = DrySession(job.name, SourceKind.of(declaration.type), stored, seen)
        found = await session.resume()
        after = None if ask.full else found
        if declaration.snapshot and await session.begin_snapshot(anew=after is None):
            after = None
        ask.observe(RunStarted(job.name, run_id, resumed=after is not None))
        try:
            await run_etl(job, session, Recipe.of(declaration).following(session.shape()), after)
        except KasparroError as failed:
            error = failed
        resume_at = error.resume_at if isinstance(error, SourceParked) else None
        status, counters = await session.finish(None if error is None else str(error), resume_at)
        ended = error is None and status is not RunStatus.FAILED and not source.limited
        absence = await session.absence() if declaration.snapshot and ended else None
    notice = None if absence is None else withheld(absence, job.name, allowed=ask.allow_deletions)
    report = RunReport(
        run_id=run_id,
        source=job.name,
        status=status,
        counters=counters,
        duration_ms=round((monotonic() - started) * 1000),
        error=None if error is None else str(error),
        error_code=None if error is None else error.code,
        resume_at=resume_at,
    )
    ask.observe(RunEnded(report))
    return DryRun(
        report,
        session.rejects,
        session.drifts,
        compared=session.shape() is not None,
        resumed=after is not None,
        limited=source.limited,
        would_delete=None if absence is None else 0 if notice else absence.in_dataset,
        withheld=None if notice is None else notice.message,
    )


class _Limited:
    """The source, cut off after *limit* records."""

    def __init__(self, source: Source, limit: int | None) -> None:
        self.limited = False
        self._source = source
        self._limit = limit

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        left = self._limit
        async with aclosing(self._source.pages(after)) as pages:
            async for page in pages:
                if left is None:
                    yield page
                    continue
                size = len(page.records) + len(page.rejects)
                yield (
                    page
                    if size <= left
                    else replace(
                        page,
                        records=page.records[:left],
                        rejects=page.rejects[: max(0, left - len(page.records))],
                    )
                )
                left = max(0, left - size)
                if not left:
                    self.limited = True
                    return


class DrySession:
    """See `ingestion.ports.IngestSession`: the same answers, and nothing written."""

    def __init__(self, source: SourceName, kind: SourceKind, stored: StoredData, seen: Seen) -> None:
        self.rejects: dict[str, RejectTally] = {}
        self.drifts: list[Drift] = []
        self._shape: bytes | None = None
        self._source = source
        self._kind = kind
        self._stored = stored
        self._seen = seen
        self._counters = RunCounters()
        self._places = itertools.count()
        self._seeing: Seeing | None = None

    async def resume(self) -> Cursor | None:
        self._shape = await self._stored.shape(self._source)
        return await self._stored.cursor(self._source)

    def shape(self) -> bytes | None:
        return self._shape

    async def known(self, records: Sequence[Keyed], *, payloads: bool = False) -> Stored:
        """What the run would find: what is stored, and over it what it would have written by now."""
        stored = await self._stored.known(self._source, self._kind, records, payloads=payloads)
        marks = await asyncio.to_thread(self._seen.marks, [one.external_id for one in records])
        return {**stored} | {
            at: Known(
                mark.payload_hash, mark.processed, mark.processed or _in_dataset(stored, at), this_run=True
            )
            for at, mark in marks.items()
        }

    async def begin_snapshot(self, *, anew: bool) -> bool:
        """As `ingestion.ports.RunSession`."""
        begins = anew or await self._stored.complete(self._source)
        self._seeing = Seeing(whole=begins)
        return begins

    async def absence(self) -> Absence:
        """What the fetch, now at its end, has not shown of the dataset."""
        if self._seeing is not None and self._seeing.fault is not None:
            return Absence(fault=self._seeing.fault)
        absent = stored = 0
        after = ""
        while keys := await self._stored.keys(self._source, after):
            absent += await asyncio.to_thread(self._seen.absent, keys)
            stored, after = stored + len(keys), keys[-1]
        return Absence(absent, absent, stored)

    def next_place(self) -> Place:
        return Place(next(self._places))

    async def commit(self, place: Place, batch: Batch) -> RunCounters:  # noqa: ARG002  # places are for those who write
        await asyncio.to_thread(self._seen.note, [*batch.new, *batch.changed])
        if self._seeing is not None:
            self._seeing.take(batch)
            await asyncio.to_thread(self._seen.show, shown(batch))
        self.drifts += batch.drift.drifts
        for reject in batch.rejects:
            tally = self.rejects.setdefault(reject.reason.value, RejectTally(0, reject))
            tally.records += 1
        self._counters += batch.counters
        return self._counters

    async def finish(
        self, error: str | None, resume_at: datetime | None = None
    ) -> tuple[RunStatus, RunCounters]:
        status, _ = outcome(self._counters, error)
        return status if resume_at is None else RunStatus.PARTIAL, self._counters


def _in_dataset(stored: Stored, at: int) -> bool:
    """A record that the look-up does not mention is stored as it is, in the dataset too."""
    if at not in stored:
        return True
    known = stored[at]
    return known is not None and known.in_dataset
