"""Reads what an operator asks of the database itself: its version, its promises, why records were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from kasparro.core.database import Database

REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself. `size` is the database's, in bytes."""

    version: str
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    max_connections: int
    read_only: bool
    size: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    reason: str
    records: int


class Diagnostics:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> ServerFacts:
        """Raises `DatabaseUnavailable` when there is none."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(ServerFacts)) as cursor,
        ):
            await cursor.execute(SERVER)
            (facts,) = await cursor.fetchall()
            return facts

    async def reject_reasons(
        self, run_ids: Sequence[str], most: int = REASONS
    ) -> dict[str, list[ReasonCount]]:
        """For each run that rejected records: the commonest reasons, commonest first."""
        found: dict[str, list[ReasonCount]] = {}
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(REJECT_REASONS, {"runs": list(run_ids), "most": most})
            for run_id, reason, records in await cursor.fetchall():
                found.setdefault(run_id, []).append(ReasonCount(reason, records))
        return found


SERVER = """
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
        current_setting('fsync')::boolean AS fsync,
        current_setting('full_page_writes')::boolean AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('max_connections')::integer AS max_connections,
        current_setting('transaction_read_only')::boolean AS read_only,
        pg_database_size(current_database()) AS size
"""
# The source stands at the head of the index on open rejects, and follows from the run.
REJECT_REASONS = """
    SELECT run_id, reason, records FROM (
        SELECT run_id, reason, count(*) AS records,
            row_number() OVER (PARTITION BY run_id ORDER BY count(*) DESC, reason) AS place
        FROM quarantine
        WHERE resolved_at IS NULL AND run_id = ANY(%(runs)s)
            AND source IN (SELECT source FROM etl_run WHERE run_id = ANY(%(runs)s))
        GROUP BY run_id, reason
    ) AS counted
    WHERE place <= %(most)s
    ORDER BY run_id, place
"""
