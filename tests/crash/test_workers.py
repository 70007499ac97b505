"""Workers with jobs: one that dies is replaced in time, and one record that kills them all does not do so for ever."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace

import psycopg
import pytest

from cli_process import Kasparro, gated_api
from crash.failpoints import Failpoint
from crash.forks import Victim
from crash.victim import DONE, Orders
from kasparro.schemas.ingest import SourceName, Trigger
from kasparro.storage.job_claims import MAX_TAKEOVERS
from kasparro.storage.jobs import JobQueue

pytestmark = pytest.mark.anyio

TAKEN_OVER_WITHIN = 15.0
PATIENCE = 60.0


async def asked_for(url: str, source: str) -> str:
    queue = JobQueue(url)
    try:
        return str(await queue.request_run(SourceName(source), Trigger.API))
    finally:
        await queue.close()


def catalog(tmp_path, records: int = 80) -> str:
    rows = "".join(f"{n},thing {n}\n" for n in range(records))
    (tmp_path / "things.csv").write_text(f"id,name\n{rows}")
    file = tmp_path / "kasparro.yaml"
    file.write_text("sources:\n  things:\n    type: csv\n    path: things.csv\n    key: id\n")
    return str(file)


async def one_row(url: str, statement: str) -> tuple:
    """The first row, as soon as there is one."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with psycopg.connect(url) as connection:
                row = connection.execute(statement).fetchone()
            if row:
                return row
            await asyncio.sleep(0.05)


ENDED = "SELECT status::text FROM procrastinate_jobs WHERE status IN ('succeeded', 'failed')"


async def test_a_record_that_kills_every_worker_fails_its_run_and_says_where(database_url, tmp_path):
    """F8: whatever ends the process (memory, a fault in a library), the worker does not retry it for ever."""
    await asked_for(database_url, "things")
    orders = Orders(
        database_url,
        "csv",
        catalog(tmp_path),
        str(tmp_path / "log"),
        (Failpoint("advance", "before", 3),),
        work="worker",
    )
    assert await Victim(orders).start().ended() == -signal.SIGKILL
    orders = replace(orders, faults=(Failpoint("advance", "before", 1),))
    for _ in range(MAX_TAKEOVERS):
        assert await Victim(orders).start().ended() == -signal.SIGKILL

    healthy = Victim(replace(orders, faults=())).start()
    status = await one_row(database_url, ENDED)
    healthy.terminate()
    assert await healthy.ended() == DONE

    assert status == ("failed",)
    with psycopg.connect(database_url) as connection:
        runs = connection.execute(
            "SELECT status, error_message, metadata FROM etl_run ORDER BY id"
        ).fetchall()
        (count,) = connection.execute("SELECT count(*) FROM normalized_data").fetchone()
    assert count == 20
    assert {run[0] for run in runs} == {"failed"}
    assert len(runs) == MAX_TAKEOVERS + 1
    assert runs[-1][1].startswith(f"crash loop: given up after {MAX_TAKEOVERS} processes in a row")
    assert "after record '19'" in runs[-1][1]
    assert all("resumed_by" in run[2] for run in runs[:-1])


async def test_workers_that_die_and_get_on_are_replaced_as_often_as_it_takes(database_url, tmp_path):
    await asked_for(database_url, "things")
    orders = Orders(
        database_url,
        "csv",
        catalog(tmp_path),
        str(tmp_path / "log"),
        (Failpoint("commit", "after", 1),),
        work="worker",
    )
    for _ in range(MAX_TAKEOVERS + 2):
        assert await Victim(orders).start().ended() == -signal.SIGKILL
    last = Victim(replace(orders, faults=())).start()
    assert await one_row(database_url, ENDED) == ("succeeded",)
    last.terminate()
    assert await last.ended() == DONE
    with psycopg.connect(database_url) as connection:
        assert connection.execute(
            "SELECT count(*), count(DISTINCT source_id) FROM normalized_data"
        ).fetchone() == (80, 80)
        assert connection.execute("SELECT sum(records_inserted) FROM etl_run").fetchone() == (80,)


async def test_the_job_of_a_killed_worker_goes_on_elsewhere_within_fifteen_seconds(database_url, tmp_path):
    """With the pace and the lease of production; the time is the promise, so it is measured."""
    with gated_api() as api:
        kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5"})
        kasparro.catalog(api.source)
        api.allow(2)
        await asked_for(database_url, "gated")
        first = kasparro.start("worker")
        await asyncio.to_thread(api.wait_until_asked_for, 3)
        second = kasparro.start("worker")
        await one_row(database_url, "SELECT 1 FROM procrastinate_workers OFFSET 1")
        first.kill()
        died = time.monotonic()
        first.communicate()
        await one_row(database_url, "SELECT 1 FROM etl_run OFFSET 1")
        took = time.monotonic() - died
        api.allow(api.pages + 1)
        assert await one_row(database_url, ENDED) == ("succeeded",)
        second.terminate()
        second.communicate(timeout=PATIENCE)
    assert took < TAKEN_OVER_WITHIN
    with psycopg.connect(database_url) as connection:
        runs = connection.execute(
            "SELECT run_id, status, error_message, metadata FROM etl_run ORDER BY id"
        ).fetchall()
    assert runs[0][2].startswith("interrupted:")
    assert runs[0][3]["resumed_by"] == runs[1][0]
    assert runs[1][3]["resumes"] == runs[0][0]
