"""All raw records of a source again, under today's map, without fetching: stored raw in, the dataset mended.

`services.ingestion` calls `replay`. A record whose DataRecord comes out the same writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from kasparro.core.errors import RunInterrupted
from kasparro.ingestion.ports import IngestSession
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.runner import Job
from kasparro.schemas.events import BatchCommitted
from kasparro.schemas.ingest import Batch, Keyed, Landed, Reject, RunCounters, SourceKind, SourceName


class RawArchive(Protocol):
    """The raw records of a source, as stored."""

    async def read(
        self, kind: SourceKind, source: SourceName, after: int, limit: int
    ) -> Sequence[tuple[int, Keyed]]:
        """Up to *limit* records with ids after *after*, in the order they were first stored."""
        ...

    async def differing(self, source: SourceName, landed: Sequence[Landed]) -> Mapping[str, bool]:
        """The external ids whose record in the dataset differs from the one given, or (then false) is missing."""
        ...


async def replay(job: Job, session: IngestSession, archive: RawArchive, recipe: Recipe) -> None:
    """Normalise everything stored, batch by batch. Raises what stopped it; committed batches stay."""
    kind = SourceKind.of(job.declaration.type)
    await session.resume()
    recipe = recipe.following(session.shape())
    last = 0
    while rows := await archive.read(kind, job.name, last, job.pace.records):
        last = rows[-1][0]
        outcomes = await asyncio.to_thread(recipe.normalise, [keyed for _, keyed in rows])
        landed = [outcome for outcome in outcomes if isinstance(outcome, Landed)]
        differing = await archive.differing(job.name, landed)
        batch = replace(replayed(rows, outcomes, differing), matchable=recipe.match(landed))
        counters = await session.commit(session.next_place(), batch)
        job.observe(BatchCommitted(job.name, job.run_id, counters))
        if job.stop.is_set():
            raise RunInterrupted


def replayed(
    rows: Sequence[tuple[int, Keyed]],
    outcomes: Sequence[Landed | Reject],
    differing: Mapping[str, bool],
) -> Batch:
    changed: list[Landed] = []
    rejects: list[Reject] = []
    inserted = updated = unchanged = 0
    for (_, keyed), outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, Reject):
            rejects.append(outcome)
            changed.append(Landed(keyed, None))
        elif keyed.external_id in differing:
            changed.append(outcome)
            stored = differing[keyed.external_id]
            inserted, updated = inserted + (not stored), updated + stored
        else:
            unchanged += 1
    return Batch(
        changed=changed,
        rejects=rejects,
        counters=RunCounters(inserted, updated, unchanged, len(rejects)),
        replay=True,
    )
