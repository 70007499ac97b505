"""Twenty broken loaders: each a small patch that a victim applies to itself before it runs.

Every one of them is a mistake somebody has shipped. `breaks` is the invariant that must be found broken, in the scenario of
`test_mutants` that goes with it; without the patch the same scenario passes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from kasparro.core import database_errors
from kasparro.core.clock import now
from kasparro.core.errors import SourceError, StorageError
from kasparro.ingestion import prepare, runner
from kasparro.ingestion.ports import Source
from kasparro.schemas.drift import NO_DRIFT
from kasparro.schemas.ingest import Batch, Cursor, Keyed, Page, Place, RunCounters, Stored
from kasparro.storage import drift, leases, ledger, snapshots, writes
from kasparro.storage.entities import linking
from kasparro.storage.ingest_store import PostgresSession

ONLY_THE_CURSOR: Final = (
    "UPDATE etl_checkpoint SET cursor = %s, status = %s, checkpoint_timestamp = now() WHERE source = %s"
)
WITHOUT_KEYS: Final = """
ALTER TABLE raw_data_api DROP CONSTRAINT raw_data_api_source_external_id_key;
ALTER TABLE normalized_data DROP CONSTRAINT normalized_data_source_source_id_key;
"""
real_commit = PostgresSession._commit


@dataclass(frozen=True)
class Mutant:
    """`says` what is wrong with it; `patch` does it, given how far the clock of the process is ahead."""

    says: str
    breaks: tuple[str, ...]
    patch: Callable[[float], None] = lambda _: None
    prepare: str = ""
    """SQL to take away what the database would refuse the mutant."""

    def apply(self, clock_ahead: float) -> None:
        self.patch(clock_ahead)


async def move_cursor(session: PostgresSession, batch: Batch) -> None:
    async with session._database.driver_transaction() as connection:
        cursor = None if batch.cursor is None else Jsonb(dict(batch.cursor))
        status = "complete" if batch.complete else "in_progress"
        await connection.execute(ONLY_THE_CURSOR, (cursor, status, session._lease.source))


def checkpoint_first(_: float) -> None:
    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        await move_cursor(self, batch)
        return await real_commit(self, place, batch, version)

    PostgresSession._commit = commit


def data_first_without_key(_: float) -> None:
    async def known(self: PostgresSession, records: Sequence[Keyed], *, payloads: bool = False) -> Stored:
        return dict.fromkeys(range(len(records)))

    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        lease = self._lease
        async with self._database.driver_transaction() as connection:
            await writes.copy_dataset(connection, lease.source, version or 0, batch.new)
            await writes.copy_raw(connection, self._table, lease.source, lease.run_id, batch.new)
        return await real_commit(self, place, replace(batch, new=()), version)

    PostgresSession.known = known
    PostgresSession._commit = commit


def never_looks(_: float) -> None:
    """Takes the next place whatever it is, so that a batch sent again is written again."""

    leases.ADVANCE = leases.ADVANCE.replace("AND batch_seq = %(batch_seq)s", "")
    anywhere()
    written_over()


def anywhere() -> None:
    async def is_free(connection: Any, lease: leases.Lease, place: Place) -> bool:
        return True

    leases.is_free = is_free


def written_over() -> None:
    """What was new the first time replaces itself the second time, where a key would have refused it."""
    real_copy_dataset, real_copy_raw = writes.copy_dataset, writes.copy_raw

    async def copy_dataset(connection: Any, source: Any, version: int, new: Sequence[Any]) -> None:
        ids = [item.keyed.external_id for item in new]
        statement = "DELETE FROM normalized_data WHERE source = %s AND source_id = ANY(%s)"
        await connection.execute(statement, [source, ids])
        await real_copy_dataset(connection, source, version, new)

    async def copy_raw(connection: Any, table: Any, source: Any, run_id: Any, new: Sequence[Any]) -> None:
        ids = [item.keyed.external_id for item in new]
        statement = f"DELETE FROM {table.name} WHERE source = %s AND external_id = ANY(%s)"
        await connection.execute(statement, [source, ids])
        await real_copy_raw(connection, table, source, run_id, new)

    writes.copy_dataset, writes.copy_raw = copy_dataset, copy_raw


def without_fencing(_: float) -> None:
    written_over()
    leases.ADVANCE = leases.ADVANCE.replace("AND token = %(token)s AND batch_seq = %(batch_seq)s", "")
    anywhere()


def without_expiry(_: float) -> None:
    leases.TAKE = leases.TAKE.replace("OR lease.expires_at < clock_timestamp()", "")


def own_clock(ahead: float) -> None:
    """Writes the end of its lease by the clock of this machine."""

    def mine() -> str:
        return f"'{(now() + timedelta(seconds=ahead)).isoformat()}'::timestamptz"

    for name in ("TAKE", "RENEW", "ADVANCE"):
        statement = getattr(leases, name)
        setattr(
            leases, name, statement.replace("clock_timestamp() + make_interval", f"{mine()} + make_interval")
        )


def error_swallowed(_: float) -> None:
    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        try:
            return await real_commit(self, place, batch, version)
        except StorageError:
            await self._order.turn(place)
            async with self._database.driver_transaction() as connection:
                await leases.advance(connection, self._lease, place)
            await move_cursor(self, batch)
            return batch.counters

    PostgresSession._commit = commit


def rejects_apart(_: float) -> None:
    """Commits the batch, and its rejects in a transaction of their own."""

    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        counters = await real_commit(self, place, replace(batch, rejects=()), version)
        async with self._database.driver_transaction() as connection:
            await writes.quarantine(connection, self._lease.source, self._lease.run_id, batch.rejects)
        return counters

    PostgresSession._commit = commit


def drift_apart(_: float) -> None:
    """Tells the drift ledger what a batch shows before it is committed."""

    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        async with self._database.driver_transaction() as connection:
            await drift.write(connection, self._lease.source, self._lease.run_id, batch.drift)
        return await real_commit(self, place, replace(batch, drift=NO_DRIFT), version)

    PostgresSession._commit = commit


def links_apart(_: float) -> None:
    """Links the records of a batch once it is committed."""

    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        counters = await real_commit(self, place, replace(batch, matchable=()), version)
        async with self._database.driver_transaction() as connection:
            await linking.link(connection, self._lease.source, batch.matchable)
        return counters

    PostgresSession._commit = commit


def no_dedup(_: float) -> None:
    """Writes a record as often as it comes in one batch."""

    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        repeats = batch.counters.duplicates if batch.new else 0
        twice = list(batch.new[:repeats])
        counted = replace(
            batch.counters,
            inserted=batch.counters.inserted + len(twice),
            duplicates=batch.counters.duplicates - len(twice),
        )
        return await real_commit(
            self, place, replace(batch, new=[*batch.new, *twice], counters=counted), version
        )

    PostgresSession._commit = commit


def no_retry_of_conflicts(_: float) -> None:
    """Takes a deadlock for the end, and writes in whatever order records came."""
    database_errors.RULES = {
        kinds: StorageError if ours.__name__ == "DatabaseConflict" else ours
        for kinds, ours in database_errors.RULES.items()
    }


def last_write_wins(_: float) -> None:
    """Takes what comes last for the newest; nobody asks which is newer."""
    prepare.is_older = lambda _read, _one, _than: False


def succeeded_too_early(_: float) -> None:
    async def commit(self: PostgresSession, place: Place, batch: Batch, version: int | None) -> RunCounters:
        if batch.complete:
            async with self._database.driver_transaction() as connection:
                await ledger.end_run(connection, self._lease.source, self._lease.run_id, None)
        return await real_commit(self, place, batch, version)

    PostgresSession._commit = commit


def deletes_after_a_failure(_: float) -> None:
    """Takes what a failed fetch has not shown for gone, too."""
    real_fetch, real_run = runner.fetch, runner.run_etl

    async def fetch(*args: Any, **keys: Any) -> None:
        failed: list[SourceError] = []

        async def run_etl(*run: Any) -> None:
            try:
                await real_run(*run)
            except SourceError as error:
                failed.append(error)

        runner.run_etl = run_etl
        await real_fetch(*args, **keys)
        if failed:
            raise failed[0]

    runner.fetch = fetch


def deletes_after_going_on(_: float) -> None:
    """Takes a fetch that went on from the middle of an earlier run for a whole one."""

    async def begin(self: PostgresSession, *, anew: bool) -> bool:
        async with self._database.driver_transaction() as connection:
            await snapshots.forget(connection, self._lease.source)
        self._seeing = snapshots.Seeing(whole=True)
        return anew

    PostgresSession._begin_snapshot = begin


MUTANTS: Final = {
    "M1": Mutant("checkpoint before data", ("I2", "I1"), checkpoint_first),
    "M2": Mutant("data before checkpoint, without a key", ("I1",), data_first_without_key, WITHOUT_KEYS),
    "M3": Mutant("an unknown commit is sent again without looking", ("I3", "I5", "I7", "I8"), never_looks),
    "M4": Mutant("a lease without fencing", ("I6",), without_fencing),
    "M5": Mutant("a lease without an end", ("I4",), without_expiry),
    "M6": Mutant("the end of the lease by the clock of the worker", ("I4",), own_clock),
    "M7": Mutant("an error swallowed, and the checkpoint moved", ("I1", "I2"), error_swallowed),
    "M8": Mutant("rejects in a transaction of their own", ("I8",), rejects_apart),
    "M9": Mutant("a feed that asks for ids after the last one it saw", ("I9",)),
    "M10": Mutant("without a checkpoint, begin at the end", ("I1",)),
    "M11": Mutant("acknowledged before it is committed", ("I10",)),
    "M12": Mutant("no duplicates looked for within a batch", ("I4",), no_dedup),
    "M13": Mutant("a deadlock is not tried again", ("I4",), no_retry_of_conflicts),
    "M14": Mutant("the last write wins, whatever its version", ("I1",), last_write_wins),
    "M15": Mutant("a page that was cut off is the end", ("I1", "I3")),
    "M16": Mutant("a run succeeds before its last batch is in", ("I4",), succeeded_too_early),
    "M17": Mutant("differences in shape in a transaction of their own", ("I13",), drift_apart),
    "M18": Mutant("entities in a transaction of their own", ("I14",), links_apart),
    "M19": Mutant("a fetch that failed deletes what it has not shown", ("I15",), deletes_after_a_failure),
    "M20": Mutant("a fetch that began in the middle deletes", ("I15",), deletes_after_going_on),
}


class AtTheEnd:
    """M10: what was there before anybody looked is never read."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        last: Page | None = None
        async with aclosing(self._source.pages(after)) as pages:
            async for page in pages:
                last = page if page.records else last
        if last is not None:
            yield replace(last, cursor=None)


class CutShort:
    """M15: whatever stops the reading is taken for the end."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        try:
            async with aclosing(self._source.pages(after)) as pages:
                async for page in pages:
                    yield page
        except SourceError:
            yield Page([], cursor=None)


SOURCES: Final = {"M10": AtTheEnd, "M15": CutShort}


def source(mutant: str | None, found: Source) -> Source:
    return SOURCES[mutant](found) if mutant in SOURCES else found
