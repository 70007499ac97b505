"""What ingestion needs of the outside: a source to read from and a store to write to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from kasparro.schemas.ingest import (
    Batch,
    Cursor,
    Known,
    Page,
    RunCounters,
    RunId,
    RunStatus,
    SourceKind,
    SourceName,
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

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Known]:
        """What is stored under these ids; ids never seen are absent."""
        ...

    async def commit(self, batch: Batch) -> RunCounters:
        """Write all of *batch* or nothing, exactly once, and return the run's counters so far.

        Outages shorter than a minute are waited out, and a batch whose answer was lost is looked up, never sent twice.
        Raises `LeaseLost` when another process has taken over, `RecordRefused` naming the records the database refuses.
        """
        ...

    async def finish(self, error: str | None) -> tuple[RunStatus, RunCounters]:
        """Close the run, failed if there is an *error*, and return how it stands in the ledger."""
        ...


class IngestStore(Protocol):
    """Hands out sessions: one writer per source, enforced by the database."""

    def session(
        self, source: SourceName, kind: SourceKind, run_id: RunId, details: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[IngestSession]:
        """Take the lease of *source* and open run *run_id*. Raises `LeaseHeld` when somebody else has it."""
        ...
