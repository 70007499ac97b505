"""SIGKILL before and after every step of a run, at the first, second and last time: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from pathlib import Path

import pytest

from ingest_kit import LEASE_SECONDS, one, rows, writer
from kasparro.core.errors import LeaseHeld
from kasparro.ingestion.runner import run_etl_with_backoff
from kasparro.storage.ingest_store import PostgresIngestStore

pytestmark = pytest.mark.anyio

sys.path.insert(0, str(Path(__file__).parent))
import victim  # noqa: E402  # it is a script as well

ONCE = ("take", "begin_run", "resume", "end_run", "release")
PER_BATCH = (
    "known",
    "commit",
    "advance",
    "copy_dataset",
    "copy_raw",
    "quarantine",
    "move_checkpoint",
    "count",
)
POINTS = [(f"{step}:{when}", 1) for step, when in itertools.product(ONCE, ("before", "after"))]
POINTS += [
    (f"{step}:{when}", nth)
    for step, when, nth in itertools.product(PER_BATCH, ("before", "after"), (1, 2, 6))
]


async def killed(url: str, point: str, nth: int) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, victim.__file__, url, point, str(nth))
    assert await process.wait() == -signal.SIGKILL


async def check_what_is_committed(db) -> None:
    """What holds at any instant: every record of the dataset has its raw record, counts and ledger are exact."""
    assert (
        await rows(
            db,
            "SELECT source_id FROM normalized_data n WHERE NOT EXISTS "
            "(SELECT 1 FROM raw_data_api r WHERE r.external_id = n.source_id AND r.processed)",
        )
        == []
    )
    assert (
        await rows(
            db,
            "SELECT external_id FROM raw_data_api r WHERE processed AND NOT EXISTS "
            "(SELECT 1 FROM normalized_data n WHERE r.external_id = n.source_id)",
        )
        == []
    )
    assert (
        await rows(
            db, "SELECT 1 FROM etl_checkpoint WHERE record_count <> (SELECT count(*) FROM normalized_data)"
        )
        == []
    )
    assert (
        await rows(
            db,
            "SELECT 1 FROM etl_totals t WHERE records_processed <> (SELECT sum(records_processed) FROM etl_run)",
        )
        == []
    )
    checkpoint = await rows(db, "SELECT cursor FROM etl_checkpoint")
    if checkpoint and checkpoint[0][0] is not None:
        committed = {r["id"] for page in victim.PAGES[: checkpoint[0][0]["page"]] for r in page}
        landed = {int(i) for (i,) in await rows(db, "SELECT external_id FROM raw_data_api")}
        assert committed <= landed


async def run_again(db):
    store = PostgresIngestStore(db, LEASE_SECONDS)
    while True:
        try:
            return await run_etl_with_backoff(victim.request(), store)
        except LeaseHeld as held:  # until the lease of the dead is over, by itself
            left = await one(
                db, "SELECT extract(epoch FROM %(t)s - clock_timestamp())::float", {"t": held.expires_at}
            )
            await asyncio.sleep(max(0.02, left))


@pytest.mark.parametrize(("point", "nth"), POINTS)
async def test_a_run_that_was_killed_anywhere_is_finished_by_the_next(database_url, point, nth):
    await killed(database_url, point, nth)

    async with writer(database_url) as db:
        await check_what_is_committed(db)
        await run_again(db)
        await check_what_is_committed(db)

        everything = {str(r["id"]): r["name"] for page in victim.PAGES for r in page}
        stored = dict(await rows(db, "SELECT source_id, data->>'title' FROM normalized_data"))
        assert stored == {i: name for i, name in everything.items() if isinstance(name, str)}
        assert await rows(db, "SELECT external_id FROM quarantine WHERE resolved_at IS NULL") == [("17",)]
        statuses = [s for (s,) in await rows(db, "SELECT status FROM etl_run ORDER BY id")]
        assert "in_progress" not in statuses
        assert await one(db, "SELECT cursor, status FROM etl_checkpoint") == (None, "complete")
