"""Where ingestion writes: a session per run, one transaction per batch, exactly once.

The transaction of a batch: write raw rows and dataset rows; then, after the batch before it, take the next place in the lease (a
process that lost its lease stops here), write rejects, move the checkpoint, add to the ledger. A batch sent again after its
answer was lost finds its place taken by itself and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from kasparro.core.cancelling import cancelled
from kasparro.core.database import Database
from kasparro.core.errors import (
    DatabasePaused,
    KeysTaken,
    LeaseLost,
    RecordRefused,
    RunInterrupted,
    StorageError,
)
from kasparro.schemas.ingest import (
    Absence,
    Batch,
    Cursor,
    Keyed,
    Notice,
    Place,
    RunCounters,
    RunId,
    RunStatus,
    SourceKind,
    SourceName,
    Stored,
    outcome,
)
from kasparro.storage import drift, leases, ledger, search_documents, snapshots, writes
from kasparro.storage.commit_order import CommitOrder
from kasparro.storage.entities import linking
from kasparro.storage.leases import Lease
from kasparro.storage.lookup import known, nothing_stored
from kasparro.storage.patience import Patience
from kasparro.storage.raw_tables import RAW_TABLES, RawTable
from kasparro.storage.refused import without_refused

log = structlog.get_logger(__name__)


class PlaceTaken(Exception):
    """The place of a batch was taken: by this very batch, whose answer was lost, or by another process.

    Rolls a transaction back, and goes no further.
    """


def require(had: bool) -> None:  # noqa: FBT001  # the answer of a question just asked
    """Go on only if the place can be, or was, *had*."""
    if not had:
        raise PlaceTaken


class PostgresSession:
    """See `ingestion.ports.IngestSession`."""

    def __init__(
        self,
        database: Database,
        table: RawTable,
        lease: Lease,
        patience: Patience,
        search: str | None = None,
    ) -> None:
        self._database = database
        self._table = table
        self._lease = lease
        self._search = search
        self._patience = patience
        self._counters = RunCounters()
        self._order = CommitOrder()
        self._nothing_stored = False
        self._rejects_open = True
        self._shape: bytes | None = None
        self._seeing: snapshots.Seeing | None = None
        self._bounds: snapshots.Bounds = ()
        self._withheld = False

    async def resume(self) -> Cursor | None:
        await search_documents.settle(self._database, self._search, self._patience)
        return await self._patience.with_(self._resume)

    async def _resume(self) -> Cursor | None:
        source = self._lease.source
        async with self._database.driver_transaction() as connection:
            token, committed = await leases.position(connection, self._lease)
            if token != self._lease.token:
                raise LeaseLost
            self._nothing_stored = await nothing_stored(connection, self._table, self._lease)
            self._rejects_open = await writes.rejects_open(connection, source)
            cursor, version = await writes.checkpoint(connection, source)
            self._shape = await drift.read_shape(connection, source)
        self._order = CommitOrder(committed, version)
        return cursor

    def shape(self) -> bytes | None:
        return self._shape

    async def known(self, records: Sequence[Keyed], *, payloads: bool = False) -> Stored:
        if self._nothing_stored:
            return dict.fromkeys(range(len(records)))
        if not records:
            return {}
        return await self._patience.with_(lambda: self._look_up(records, payloads=payloads))

    async def _look_up(self, records: Sequence[Keyed], *, payloads: bool) -> Stored:
        async with self._database.driver_transaction() as connection:
            return await known(connection, self._table, self._lease, records, payloads=payloads)

    def next_place(self) -> Place:
        return self._order.next_place()

    async def commit(self, place: Place, batch: Batch) -> RunCounters:
        version = self._order.version_at(place, changes=batch.changes)
        self._rejects_open = self._rejects_open or bool(batch.rejects)
        if self._seeing is not None:
            self._seeing.take(batch)
        try:
            counters = await self._patience.with_(lambda: self._commit(place, batch, version))
        except RecordRefused as refused:
            storable = await self._storable(batch, version, refused)
            counters = await self._patience.with_(lambda: self._commit(place, storable, version))
        await self._order.done(place)
        self._counters = counters
        return counters

    async def _storable(self, batch: Batch, version: int | None, refused: RecordRefused) -> Batch:
        """*batch* as the database takes it; raises `RecordRefused` naming the records it does not."""
        return await self._patience.with_(lambda: self._sift(batch, version, refused))

    async def _sift(self, batch: Batch, version: int | None, refused: RecordRefused) -> Batch:
        lease = self._lease
        async with self._database.driver_transaction() as connection:

            async def write(part: Batch) -> None:
                await writes.write_rows(connection, self._table, lease, part, version)
                await search_documents.write(connection, lease.source, self._search, part)
                await writes.quarantine(connection, lease.source, lease.run_id, part.rejects)

            return await without_refused(connection, write, batch, refused)

    async def _commit(self, place: Place, batch: Batch, version: int | None) -> RunCounters:
        try:
            return await self._write(place, batch, version)
        except (PlaceTaken, KeysTaken) as error:
            if (counters := await self._found_committed(place)) is not None:
                return counters
            if isinstance(error, PlaceTaken):
                raise LeaseLost from None
            self._nothing_stored = False
            raise

    async def _write(self, place: Place, batch: Batch, version: int | None) -> RunCounters:
        """One attempt: rows beside those of the batch before, then, when that one is committed, what makes them visible."""
        lease = self._lease
        async with self._database.driver_transaction() as connection:
            require(await leases.is_free(connection, lease, place))
            in_turn = partial(self._order.in_turn, place=place)
            await writes.write_rows(connection, self._table, lease, batch, version, in_turn)
            await search_documents.write(connection, lease.source, self._search, batch)
            await self._order.turn(place)
            require(await leases.advance(connection, lease, place))
            linked = await linking.link(connection, lease.source, batch.matchable)
            await writes.write_progress(connection, lease, batch, version, resolve=self._rejects_open)
            if self._seeing is not None:
                await snapshots.mark(connection, lease.source, batch)
            if batch.drift:
                await drift.write(connection, lease.source, lease.run_id, batch.drift)
            notices = [*batch.notices, *linked]
            if notices:
                await ledger.note(connection, lease.run_id, notices)
            return await ledger.count(connection, lease.source, lease.run_id, batch.counters)

    async def _found_committed(self, place: Place) -> RunCounters | None:
        """The counters, if this very batch is committed and only the answer was lost."""
        async with self._database.driver_transaction() as connection:
            if await leases.position(connection, self._lease) != (self._lease.token, place + 1):
                return None
            log.info("batch.found_committed", source=self._lease.source, batch=place + 1)
            return await ledger.counters(connection, self._lease.run_id)

    async def begin_snapshot(self, *, anew: bool) -> bool:
        return await self._patience.with_(lambda: self._begin_snapshot(anew=anew))

    async def _begin_snapshot(self, *, anew: bool) -> bool:
        """Marks of another run are no proof: a fetch that goes on from its checkpoint says nothing of what is absent."""
        async with self._database.driver_transaction() as connection:
            committed = await self._still_ours(connection)
            begins = anew or await snapshots.is_complete(connection, self._lease.source)
            if begins:
                await snapshots.forget(connection, self._lease.source)
        if begins:
            self._seeing, self._bounds = snapshots.Seeing(whole=True), ()
        elif self._seeing is None or self._bounds or not committed:
            self._seeing = snapshots.Seeing(whole=False)
        return begins

    async def absence(self) -> Absence:
        if (fault := self._fault()) is not None:
            return Absence(fault=fault)
        self._bounds = await self._patience.with_(self._find_bounds)
        more = bool(self._bounds)
        while more:
            more = await self._patience.with_(self._arrange)
        records = in_dataset = 0
        after: str | None = ""
        while after is not None:
            window = await self._window(after)
            records, in_dataset = records + len(window.absent), in_dataset + window.in_dataset
            after = window.last
        return Absence(records, in_dataset, await self._patience.with_(self._records))

    async def _find_bounds(self) -> snapshots.Bounds:
        async with self._database.driver_transaction() as connection:
            return await snapshots.bounds(connection, self._lease.source)

    async def _arrange(self) -> bool:
        """Marks that are no longer ours are let alone: those of another fetch may have other bounds."""
        async with self._database.driver_transaction() as connection:
            more = await snapshots.arrange(connection, self._lease.source, self._bounds)
            await self._still_ours(connection)
        return more

    async def _still_ours(self, connection: snapshots.Connection) -> int:
        """How many batches are committed; raises `LeaseLost`."""
        token, committed = await leases.position(connection, self._lease)
        if token != self._lease.token:
            raise LeaseLost
        return committed

    def _fault(self) -> str | None:
        if outcome(self._counters, None)[0] is RunStatus.FAILED:
            return "every record was rejected"
        return "nothing was kept of it" if self._seeing is None else self._seeing.fault

    async def _records(self) -> int:
        async with self._database.driver_transaction() as connection:
            return await snapshots.records(connection, self._lease.source)

    async def _window(self, after: str) -> snapshots.Window:
        async def read() -> snapshots.Window:
            async with self._database.driver_transaction() as connection:
                return await snapshots.window(
                    connection, self._table, self._lease.source, after, self._bounds
                )

        return await self._patience.with_(read)

    async def delete_absent(self, after: str) -> str | None:
        window = await self._window(after)
        if window.absent:
            place = self._order.next_place()
            version = self._order.version_at(place, changes=window.in_dataset > 0)
            self._counters = await self._patience.with_(lambda: self._bury(place, window, version))
            await self._order.done(place)
        return window.last

    async def _bury(self, place: Place, window: snapshots.Window, version: int | None) -> RunCounters:
        try:
            return await self._bury_once(place, window, version)
        except PlaceTaken:
            if (counters := await self._found_committed(place)) is None:
                raise LeaseLost from None
            return counters

    async def _bury_once(self, place: Place, window: snapshots.Window, version: int | None) -> RunCounters:
        lease = self._lease
        async with self._database.driver_transaction() as connection:
            require(await leases.advance(connection, lease, place))
            gone = await snapshots.bury(connection, lease.source, window.absent, version)
            await linking.unlink(connection, lease.source, window.absent)
            if version is not None:
                await writes.count_deleted(connection, lease.source, gone, version)
            return await ledger.count(connection, lease.source, lease.run_id, RunCounters(deleted=gone))

    async def withhold(self, notice: Notice) -> None:
        async def note() -> None:
            async with self._database.driver_transaction() as connection:
                await ledger.note(connection, self._lease.run_id, [notice])

        await self._patience.with_(note)
        self._withheld = True

    async def forget_seen(self) -> None:
        async def forget() -> None:
            async with self._database.driver_transaction() as connection:
                token, _ = await leases.position(connection, self._lease)
                if token == self._lease.token:
                    await snapshots.forget(connection, self._lease.source)

        await self._patience.with_(forget)

    async def finish(
        self, error: str | None, resume_at: datetime | None = None
    ) -> tuple[RunStatus, RunCounters]:
        try:
            return await self._patience.with_(lambda: self._end(error, resume_at))
        except (DatabasePaused, RunInterrupted) as away:
            # Asked to stop while nothing can be written: the run is closed by the next one, or by a worker.
            log.warning("run.left_open", source=self._lease.source, reason=str(away))
            return RunStatus.FAILED, self._counters

    async def _end(self, error: str | None, resume_at: datetime | None) -> tuple[RunStatus, RunCounters]:
        async with self._database.driver_transaction() as connection:
            if error is not None and resume_at is not None:
                return await ledger.park_run(connection, self._lease.run_id, error, resume_at)
            return await ledger.end_run(
                connection, self._lease.source, self._lease.run_id, error, withheld=self._withheld
            )

    async def stay_alive(self) -> None:
        """Renew the lease until cancelled. Without a database the lease may run out; the next batch finds out."""
        while True:
            await asyncio.sleep(self._lease.seconds / 3)
            try:
                async with self._database.driver_transaction() as connection:
                    if await leases.renew(connection, self._lease):
                        await connection.execute(ledger.HEARTBEAT, self._lease.parameters)
            except StorageError as error:
                log.warning("lease.not_renewed", source=self._lease.source, reason=str(error))


class PostgresIngestStore:
    """See `ingestion.ports.IngestStore`."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    @asynccontextmanager
    async def session(
        self,
        source: SourceName,
        kind: SourceKind,
        run_id: RunId,
        details: Mapping[str, Any],
        stop: asyncio.Event | None = None,
        search: str | None = None,
    ) -> AsyncIterator[PostgresSession]:
        patience = Patience(source, stop or asyncio.Event())
        lease = await patience.with_refused(lambda: self._begin(source, run_id, details))
        session = PostgresSession(self._database, RAW_TABLES[kind], lease, patience, search)
        heartbeat = asyncio.create_task(session.stay_alive(), name=f"lease of {source}")
        try:
            yield session
        finally:
            try:
                await cancelled(heartbeat)
            finally:
                await asyncio.shield(self._release(lease))

    async def _begin(self, source: SourceName, run_id: RunId, details: Mapping[str, Any]) -> Lease:
        async with self._database.driver_transaction() as connection:
            lease = await leases.take(connection, source, run_id, self._lease_seconds)
            await ledger.begin_run(connection, source, run_id, details)
        return lease

    async def _release(self, lease: Lease) -> None:
        try:
            async with self._database.driver_transaction() as connection:
                await leases.release(connection, lease)
        except StorageError as error:
            log.warning(
                "lease.not_released", source=lease.source, reason=str(error), ends_within_s=lease.seconds
            )
