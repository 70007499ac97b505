"""The invariants, each against the oracle: a database in, `Broken` out when one does not hold.

I1 the dataset is what the oracle says, keys and versions · I2 what lies before a checkpoint is in · I3 the ledger balances, for
each batch and run · I4 every run ends, and says how · I5 checkpoints only advance · I6 nothing is written with an old
lease · I7 no reader sees a part of a batch · I8 rejects keep payload, place and reason, and are counted once a
sighting · I11 who changes nothing writes nothing · I12 nothing is left behind · I13 a difference in shape is in the ledger,
once, exactly when the batch that shows it is committed · I14 each record of the dataset is linked to one entity, its own, and what is
counted of entities and keys is what is linked · I15 only what the last complete fetch did not show is deleted, counted and told once
(`test_snapshots`).
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from crash.audit import Committed, committed, readings
from crash.oracle import Oracle, State

PATIENCE = 30.0
LIVING = "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {message}")


def hold(invariant: str, true: object, message: str) -> None:
    if not true:
        raise Broken(invariant, message)


@contextmanager
def snapshot(url: str) -> Iterator[psycopg.Connection[Any]]:
    """What one reader sees at one instant."""
    with psycopg.connect(url, application_name="checker") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


def check_instant(url: str, oracle: Oracle) -> None:
    """What holds at any instant, whoever has just died or is at work."""
    with snapshot(url) as connection:
        batches = committed(connection)
        check_fencing(batches)
        check_positions(connection, batches)
        check_state(connection, oracle, batches)
        check_ledger(connection, batches)
        check_rejects(connection, oracle, batches)
        check_successes(connection, oracle)
        check_drift(connection, oracle, batches)
        check_entities(connection)


def check_end(url: str, oracle: Oracle) -> None:
    """What holds when a run has come to a good end."""
    check_instant(url, oracle)
    with snapshot(url) as connection:
        batches = committed(connection)
        past = readings(batches)
        hold("I2", len(past) > 1, "no batch ever said that the source was read to its end")
        hold("I2", not past[-1], "the last run did not reach the end of the source")
        differ("I1", stored(connection).dataset, oracle.final.dataset)
        for reading in past[:-1]:
            processed = sum(batch.processed for batch in reading)
            hold("I3", processed == len(oracle.rows), f"{processed} of {len(oracle.rows)} rows are counted")
            failed = sum(batch.failed for batch in reading)
            hold("I3", failed == oracle.failed, f"{failed} rejects are counted, {oracle.failed} were sent")
        inserted = sum(batch.inserted for batch in batches)
        hold("I3", inserted == oracle.inserted, f"{inserted} counted as new, {oracle.inserted} were")
        check_runs(connection)


def check_fencing(batches: list[Committed]) -> None:
    last = (0, 0)
    for batch in (batch for batch in batches if batch.run_id):
        hold(
            "I6",
            batch.run_id == batch.lease_run,
            f"{batch.run_id} wrote while the lease was {batch.lease_run}'s",
        )
        place = (batch.token or 0, batch.batch_seq or 0)
        hold("I6", place > last, f"a batch with lease and number {place} came after {last}")
        last = place


def check_positions(connection: psycopg.Connection[Any], batches: list[Committed]) -> None:
    """The checkpoint is that of the last batch, and no place in the source was passed twice."""
    for batch in batches:
        hold(
            "I2", batch.run_id or batch.complete, f"the checkpoint moved to {batch.cursor} without any record"
        )
    for reading in readings(batches):
        cursors = [json.dumps(batch.cursor, sort_keys=True) for batch in reading if batch.cursor is not None]
        moves = [cursor for cursor, _ in itertools.groupby(cursors)]
        hold("I5", len(moves) == len(set(moves)), f"the checkpoint came back to where it was: {moves}")
    row = connection.execute("SELECT cursor, status FROM etl_checkpoint").fetchone()
    if batches and row is not None:
        at = (batches[-1].cursor, batches[-1].status)
        hold("I2", row == at, f"the checkpoint is {row}, and the last batch ended at {at}")


def expected(oracle: Oracle, batches: list[Committed]) -> State:
    past = readings(batches)
    return oracle.at(len(past), sum(batch.processed for batch in past[-1]))


def check_state(connection: psycopg.Connection[Any], oracle: Oracle, batches: list[Committed]) -> None:
    """Exactly the whole batches that are committed: not less (I2), not a part of one more (I7), each in its last version (I1)."""
    now, should = stored(connection), expected(oracle, batches)
    differ("I1", now.dataset, should.dataset)
    differ("I7", now.raw, should.raw)
    hold("I8", now.rejected == should.rejected, f"in quarantine: {now.rejected ^ should.rejected}")
    row = connection.execute("SELECT record_count FROM etl_checkpoint").fetchone()
    count = row[0] if row else 0
    hold("I7", count == len(now.dataset), f"{count} are counted and {len(now.dataset)} are there")


def stored(connection: psycopg.Connection[Any]) -> State:
    dataset = connection.execute("SELECT source_id, data->>'title' FROM normalized_data").fetchall()
    hold("I1", len(dataset) == len({row[0] for row in dataset}), "a record is in the dataset twice")
    raw = connection.execute(
        "SELECT external_id, raw_data->>'name' FROM raw_data_api UNION ALL "
        "SELECT external_id, raw_data->>'name' FROM raw_data_csv UNION ALL "
        "SELECT external_id, raw_data->>'name' FROM raw_data_stream"
    ).fetchall()
    hold("I1", len(raw) == len({row[0] for row in raw}), "a raw record is stored twice")
    rejected = connection.execute(
        "SELECT coalesce(external_id, raw_data->>'name') FROM quarantine WHERE resolved_at IS NULL"
    ).fetchall()
    return State(dict(dataset), dict(raw), frozenset(row[0] for row in rejected))


def differ(invariant: str, found: Any, should: Any) -> None:
    if found == should:
        return
    lost = sorted(set(should) - set(found))
    more = sorted(set(found) - set(should))
    other = sorted(key for key in set(found) & set(should) if found[key] != should[key])
    raise Broken(invariant, f"lost {lost[:5]} ({len(lost)}), too many {more[:5]}, other versions {other[:5]}")


def check_ledger(connection: psycopg.Connection[Any], batches: list[Committed]) -> None:
    unbalanced = connection.execute(
        "SELECT run_id FROM etl_run WHERE records_processed <> records_inserted + records_updated + records_unchanged"
        " + records_failed + records_duplicates"
    ).fetchall()
    hold("I3", not unbalanced, f"the ledger of {unbalanced} does not balance")
    totals = connection.execute(
        "SELECT records_processed, (SELECT sum(records_processed) FROM etl_run) FROM etl_totals"
    ).fetchall()
    hold("I3", all(total == runs for total, runs in totals), f"totals and runs differ: {totals}")


def check_rejects(connection: psycopg.Connection[Any], oracle: Oracle, batches: list[Committed]) -> None:
    rows = connection.execute(
        "SELECT coalesce(external_id, raw_data->>'name'), raw_data->>'name', place, reason, attempts FROM quarantine"
    ).fetchall()
    sightings = dict.fromkeys(oracle.base.rejected, 1)
    for reading in readings(batches):
        for key, count in oracle.sightings(sum(batch.processed for batch in reading)).items():
            sightings[key] = sightings.get(key, 0) + count
    for key, name, place, reason, attempts in rows:
        hold("I8", name and place and reason, f"reject {key} has no payload, place or reason")
        hold(
            "I8",
            attempts == sightings.get(key),
            f"{key} was seen {sightings.get(key)} times, says {attempts}",
        )
    missing = set(sightings) - {row[0] for row in rows}
    hold("I8", not missing, f"rejects are lost: {missing}")


def check_drift(connection: psycopg.Connection[Any], oracle: Oracle, batches: list[Committed]) -> None:
    """A row without an id is the only difference there is, in JSON; in CSV it is an empty cell."""
    found = connection.execute("SELECT field_path, kind, first_seen_run FROM schema_drift").fetchall()
    json = connection.execute("SELECT FROM source_shape WHERE shape->>'evidence' = '1'").fetchone()
    first = None if json is None else oracle.first_nameless
    count, should = 0, []
    for batch in batches:
        if first is not None and count <= first < count + batch.processed:
            should.append(("id", "missing", batch.run_id))
            break
        count += batch.processed
    hold("I13", found == should, f"in the drift ledger: {found}, should be {should}")


def check_entities(connection: psycopg.Connection[Any]) -> None:
    dataset = connection.execute("SELECT source_id FROM normalized_data ORDER BY 1").fetchall()
    linked = connection.execute("SELECT source_id FROM entity_link ORDER BY 1").fetchall()
    hold(
        "I14",
        linked == dataset,
        f"linked and not in the dataset, or the other way round: {set(linked) ^ set(dataset)}",
    )
    links = connection.execute("SELECT entity_id, keys FROM entity_link ORDER BY 1").fetchall()
    living = connection.execute(
        "SELECT id FROM entity WHERE records = 1 AND merged_into IS NULL ORDER BY 1"
    ).fetchall()
    hold(
        "I14",
        [entity for entity, _ in links] == [row[0] for row in living],
        "an entity is lost, shared or miscounted",
    )
    others = connection.execute("SELECT count(*) FROM entity WHERE records <> 1").fetchone()
    hold("I14", others == (0,), f"{others} entities are nobody's")
    keys = connection.execute("SELECT entity_id, key FROM entity_key WHERE records = 1 ORDER BY 1").fetchall()
    every = connection.execute("SELECT count(*) FROM entity_key").fetchone()
    hold("I14", keys == links and every == (len(links),), "keys are not those of the records")


def check_runs(connection: psycopg.Connection[Any]) -> None:
    rows = connection.execute("SELECT run_id, status, error_message FROM etl_run ORDER BY id").fetchall()
    for run_id, status, error in rows:
        hold("I4", status != "in_progress", f"{run_id} never ended")
        hold("I4", status != "failed" or error, f"{run_id} does not say why it failed")
    hold("I4", rows[-1][1] in {"success", "partial"}, f"the last run {rows[-1]}")


def check_successes(connection: psycopg.Connection[Any], oracle: Oracle) -> None:
    """No run says it succeeded before its last batch is in."""
    said = connection.execute(
        "SELECT count(*) FROM etl_run WHERE status IN ('success', 'partial') AND metadata->>'trigger' IS DISTINCT FROM 'replay'"
    ).fetchone()
    reached = sum(batch.status == "complete" for batch in committed(connection))
    successes = said[0] - bool(oracle.before) if said else 0
    hold(
        "I4",
        successes <= reached,
        f"{successes} runs say they succeeded, the end was reached {reached} times",
    )


def versions(url: str, oracle: Oracle) -> set[tuple[Any, ...]]:
    """The physical version of every row that the source gives no reason to touch."""
    with snapshot(url) as connection:
        return set(
            connection.execute(
                "SELECT 'dataset', source_id, xmin::text FROM normalized_data WHERE source_id <> ALL(%(flipping)s) UNION ALL "
                "SELECT 'api', external_id, xmin::text FROM raw_data_api WHERE external_id <> ALL(%(flipping)s) UNION ALL "
                "SELECT 'csv', external_id, xmin::text FROM raw_data_csv WHERE external_id <> ALL(%(flipping)s)",
                {"flipping": list(oracle.flipping)},
            ).fetchall()
        )


def check_nothing_written(before: set[tuple[Any, ...]], after: set[tuple[Any, ...]]) -> None:
    hold("I11", before == after, f"a run without changes wrote {sorted(after - before)[:5]}")


def wait_until_gone(url: str) -> None:
    """Until PostgreSQL has noticed that the victim is dead, its last statement may still be going on."""
    with psycopg.connect(url, autocommit=True, application_name="checker") as connection:
        give_up = time.monotonic() + PATIENCE
        while living := connection.execute(LIVING).fetchall():
            hold("I12", time.monotonic() < give_up, f"left behind in the database: {living}")
            time.sleep(0.005)
