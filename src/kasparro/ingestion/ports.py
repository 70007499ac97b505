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

    @property
    def cursor(self) -> Cursor | None:
        """Where the last committed batch of this source ended."""
        ...

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Known]:
        """What is stored under these ids; ids never seen are absent."""
        ...

    async def commit(self, batch: Batch) -> RunCounters:
        """Write all of *batch* or nothing, exactly once, and return the run's counters so far.

        Safe to call again with the same batch after a `DatabaseUnavailable`: a batch that did arrive is recognised.
        Raises `LeaseLost` when another process has taken over.
        """
        ...

    async def finish(self, status: RunStatus, error: str | None, details: Mapping[str, Any]) -> RunCounters:
        """Close the run."""
        ...


class IngestStore(Protocol):
    """Hands out sessions: one writer per source, enforced by the database."""

    def session(
        self, source: SourceName, kind: SourceKind, run_id: RunId, details: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[IngestSession]:
        """Take the lease of *source* and open run *run_id*. Raises `LeaseHeld` when somebody else has it."""
        ...
