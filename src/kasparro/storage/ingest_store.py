"""Where ingestion writes: a session per run, one transaction per batch, exactly once.

The transaction of a batch: take the next place in the lease (a process that lost its lease stops here), write raw rows,
dataset rows and rejects, move the checkpoint, add to the ledger. A batch sent again after its answer was lost finds its place
taken by itself and changes nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import structlog
from psycopg import sql

from kasparro.core.database import Database
from kasparro.core.errors import DatabaseUnavailable, LeaseLost, RecordRefused, StorageError
from kasparro.schemas.ingest import (
    Batch,
    Cursor,
    Known,
    RunCounters,
    RunId,
    RunStatus,
    SourceKind,
    SourceName,
)
from kasparro.storage import leases, ledger
from kasparro.storage.leases import Lease
from kasparro.storage.raw_tables import RAW_TABLES, RawTable
from kasparro.storage.refused import refused
from kasparro.storage.writes import write_batch

log = structlog.get_logger(__name__)

Outcome = TypeVar("Outcome")

COMMIT_WAITS: Final = (0.2, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0)
"""Seconds between the attempts to commit one batch while the database is away."""

KNOWN = """
SELECT u.id, r.payload_hash, r.processed, r.processed OR EXISTS (
           SELECT 1 FROM normalized_data n WHERE n.source = %(source)s AND n.source_id = u.id
       ), r.run_id = %(run_id)s
FROM unnest(%(ids)s::text[]) AS u (id)
JOIN LATERAL (
    SELECT payload_hash, processed, run_id FROM {table} WHERE source = %(source)s AND external_id = u.id LIMIT 1
) r ON true
"""


class PostgresSession:
    """See `ingestion.ports.IngestSession`."""

    def __init__(self, database: Database, table: RawTable, lease: Lease) -> None:
        self._database = database
        self._table = table
        self._lease = lease
        self._batch_seq = 0
        self._known = sql.SQL(KNOWN).format(table=sql.Identifier(table.name))

    async def resume(self) -> Cursor | None:
        async with self._database.driver_transaction() as connection:
            token, self._batch_seq = await leases.position(connection, self._lease)
            if token != self._lease.token:
                raise LeaseLost
            statement = "SELECT cursor FROM etl_checkpoint WHERE source = %s"
            row = await (await connection.execute(statement, (self._lease.source,))).fetchone()
            return row[0] if row else None

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Known]:
        if not external_ids:
            return {}
        parameters = {"source": self._lease.source, "run_id": self._lease.run_id, "ids": external_ids}
        async with self._database.driver_transaction() as connection:
            rows = await (await connection.execute(self._known, parameters)).fetchall()
        return {row[0]: Known(*row[1:]) for row in rows}

    async def commit(self, batch: Batch) -> RunCounters:
        try:
            return await patiently(lambda: self._commit(batch))
        except RecordRefused as error:
            async with self._database.driver_transaction() as connection:
                records = await refused(connection, [*batch.new, *batch.changed])
            raise RecordRefused(error.message, records=records) from error

    async def _commit(self, batch: Batch) -> RunCounters:
        lease = self._lease
        async with self._database.driver_transaction() as connection:
            if not await leases.advance(connection, lease, self._batch_seq):
                counters = await self._already_committed(connection)
            else:
                await write_batch(connection, self._table, lease.source, lease.run_id, batch)
                counters = await ledger.count(connection, lease.source, lease.run_id, batch.counters)
        self._batch_seq += 1
        return counters

    async def _already_committed(self, connection: Any) -> RunCounters:
        """The place is taken: by this batch, whose answer was lost, or by another process."""
        if await leases.position(connection, self._lease) != (self._lease.token, self._batch_seq + 1):
            raise LeaseLost
        log.info("batch.found_committed", source=self._lease.source, batch=self._batch_seq + 1)
        return await ledger.counters(connection, self._lease.run_id)

    async def finish(self, error: str | None) -> tuple[RunStatus, RunCounters]:
        async def end() -> tuple[RunStatus, RunCounters]:
            async with self._database.driver_transaction() as connection:
                return await ledger.end_run(connection, self._lease.source, self._lease.run_id, error)

        return await patiently(end)

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
        self, source: SourceName, kind: SourceKind, run_id: RunId, details: Mapping[str, Any]
    ) -> AsyncIterator[PostgresSession]:
        async with self._database.driver_transaction() as connection:
            lease = await leases.take(connection, source, run_id, self._lease_seconds)
            await ledger.begin_run(connection, source, run_id, details)
        session = PostgresSession(self._database, RAW_TABLES[kind], lease)
        heartbeat = asyncio.create_task(session.stay_alive(), name=f"lease of {source}")
        try:
            yield session
        finally:
            heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat
            await asyncio.shield(self._release(lease))

    async def _release(self, lease: Lease) -> None:
        try:
            async with self._database.driver_transaction() as connection:
                await leases.release(connection, lease)
        except StorageError as error:
            log.warning(
                "lease.not_released", source=lease.source, reason=str(error), ends_within_s=lease.seconds
            )


async def patiently(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Do *work*, again after a pause while the database is away; only for work that is safe to repeat."""
    for wait in COMMIT_WAITS:
        try:
            return await work()
        except DatabaseUnavailable as error:
            log.warning("database.waiting", wait_s=wait, reason=str(error))
            await asyncio.sleep(wait * random.uniform(1.0, 1.25))  # noqa: S311  # jitter, not a secret
    return await work()
