"""Workers with real runs on a real database: stopped, killed, cut off from the database, sharing the work."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog
from psycopg import sql

from kasparro.runtime import Runtime, open_runtime
from kasparro.schemas.data import RunSummary
from kasparro.schemas.ingest import SourceName, Trigger
from kasparro.worker.main import run_worker
from kasparro.worker.pace import Pace
from tap_source import tap_catalog
from worker_process import PACE, SCRIPT, settings

pytestmark = pytest.mark.anyio

T = TypeVar("T")

MANY = 4000
"""Records enough, in batches of 20, for a run that can be disturbed before it is over."""

LARGE = 1000
"""Records in the batches of those who only have to come to an end."""

PATIENCE = 60.0


def write_catalog(folder: Path, **records: int) -> Path:
    for source, count in records.items():
        rows = "".join(f"{n},{source} {n}\n" for n in range(count))
        (folder / f"{source}.csv").write_text(f"id,name\n{rows}")
    sources = "".join(f"  {s}:\n    type: csv\n    path: {s}.csv\n    key: id\n" for s in records)
    catalog = folder / "kasparro.yaml"
    catalog.write_text(f"sources:\n{sources}")
    return catalog


@asynccontextmanager
async def runtime_of(url: str, catalog: Path, batch: int = 20) -> AsyncIterator[Runtime]:
    async with open_runtime(settings(catalog, batch), url, migrate=False, environ={}) as runtime:
        yield runtime


@asynccontextmanager
async def working(runtime: Runtime, pace: Pace = PACE, concurrency: int = 4) -> AsyncIterator[asyncio.Event]:
    """A worker in this process, for as long as the block lasts."""
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(runtime, stop=stop, pace=pace, concurrency=concurrency))
    try:
        yield stop
        assert not worker.done() or stop.is_set(), "the worker ended by itself"
    finally:
        stop.set()
        await asyncio.wait_for(worker, PATIENCE)


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What *look* finds, as soon as it finds something; the database tells nobody when it changes."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):  # noqa: ASYNC110  # what happens in the database sets no event here
            await asyncio.sleep(0.02)
    return found


async def ended(runtime: Runtime, run_id: str) -> RunSummary:
    async def look() -> RunSummary | None:
        run = await runtime.history.run(run_id)
        return run if run and run.end_time else None

    return await eventually(look)


async def begun(runtime: Runtime, run_id: str) -> RunSummary:
    """The run, once it has committed something and is still going on."""

    async def look() -> RunSummary | None:
        run = await runtime.history.run(run_id)
        return run if run and run.records_processed else None

    run = await eventually(look)
    assert run.end_time is None, "the run was over before the test could disturb it"
    return run


async def settled(runtime: Runtime) -> list[str]:
    """The states of all jobs, once none is waiting or running."""

    async def look() -> list[str] | None:
        states = [
            row[0] for row in await rows(runtime, "SELECT status::text FROM procrastinate_jobs ORDER BY id")
        ]
        return None if {"todo", "doing"} & {*states} else states

    return await eventually(look)


async def rows(runtime: Runtime, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    async with runtime.jobs.database.driver_transaction() as connection:
        cursor = await connection.execute(statement, parameters)  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []


async def assert_all_there_once(runtime: Runtime, source: str, count: int) -> None:
    for table, identity in (("normalized_data", "source_id"), ("raw_data_csv", "external_id")):
        assert await rows(
            runtime,
            f"SELECT count(*), count(DISTINCT {identity}) FROM {table} WHERE source = %s",
            source,
        ) == [(count, count)]
    assert await rows(
        runtime,
        "SELECT sum(records_inserted), sum(records_updated), sum(records_failed) FROM etl_run WHERE source = %s",
        source,
    ) == [(count, 0, 0)]


async def test_a_requested_run_is_executed_under_its_id_and_each_source_beside_the_others(
    database_url, tmp_path
):
    catalog = write_catalog(tmp_path, ports=300, towns=300)
    async with runtime_of(database_url, catalog) as runtime, working(runtime):
        ids = [await runtime.jobs.request_run(source, Trigger.API) for source in ("ports", "towns")]
        runs = [await ended(runtime, run_id) for run_id in ids]
        assert [(run.status, run.source, run.metadata["trigger"]) for run in runs] == [
            ("success", "ports", "api"),
            ("success", "towns", "api"),
        ]
        assert await settled(runtime) == ["succeeded"] * 2
        await assert_all_there_once(runtime, "towns", 300)
        assert await rows(runtime, "SELECT count(*) FROM procrastinate_workers") == [(1,)]
    async with runtime_of(database_url, catalog) as runtime:
        assert await rows(runtime, "SELECT count(*) FROM procrastinate_workers") == [(0,)]


async def test_a_tap_is_run_like_every_other_source(database_url, tmp_path):
    users = [{"id": n, "name": f"user {n}"} for n in range(50)]
    catalog = tmp_path / "kasparro.yaml"
    catalog.write_text(tap_catalog("crm", config={"streams": {"users": users}}, schedule="0 3 * * *"))
    async with runtime_of(database_url, catalog) as runtime, working(runtime):
        run = await ended(runtime, await runtime.jobs.request_run("crm", Trigger.API))

        assert (run.status, run.records_inserted) == ("success", 50)
        assert await rows(runtime, "SELECT count(*) FROM raw_data_stream WHERE stream = 'users'") == [(50,)]


async def test_a_source_that_fails_leaves_a_failed_run_and_a_job_that_is_done(database_url, tmp_path):
    catalog = write_catalog(tmp_path, ports=1)
    async with runtime_of(database_url, catalog) as runtime, working(runtime):
        (tmp_path / "ports.csv").unlink()
        run = await ended(runtime, await runtime.jobs.request_run("ports", Trigger.API))
        assert run.status == "failed"
        assert await settled(runtime) == ["succeeded"]


async def test_a_source_that_this_worker_does_not_know_ends_visibly(database_url, tmp_path):
    async with runtime_of(database_url, write_catalog(tmp_path, ports=1)) as runtime, working(runtime):
        run = await ended(runtime, await runtime.jobs.request_run("elsewhere", Trigger.API))
        assert run.status == "failed"
        assert "there is no source 'elsewhere'" in run.error_message
        assert await settled(runtime) == ["failed"]


async def test_a_killed_worker_is_replaced_and_its_run_continued_with_nothing_lost_and_nothing_twice(
    database_url, tmp_path
):
    catalog = write_catalog(tmp_path, ports=MANY)
    async with runtime_of(database_url, catalog, batch=LARGE) as runtime:
        run_id = await runtime.jobs.request_run("ports", Trigger.API)
        victim = await asyncio.create_subprocess_exec(sys.executable, SCRIPT, database_url, catalog)
        try:
            await begun(runtime, run_id)
        finally:
            victim.kill()
            await victim.wait()

        async with working(runtime):
            dead = await ended(runtime, run_id)
            assert dead.status == "failed"
            assert dead.error_message.startswith(
                "interrupted: the process that ran it is gone (last sign of life"
            )
            assert await settled(runtime) == ["succeeded"]

        dead = await ended(runtime, run_id)
        heir = await ended(runtime, dead.metadata["resumed_by"])
        assert (heir.status, heir.metadata["resumes"]) == ("success", run_id)
        assert 0 < dead.records_inserted < MANY
        await assert_all_there_once(runtime, "ports", MANY)
        assert await rows(runtime, "SELECT args->>'takeovers' FROM procrastinate_jobs") == [("1",)]


async def test_a_stopped_worker_finishes_its_batch_and_the_next_one_continues(database_url, tmp_path):
    catalog = write_catalog(tmp_path, ports=MANY)
    async with runtime_of(database_url, catalog) as first:
        run_id = await first.jobs.request_run("ports", Trigger.API)
        async with working(first) as stop:
            await begun(first, run_id)
            stop.set()

    async with runtime_of(database_url, catalog, LARGE) as runtime:
        stopped = await runtime.history.run(run_id)
        assert stopped.status == "failed"
        assert "asked to stop" in stopped.error_message
        waiting = await runtime.jobs.queued(stopped.metadata["resumed_by"])
        assert (waiting.resumes, waiting.trigger) == (run_id, Trigger.API)
        assert await rows(runtime, "SELECT count(*) FROM procrastinate_workers") == [(0,)]
        assert await rows(runtime, "SELECT holder FROM source_lease") == [(None,)]

        async with working(runtime):
            heir = await ended(runtime, waiting.run_id)
            assert await settled(runtime) == ["succeeded"]
        assert heir.status == "success"
        await assert_all_there_once(runtime, "ports", MANY)


async def test_a_run_that_outlasts_the_grace_period_is_cancelled_and_continued(database_url, tmp_path):
    catalog = write_catalog(tmp_path, ports=MANY)
    async with runtime_of(database_url, catalog) as first:
        run_id = await first.jobs.request_run("ports", Trigger.API)
        async with working(first, Pace(poll=0.5, grace=0.0)) as stop:
            await begun(first, run_id)
            stop.set()
    async with runtime_of(database_url, catalog, LARGE) as runtime:
        async with working(runtime):
            assert await settled(runtime) == ["succeeded"]
        heir = await ended(runtime, (await ended(runtime, run_id)).metadata["resumed_by"])
        assert heir.status == "success"
        await assert_all_there_once(runtime, "ports", MANY)


@asynccontextmanager
async def foreground(runtime: Runtime, source: str) -> AsyncIterator[None]:
    """Another process holds the lease of *source*, as `kasparro ingest` does."""
    await rows(
        runtime,
        "INSERT INTO source_lease (source, token, holder, run_id, expires_at)"
        " VALUES (%s, 1, 'laptop:1:aa', 'run_ports_0', clock_timestamp() + interval '1 hour')",
        source,
    )
    yield
    await rows(runtime, "UPDATE source_lease SET holder = NULL, run_id = NULL WHERE source = %s", source)


async def test_a_scheduled_run_is_skipped_while_the_source_is_ingested_in_the_foreground(
    database_url, tmp_path
):
    async with runtime_of(database_url, write_catalog(tmp_path, ports=10)) as runtime:
        run_id = await runtime.jobs.request_scheduled(SourceName("ports"), datetime(2026, 3, 1, tzinfo=UTC))
        async with foreground(runtime, "ports"):
            with structlog.testing.capture_logs() as logs:
                async with working(runtime):
                    assert await settled(runtime) == ["succeeded"]
            assert [log["event"] for log in logs if log["event"] == "job.skipped"] == ["job.skipped"]
        assert await runtime.history.run(run_id) is None
        assert await rows(runtime, "SELECT count(*) FROM normalized_data") == [(0,)]


async def test_a_requested_run_waits_for_the_foreground_and_then_runs(database_url, tmp_path):
    async with runtime_of(database_url, write_catalog(tmp_path, ports=10)) as runtime:
        run_id = await runtime.jobs.request_run("ports", Trigger.API)
        async with working(runtime):
            async with foreground(runtime, "ports"):

                async def has_waited() -> list[tuple[Any, ...]]:
                    return await rows(
                        runtime, "SELECT 1 FROM procrastinate_jobs WHERE (args->>'waits')::int > 1"
                    )

                await eventually(has_waited)
                assert await runtime.history.run(run_id) is None
            assert (await ended(runtime, run_id)).status == "success"


async def test_a_requested_run_that_waits_in_vain_ends_as_a_failed_run(database_url, tmp_path):
    pace = Pace(poll=0.1, busy=0.1, busy_tries=2)
    async with runtime_of(database_url, write_catalog(tmp_path, ports=10)) as runtime:
        run_id = await runtime.jobs.request_run("ports", Trigger.API)
        async with foreground(runtime, "ports"), working(runtime, pace):
            run = await ended(runtime, run_id)
            assert run.status == "failed"
            assert "did not begin: source 'ports' is being ingested by laptop:1:aa" in run.error_message


@asynccontextmanager
async def database_away(server: str, url: str) -> AsyncIterator[None]:
    """Every connection to the database is cut, and no new one is accepted until the block ends."""
    name = urlsplit(url).path.lstrip("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as admin:
        await admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            await admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


async def test_a_worker_and_its_run_outlive_an_outage_of_the_database(
    postgres_server, database_url, tmp_path
):
    catalog = write_catalog(tmp_path, ports=MANY, towns=10)
    async with runtime_of(database_url, catalog) as runtime:
        run_id = await runtime.jobs.request_run("ports", Trigger.API)
        with structlog.testing.capture_logs() as logs:
            noticed = asyncio.Event()
            structlog.configure(processors=[watching(noticed, logs)])
            async with working(runtime):
                await begun(runtime, run_id)
                async with database_away(postgres_server, database_url):
                    await asyncio.wait_for(noticed.wait(), PATIENCE)
                assert (await ended(runtime, run_id)).status == "success"
                again = await runtime.jobs.request_run("towns", Trigger.API)
                assert (await ended(runtime, again)).status == "success"
                assert await settled(runtime) == ["succeeded"] * 2
        await assert_all_there_once(runtime, "ports", MANY)
        events = [log["event"] for log in logs]
        assert events.count("worker.database_unavailable") == 1
        assert events.count("worker.database_back") == 1
        assert "worker.loop_failed" not in events


def watching(noticed: asyncio.Event, logs: list[Any]) -> Callable[..., Any]:
    """Collect the log, and say when the outage has been noticed."""

    def processor(_logger: object, _method: str, event: dict[str, Any]) -> Any:
        logs.append(event)
        if event["event"] == "worker.database_unavailable":
            noticed.set()
        raise structlog.DropEvent

    return processor


async def test_two_workers_share_the_work_and_neither_does_it_twice(database_url, tmp_path):
    sources = {f"s{n}": 200 for n in range(6)}
    catalog = write_catalog(tmp_path, **sources)
    async with runtime_of(database_url, catalog) as one, runtime_of(database_url, catalog) as other:
        async with working(one, concurrency=1), working(other, concurrency=1):
            ids = [await one.jobs.request_run(source, Trigger.API) for source in sources]
            assert {(await ended(one, run_id)).status for run_id in ids} == {"success"}
            assert await settled(one) == ["succeeded"] * 6
            assert len(await rows(one, "SELECT DISTINCT worker_id FROM procrastinate_jobs")) == 2
        assert await rows(one, "SELECT count(*) FROM etl_run") == [(6,)]


async def test_a_cancelled_worker_lets_go_of_what_it_has_in_hand(database_url, tmp_path):
    async with runtime_of(database_url, write_catalog(tmp_path, ports=MANY)) as runtime:
        run_id = await runtime.jobs.request_run("ports", Trigger.API)
        worker = asyncio.create_task(run_worker(runtime, stop=asyncio.Event(), pace=PACE))
        await begun(runtime, run_id)
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        assert (await runtime.history.run(run_id)).status == "failed"
        assert await rows(runtime, "SELECT status::text FROM procrastinate_jobs") == [("todo",)]
        assert await rows(runtime, "SELECT count(*) FROM procrastinate_workers") == [(0,)]
