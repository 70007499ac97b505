"""What ingestion needs of the outside: a source to read from and a store to write to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from kasparro.schemas.ingest import (
    Batch,
    Cursor,
    Keyed,
    Page,
    Place,
    RunCounters,
    RunId,
    RunStatus,
    SourceKind,
    SourceName,
    Stored,
)


class Source(Protocol):
    """A place to read records from."""

    def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        """Yield what there is after *after* (`None`: from the beginning); end when there is nothing more for now.

        The generator may be closed after any page, and must then let go of its connections and files.
        Raises the `SourceError` family only.
        """
        ...


class IngestSession(Protocol):
    """The right to write for one source during one run. Ends when its context does."""

    async def resume(self) -> Cursor | None:
        """Where the last committed batch of this source ended, as the database has it now."""
        ...

    async def known(self, records: Sequence[Keyed], *, payloads: bool = False) -> Stored:
        """What is stored of *records*, as far as it is not the very same. No batch under way may hold one of their keys.

        *payloads*: with the texts that are stored, where they differ.

        Where a source has nothing stored yet, that is said of all of them without a look; `commit` will notice.
        """
        ...

    def next_place(self) -> Place:
        """The place of the next batch; every place must be committed, in as many attempts as it takes."""
        ...

    async def commit(self, place: Place, batch: Batch) -> RunCounters:
        """Write all of *batch* or nothing, exactly once, and return the run's counters so far.

        Batches may be under way together; each becomes visible after the one with the place before.
        Outages shorter than a minute are waited out, a full or read-only database for as long as it takes, and a batch whose
        answer was lost is looked up, never sent twice. Raises `LeaseLost` when another process has taken over, `RunInterrupted`
        when told to stop while waiting, `RecordRefused` naming the records the database refuses, `KeysTaken` when a record
        taken for new is stored already: `known` says which. After these last two the place is still free.
        """
        ...

    async def finish(self, error: str | None) -> tuple[RunStatus, RunCounters]:
        """Close the run, failed if there is an *error*, and return how it stands in the ledger."""
        ...


class IngestStore(Protocol):
    """Hands out sessions: one writer per source, enforced by the database."""

    def session(
        self,
        source: SourceName,
        kind: SourceKind,
        run_id: RunId,
        details: Mapping[str, Any],
        stop: asyncio.Event | None = None,
        search: str | None = None,
    ) -> AbstractAsyncContextManager[IngestSession]:
        """Take the lease of *source* and open run *run_id*. Raises `LeaseHeld` when somebody else has it.

        Setting *stop* ends every wait for the database. *search* is the language in which the records can be searched.
        """
        ...
