"""What a fetch of a `snapshot` source has seen, and the deletion of what it has not: in the caller's transaction.

The marks are rows of `snapshot_seen`, written by the transaction of the batch that holds the records, so they survive whatever
the batch survives. What is stored and has no mark is deleted a window of keys at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import AsyncConnection, sql

from kasparro.schemas.ingest import Batch, NoticeCode, SourceName
from kasparro.storage.arrays import TextArray
from kasparro.storage.raw_tables import RawTable

Connection = AsyncConnection[Any]

WINDOW: Final = 5_000
"""Stored keys that are looked at together; as many records are deleted by one transaction at most."""

UNSEEN: Final = {
    NoticeCode.PAGES_LEFT_OUT: "pages were left out",
    NoticeCode.PAGINATION_NOT_DETECTED: "it is not known whether there are more pages",
    NoticeCode.PLACE_EXPIRED: "the fetch had to begin again in its middle",
}
"""Notices after which a fetch has not seen everything."""

IS_COMPLETE = "SELECT status = 'complete' FROM etl_checkpoint WHERE source = %s"

RECORDS = "SELECT record_count FROM etl_checkpoint WHERE source = %s"

FORGET = "DELETE FROM snapshot_seen WHERE source = %s"

MARK = """
INSERT INTO snapshot_seen (source, external_id) SELECT %(source)s, u.id FROM unnest(%(ids)s::text[]) AS u (id)
ON CONFLICT DO NOTHING
"""

ABSENT = """
WITH part AS MATERIALIZED (
    SELECT external_id, deleted_at FROM {table} WHERE source = %(source)s AND external_id > %(after)s
    ORDER BY external_id LIMIT %(window)s
), absent AS MATERIALIZED (
    SELECT part.external_id, EXISTS (
        SELECT FROM normalized_data AS n WHERE n.source = %(source)s AND n.source_id = part.external_id
    ) AS in_dataset
    FROM part LEFT JOIN LATERAL (
        SELECT true AS seen FROM snapshot_seen WHERE source = %(source)s AND external_id = part.external_id LIMIT 1
    ) AS mark ON true
    WHERE part.deleted_at IS NULL AND mark.seen IS NULL
)
SELECT (SELECT max(external_id) FROM part), coalesce((SELECT array_agg(external_id) FROM absent), '{{}}'),
       (SELECT count(*) FROM absent WHERE in_dataset)
"""

BURY_RAW = """
UPDATE {table} SET deleted_at = now(), processed = false
WHERE source = %(source)s AND external_id = ANY(%(ids)s::text[]) AND deleted_at IS NULL
"""
"""Not processed: a record that comes back, as it was or otherwise, is not in the dataset and is inserted again."""

BURY = """
WITH gone AS (
    DELETE FROM normalized_data WHERE source = %(source)s AND source_id = ANY(%(ids)s::text[]) RETURNING id, source_id
)
INSERT INTO tombstone (source, version, record_id, source_id) SELECT %(source)s, %(version)s, id, source_id FROM gone
"""


@dataclass(slots=True)
class Seeing:
    """How far a run can say what is absent: *whole*, if it was seen from its beginning; *faults* hide some."""

    whole: bool
    faults: set[str] = field(default_factory=set)

    def take(self, batch: Batch) -> None:
        self.faults.update(UNSEEN[one.code] for one in batch.notices if one.code in UNSEEN)
        if any(reject.external_id is None for reject in batch.rejects):
            self.faults.add("a record was rejected that says not which one it is")

    @property
    def fault(self) -> str | None:
        """Why nothing can be said to be absent."""
        if not self.whole:
            return "it went on from the middle of an earlier run"
        return "; ".join(sorted(self.faults)) or None


@dataclass(frozen=True, slots=True)
class Window:
    """Some stored keys: the *last* one (none: there are no more), those *absent*, and how many of these are in the dataset."""

    last: str | None
    absent: Sequence[str]
    in_dataset: int


async def is_complete(connection: Connection, source: SourceName) -> bool:
    """Say whether the last fetch saw the end, so that the next one begins anew."""
    row = await (await connection.execute(IS_COMPLETE, (source,))).fetchone()
    return bool(row and row[0])


async def records(connection: Connection, source: SourceName) -> int:
    """How many records of the source are in the dataset."""
    row = await (await connection.execute(RECORDS, (source,))).fetchone()
    return int(row[0]) if row else 0


async def forget(connection: Connection, source: SourceName) -> None:
    await connection.execute(FORGET, (source,))


async def mark(connection: Connection, source: SourceName, batch: Batch) -> None:
    """The records of *batch* are there; those that were rejected, too."""
    seen = sorted({*batch.seen, *_rejected(batch)})
    if seen:
        await connection.execute(MARK, {"source": source, "ids": TextArray(seen)})


def _rejected(batch: Batch) -> Iterator[str]:
    return (reject.external_id for reject in batch.rejects if reject.external_id is not None)


async def window(connection: Connection, table: RawTable, source: SourceName, after: str) -> Window:
    """The stored keys behind *after*."""
    statement = sql.SQL(ABSENT).format(table=sql.Identifier(table.name))
    parameters = {"source": source, "after": after, "window": WINDOW}
    row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None  # noqa: S101  # it has no FROM
    return Window(*row)


async def bury(
    connection: Connection, table: RawTable, source: SourceName, absent: Sequence[str], version: int | None
) -> int:
    """Delete the records *absent* as of *version*: the raw rows keep their text. Returns how many left the dataset."""
    parameters = {"source": source, "ids": TextArray(absent), "version": version}
    await connection.execute(sql.SQL(BURY_RAW).format(table=sql.Identifier(table.name)), parameters)
    if version is None:
        return 0
    return (await connection.execute(BURY, parameters)).rowcount
