"""A log of every committed batch, kept by triggers of the tests' own: who wrote it, with which lease, how far it moved.

The product does not know of it. It is what shows fencing, the order of checkpoints and the ledger batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

INSTALL = """
CREATE SEQUENCE audit_order;
CREATE TABLE audit_batch (
    id bigint DEFAULT nextval('audit_order'), xid xid8, run_id text, lease_run text, token bigint, batch_seq bigint,
    inserted bigint, updated bigint, unchanged bigint, failed bigint, duplicates bigint);
CREATE TABLE audit_checkpoint (
    id bigint DEFAULT nextval('audit_order'), xid xid8, cursor jsonb, status text);

CREATE FUNCTION audit_batch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_batch (xid, run_id, lease_run, token, batch_seq, inserted, updated, unchanged, failed, duplicates)
    SELECT pg_current_xact_id(), NEW.run_id, lease.run_id, lease.token, lease.batch_seq,
           NEW.records_inserted - OLD.records_inserted, NEW.records_updated - OLD.records_updated,
           NEW.records_unchanged - OLD.records_unchanged, NEW.records_failed - OLD.records_failed,
           NEW.records_duplicates - OLD.records_duplicates
      FROM (SELECT) AS one LEFT JOIN source_lease AS lease ON lease.source = NEW.source;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_batch AFTER UPDATE ON etl_run FOR EACH ROW
    WHEN (NEW.records_processed <> OLD.records_processed) EXECUTE FUNCTION audit_batch();

CREATE FUNCTION audit_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit_checkpoint (xid, cursor, status) VALUES (pg_current_xact_id(), NEW.cursor, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_checkpoint AFTER UPDATE ON etl_checkpoint FOR EACH ROW
    WHEN (NEW.checkpoint_timestamp IS DISTINCT FROM OLD.checkpoint_timestamp) EXECUTE FUNCTION audit_checkpoint();
"""

READ = """
SELECT batch.run_id, batch.lease_run, batch.token, batch.batch_seq,
       coalesce(inserted, 0) AS inserted, coalesce(updated, 0) AS updated, coalesce(unchanged, 0) AS unchanged,
       coalesce(failed, 0) AS failed, coalesce(duplicates, 0) AS duplicates, checkpoint.cursor, checkpoint.status
  FROM audit_batch AS batch FULL JOIN audit_checkpoint AS checkpoint USING (xid) ORDER BY coalesce(batch.id, checkpoint.id)
"""


@dataclass(frozen=True)
class Committed:
    """One batch, as its transaction left it. Without a run: a checkpoint that moved by itself, as one without records does."""

    run_id: str | None
    lease_run: str | None
    token: int | None
    batch_seq: int | None
    inserted: int
    updated: int
    unchanged: int
    failed: int
    duplicates: int
    cursor: Any
    status: str | None

    @property
    def processed(self) -> int:
        return self.inserted + self.updated + self.unchanged + self.failed + self.duplicates

    @property
    def complete(self) -> bool:
        return self.status in {"complete", "idle"}


def install(connection: psycopg.Connection[Any]) -> None:
    connection.execute(INSTALL)


def committed(connection: psycopg.Connection[Any]) -> list[Committed]:
    with connection.cursor(row_factory=class_row(Committed)) as cursor:
        return cursor.execute(READ).fetchall()


def readings(batches: list[Committed]) -> list[list[Committed]]:
    """The batches of each time through the source; the last one may be under way, or not have begun."""
    found: list[list[Committed]] = [[]]
    for batch in batches:
        found[-1].append(batch)
        if batch.complete:
            found.append([])
    return found
