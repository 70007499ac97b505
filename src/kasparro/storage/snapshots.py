"""What a fetch of a `snapshot` source has seen, and the deletion of what it has not: in the caller's transaction.

The marks are the keys of each batch, one row a batch, written by the transaction of that batch, so they survive whatever it
survives. At the end of a fetch they are put in the order of their keys, where they are many (`bounds`, `arrange`). Then what is
stored is walked in the same order, a window of keys at a time, beside the marks of that window alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import AsyncConnection, sql

from kasparro.schemas.ingest import Batch, NoticeCode, Reject, RejectReason, SourceName
from kasparro.storage.arrays import TextArray
from kasparro.storage.raw_tables import RAW_TABLES, RawTable
from kasparro.storage.reading import IN_ORDER

Connection = AsyncConnection[Any]

WINDOW: Final = 5_000
"""Stored keys that are looked at together."""

SAMPLED: Final = 128
"""One key of so many says how keys are spread."""

PART: Final = 10_000
"""Marks that are kept together, about, when they are in order: what a window reads of them."""

GROUP: Final = 100
"""Batches whose marks are put in order by one transaction."""

Bounds = Sequence[str]
"""The least keys of the parts 1, 2 and so on; empty where all marks are in part 0, which has no order."""

UNSEEN: Final = {
    NoticeCode.PAGES_LEFT_OUT: "pages were left out, or may have been",
    NoticeCode.PAGINATION_NOT_DETECTED: "it is not known whether there are more pages",
    NoticeCode.PLACE_EXPIRED: "the fetch had to begin again in its middle",
}
"""Notices after which a fetch has not seen everything."""

IS_COMPLETE = "SELECT status = 'complete' FROM etl_checkpoint WHERE source = %s"

RECORDS = "SELECT record_count FROM etl_checkpoint WHERE source = %s"

FORGET = "DELETE FROM snapshot_seen WHERE source = %s"

MARK = """
INSERT INTO snapshot_seen (source, part, ids, sample) VALUES (%(source)s, 0, %(ids)s::text[], %(sample)s::text[])
"""

BOUNDS = """
SELECT array_agg(s.id ORDER BY s.id) FROM (
    SELECT u.id, row_number() OVER (ORDER BY u.id) AS place
    FROM snapshot_seen CROSS JOIN unnest(sample) AS u (id) WHERE source = %(source)s AND part = 0
) AS s WHERE s.place %% %(every)s = 0
"""

ARRANGE = """
WITH taken AS (
    DELETE FROM snapshot_seen WHERE source = %(source)s AND part = 0 AND id IN (
        SELECT id FROM snapshot_seen WHERE source = %(source)s AND part = 0 ORDER BY id LIMIT %(group)s
    ) RETURNING ids
)
INSERT INTO snapshot_seen (source, part, ids)
SELECT %(source)s, width_bucket(u.id, %(bounds)s::text[]), array_agg(u.id) FROM taken CROSS JOIN unnest(ids) AS u (id) GROUP BY 2
"""

ABSENT = """
WITH raw AS MATERIALIZED (
    SELECT external_id::text AS id, deleted_at IS NULL AS there FROM {table} WHERE source = %(source)s AND external_id > %(after)s
    ORDER BY external_id LIMIT %(window)s
), dataset AS MATERIALIZED (
    SELECT source_id::text AS id FROM normalized_data WHERE source = %(source)s AND source_id > %(after)s
    ORDER BY source_id LIMIT %(window)s
), reach (last) AS MATERIALIZED (
    SELECT least(
        (SELECT max(id) FROM raw HAVING count(*) = %(window)s), (SELECT max(id) FROM dataset HAVING count(*) = %(window)s)
    )
), found (id, stored, in_dataset, seen) AS (
    SELECT id, there, false, false FROM raw
    UNION ALL SELECT id, true, true, false FROM dataset
    UNION ALL SELECT unnest(ids), false, false, true FROM snapshot_seen
    WHERE source = %(source)s AND part >= width_bucket(%(after)s::text, %(bounds)s::text[])
      AND part <= coalesce(width_bucket((SELECT last FROM reach), %(bounds)s::text[]), cardinality(%(bounds)s::text[]))
), absent AS MATERIALIZED (
    SELECT id, bool_or(in_dataset) AS in_dataset FROM found
    WHERE id <= (SELECT last FROM reach) OR (SELECT last FROM reach) IS NULL
    GROUP BY id HAVING bool_or(stored) AND NOT bool_or(seen)
)
SELECT (SELECT last FROM reach), coalesce((SELECT array_agg(id ORDER BY id) FROM absent), '{{}}'),
       (SELECT count(*) FROM absent WHERE in_dataset)
"""
"""One aggregate over what is stored and what was seen: there is no join that the planner could get wrong."""

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
        if any(map(_may_be_any, batch.rejects)):
            self.faults.add("a record was rejected that says not which one it is")

    @property
    def fault(self) -> str | None:
        """Why nothing can be said to be absent."""
        if not self.whole:
            return "it went on from the middle of an earlier run"
        return "; ".join(sorted(self.faults)) or None


def _may_be_any(reject: Reject) -> bool:
    """Whether it may be any of the records that are stored. One whose key is too long to be stored is none of them."""
    return reject.external_id is None and reject.reason is not RejectReason.IDENTITY_TOO_LONG


@dataclass(frozen=True, slots=True)
class Window:
    """Some stored keys: the *last* one (none: there are no more), those *absent*, and how many of these are in the dataset.

    Most are both raw and in the dataset; those that are only one of these come in as well.
    """

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
    seen = [*shown(batch)]
    if seen:
        parameters = {"source": source, "ids": TextArray(seen), "sample": TextArray(seen[::SAMPLED])}
        await connection.execute(MARK, parameters)


def shown(batch: Batch) -> set[str]:
    """The keys of the records that are there, among them those that were rejected."""
    rejected = (reject.external_id for reject in batch.rejects)
    return {*batch.seen, *(key for key in rejected if key is not None)}


async def bounds(connection: Connection, source: SourceName) -> Bounds:
    """Where to cut the marks of a fetch into parts; nowhere, if they are few."""
    parameters = {"source": source, "every": max(1, PART // SAMPLED)}
    row = await (await connection.execute(BOUNDS, parameters)).fetchone()
    return ["", *row[0]] if row and row[0] else []


async def arrange(connection: Connection, source: SourceName, bounds: Bounds) -> bool:
    """Move the marks of some batches to the parts between *bounds*; False when there are none left."""
    parameters = {"source": source, "group": GROUP, "bounds": TextArray(bounds)}
    return (await connection.execute(ARRANGE, parameters)).rowcount > 0


async def window(
    connection: Connection, table: RawTable, source: SourceName, after: str, bounds: Bounds
) -> Window:
    """The stored keys behind *after*, beside the marks that are arranged by *bounds*."""
    await connection.execute(IN_ORDER)
    statement = sql.SQL(ABSENT).format(table=sql.Identifier(table.name))
    parameters = {"source": source, "after": after, "window": WINDOW, "bounds": TextArray(bounds)}
    row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None  # noqa: S101  # it has no FROM
    return Window(*row)


async def bury(connection: Connection, source: SourceName, absent: Sequence[str], version: int | None) -> int:
    """Delete the records *absent* as of *version*: the raw rows keep their text. Returns how many left the dataset.

    A source that was once of another type has raw rows in another table, too: they would say that the record is in the dataset.
    """
    parameters = {"source": source, "ids": TextArray(absent), "version": version}
    for table in RAW_TABLES.values():
        await connection.execute(sql.SQL(BURY_RAW).format(table=sql.Identifier(table.name)), parameters)
    if version is None:
        return 0
    return (await connection.execute(BURY, parameters)).rowcount
