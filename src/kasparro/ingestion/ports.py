"""What ingestion needs of the outside: a source to read from, a store to write to, and what sources share with others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kasparro.schemas.ingest import (
    Absence,
    Batch,
    Cursor,
    Keyed,
    Notice,
    Page,
    ParentRecord,
    Place,
    RunCounters,
    RunId,
    RunStatus,
    SourceKind,
    SourceName,
    Stored,
)
from kasparro.schemas.limits import Blocked, Policy, Start


class Source(Protocol):
    """A place to read records from."""

    def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        """Yield what there is after *after* (`None`: from the beginning); end when there is nothing more for now.

        The generator may be closed after any page, and must then let go of its connections and files.
        Raises the `SourceError` family, and `DatabaseUnavailable` where limits are kept in a database.
        """
        ...


class IngestSession(Protocol):
    """The right to write for one source during one run. Ends when its context does."""

    async def resume(self) -> Cursor | None:
        """Where the last committed batch of this source ended, as the database has it now."""
        ...

    def shape(self) -> bytes | None:
        """The accepted shape of the source's records as `resume` found it; see `ingestion.drift`."""
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

    async def finish(
        self, error: str | None, resume_at: datetime | None = None
    ) -> tuple[RunStatus, RunCounters]:
        """Close the run and return how it stands in the ledger: failed if there is an *error*, or parked until *resume_at*."""
        ...


class RunSession(IngestSession, Protocol):
    """The same for a fetch that may delete what it does not show: a source with `snapshot`."""

    async def begin_snapshot(self, *, anew: bool) -> bool:
        """From now on keep which records are there; called after `resume`. Say whether the fetch has to begin from the beginning:
        it does where it is to begin *anew*, and where the last one saw the end.
        """
        ...

    async def absence(self) -> Absence:
        """What the fetch, now at its end, has not shown."""
        ...

    async def delete_absent(self, after: str) -> str | None:
        """Delete what is absent of the next stored keys behind *after*, in one transaction; the last of these keys, or `None`."""
        ...

    async def withhold(self, notice: Notice) -> None:
        """Say in the ledger why nothing was deleted; the run ends partial."""
        ...

    async def forget_seen(self) -> None:
        """The marks of what was seen have served."""
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
    ) -> AbstractAsyncContextManager[RunSession]:
        """Take the lease of *source* and open run *run_id*. Raises `LeaseHeld` when somebody else has it.

        Setting *stop* ends every wait for the database. *search* is the language in which the records can be searched.
        """
        ...


class Limits(Protocol):
    """How often sources may be asked. Whoever asks the same source, or one of the same group, shares them."""

    async def turn(self, policy: Policy) -> Blocked | None:
        """Count one request, which may be sent at once; or say why not now, and until when, and count nothing."""
        ...

    async def look(self, policy: Policy) -> Start:
        """Whether a run may begin. Changes nothing."""
        ...

    async def begin(self, policy: Policy) -> Start:
        """The same for one that is about to: of several only one is the probe after a rest for failures."""
        ...

    async def rest(self, policy: Policy, seconds: float) -> datetime:
        """Nobody may ask for so many *seconds* from now; a longer rest that is on stays. Returns its end."""
        ...

    async def succeeded(self, policy: Policy) -> None:
        """The source delivers: failures are counted anew."""
        ...

    async def failed(self, policy: Policy, code: str) -> Start:
        """The source did not deliver, for the passing reason *code*. Returns what follows from it."""
        ...

    async def forget(self, policy: Policy) -> None:
        """Forget failures and rests, for an operator who knows better. What is counted stays."""
        ...


class Parents(Protocol):
    """The records of a source, for those that are asked once for each of them: what is in the dataset and not deleted."""

    async def version(self, source: SourceName) -> int:
        """The dataset version of *source*: what changes from now on has a greater one."""
        ...

    async def read(
        self, source: SourceName, after: str | None, limit: int, since: int | None = None
    ) -> Sequence[ParentRecord]:
        """Up to *limit* records with keys after *after*, in the order of their keys; of those changed after version *since*."""
        ...

    async def one(self, source: SourceName, key: str) -> ParentRecord | None:
        """The record with this key; `None` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Facilities:
    """What sources share with others, beyond their declaration."""

    parents: Parents | None = None
    limits: Limits | None = None
    """Where there are none, those that are declared hold for this process alone."""
