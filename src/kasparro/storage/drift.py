"""The drift ledger and the accepted shapes: what a batch adds to them, what is read from them, and what an operator decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from kasparro.core.database import Database
from kasparro.schemas.drift import Accepted, Drift, DriftView, ShapeStep
from kasparro.schemas.ingest import RunId, SourceName
from kasparro.storage import leases
from kasparro.storage.reading import only_source

Connection = AsyncConnection[Any]

Apply = Callable[[bytes, Sequence[DriftView]], bytes]
"""The accepted shape and differences in, the shape that has them in it out."""

SHAPE = "SELECT shape::text FROM source_shape WHERE source = %s"

KEEP_SHAPE = """
INSERT INTO source_shape (source, shape, run_id) VALUES (%(source)s, %(shape)s::jsonb, %(run_id)s)
ON CONFLICT (source) DO UPDATE SET shape = excluded.shape, run_id = excluded.run_id, updated_at = now()
"""

RECORD = """
INSERT INTO schema_drift AS known
    (source, fingerprint, field_path, kind, before, after, confidence, first_seen_run, example, decision)
VALUES (%(source)s, %(fingerprint)s, %(field)s, %(kind)s, %(before)s, %(after)s, %(confidence)s, %(run_id)s, %(example)s,
    %(decision)s)
ON CONFLICT (source, fingerprint) DO UPDATE SET decision = excluded.decision, decided_at = NULL
WHERE known.decision <> excluded.decision AND NOT (known.decision = 'accepted' AND excluded.decision = 'evolved')
"""
"""What was recorded before is not recorded again; one that was accepted and left since then waits for a decision anew."""

COLUMNS = """id, source, field_path, kind, before, after, confidence, first_seen_run, example, decision,
    detected_at, decided_at"""

WAITING = "decision IN ('quarantined', 'frozen')"

WAITING_OF = (
    f"SELECT {COLUMNS} FROM schema_drift WHERE source = %(source)s AND {WAITING} ORDER BY id FOR UPDATE"
)

ACCEPT = "UPDATE schema_drift SET decision = 'accepted', decided_at = now() WHERE id = ANY(%s)"


async def read_shape(connection: Connection, source: SourceName) -> bytes | None:
    """The accepted shape of *source*; None where none has been learned yet."""
    row = await (await connection.execute(SHAPE, (source,))).fetchone()
    return None if row is None else row[0].encode()


async def write(connection: Connection, source: SourceName, run_id: RunId, step: ShapeStep) -> None:
    """Inside the transaction of the batch that shows it."""
    for drift in step.drifts:
        await connection.execute(
            RECORD, _row(drift) | {"source": source, "run_id": run_id, "decision": step.decision}
        )
    if step.shape is not None:
        shape = {"source": source, "run_id": run_id, "shape": step.shape.decode()}
        await connection.execute(KEEP_SHAPE, shape)


def fingerprint(drift: Drift) -> bytes:
    """What makes two differences the same: all but the record that showed it and how sure it is."""
    told = [drift.field, drift.kind, drift.before, drift.after]
    return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).digest()


def _row(drift: Drift) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint(drift),
        "field": drift.field,
        "kind": drift.kind,
        "before": None if drift.before is None else Jsonb(dict(drift.before)),
        "after": None if drift.after is None else Jsonb(dict(drift.after)),
        "confidence": drift.confidence,
        "example": Jsonb(dict(drift.example)),
    }


@dataclass(frozen=True, slots=True)
class DriftFilter:
    """Which differences; `None` is any. `before`: those that were recorded before the one of that id."""

    source: str | None = None
    before: int | None = None

    def clauses(self) -> str:
        """WHERE and ORDER BY, the latest first."""
        conditions = [only_source("source")] if self.source is not None else []
        conditions += ["id < %(before)s"] if self.before is not None else []
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{where} ORDER BY {'id DESC' if self.source is None else 'source DESC, id DESC'}"


ANY_DRIFT = DriftFilter()


class DriftLedger:
    """What is known of differences, for those who look and decide."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, limit: int, offset: int = 0, which: DriftFilter = ANY_DRIFT) -> list[DriftView]:
        statement = f"SELECT {COLUMNS} FROM schema_drift {which.clauses()} LIMIT %(limit)s OFFSET %(offset)s"
        values = {"source": which.source, "before": which.before, "limit": limit, "offset": offset}
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(DriftView)) as cursor,
        ):
            await cursor.execute(statement, values)
            return await cursor.fetchall()

    async def accept(self, source: SourceName, field: str | None, apply: Apply) -> Accepted:
        """Take the differences of *source* that wait, or those of one *field*, into its accepted shape: all or nothing.

        Raises `LeaseHeld` while the source is being ingested, since a run has its own idea of the shape.
        """
        async with self._database.driver_transaction() as connection:
            await leases.refuse_if_held(connection, source)
            async with connection.cursor(row_factory=class_row(DriftView)) as cursor:
                await cursor.execute(WAITING_OF, {"source": source})
                waiting = await cursor.fetchall()
            chosen = [drift for drift in waiting if field is None or drift.field_path == field]
            shape = await read_shape(connection, source)
            if chosen and shape is not None:
                values = {
                    "source": source,
                    "run_id": chosen[-1].first_seen_run,
                    "shape": apply(shape, chosen).decode(),
                }
                await connection.execute(KEEP_SHAPE, values)
                await connection.execute(ACCEPT, ([drift.id for drift in chosen],))
            return Accepted(chosen, len(waiting) - len(chosen))
