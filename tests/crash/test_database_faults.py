"""PostgreSQL killed, restarted, frozen, out of connections, and with a disk that is really full: a run outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from conftest import new_database, on_database
from crash import audit
from crash.cluster import Cluster, own_cluster
from crash.failpoints import Action, Failpoint
from crash.oracle import large
from crash.scene import Scene, first_loaded
from crash.victim import DONE, NEVER_ENDED
from crash.watcher import watched
from kasparro.storage import schema

pytestmark = pytest.mark.anyio

AT = [("known", "after", 2), ("copy_raw", "after", 3), ("count", "after", 2), ("commit", "after", 4)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def seeded(cluster, planned, upstream, tmp_path_factory) -> str:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    asyncio.run(schema.upgrade(on_database(cluster.url, "migrated")))
    return first_loaded(
        cluster.url, "migrated", Scene("", "csv", planned, tmp_path_factory.mktemp("first"), upstream)
    )


@pytest.fixture
def scene(cluster, seeded, planned, upstream, tmp_path) -> Iterator[Scene]:
    database = new_database(cluster.url, seeded)
    made = Scene(next(database), "csv", planned, tmp_path, upstream)
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(
            "CHECKPOINT"
        )  # a sequence in a database that was copied since forgets values when killed
    made.publish()
    yield made
    next(database, None)


@pytest.mark.parametrize(("step", "when", "nth"), AT)
@pytest.mark.parametrize("how", ["SIGKILL", "fast", "immediate"])
async def test_a_run_outlives_the_end_of_every_process_of_the_database(cluster, scene, how, step, when, nth):
    """Killed in the middle of a batch, started again, recovered: the run goes on by itself."""
    victim = scene.start(Failpoint(step, when, nth, Action.STOP))
    await victim.stopped()
    with watched(scene.url, scene.oracle):
        match how:
            case "SIGKILL":
                cluster.kill()
            case "fast":
                cluster.stop(signal.SIGINT)
            case _:
                cluster.stop(signal.SIGQUIT)
        victim.wake()
        cluster.start()
        assert await victim.ended() == DONE, victim.said()[-3000:]
    scene.check_end()


@pytest.mark.parametrize(("step", "when", "nth"), AT)
@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_a_run_outlives_the_end_of_its_backend(cluster, scene, how, step, when, nth):
    """One that is killed takes the others with it: PostgreSQL recovers as from a crash."""
    victim = scene.start(Failpoint(step, when, nth, Action.STOP))
    await victim.stopped()
    for pid in backends(scene.url):
        if how == "terminate":
            with psycopg.connect(scene.url, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        else:
            os.kill(pid, signal.SIGKILL)
            break
    victim.wake()
    assert await victim.ended() == DONE, victim.said()[-3000:]
    scene.check_end()


def backends(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("step", "when", "nth"), AT)
async def test_a_run_outlives_a_backend_that_froze(cluster, scene, step, when, nth):
    """It does not answer, nor does it say so: our own deadline ends the wait, and the next connection works."""
    victim = scene.start(
        Failpoint(step, when, nth, Action.STOP), statement=1.0, idle=1.0, wait_for_lease=30.0
    )
    await victim.stopped()
    ending = asyncio.create_task(victim.ended())
    with frozen(backends(scene.url)):
        victim.wake()
        noticed = asyncio.create_task(said(victim, "no answer from the server within"))
        await asyncio.wait({ending, noticed}, return_when=asyncio.FIRST_COMPLETED)
        noticed.cancel()
    assert await ending == DONE, victim.said()[-3000:]
    scene.check_end()


async def said(victim, words: str) -> None:
    async with asyncio.timeout(60):
        while words not in victim.said():  # noqa: ASYNC110  # a log sets no event
            await asyncio.sleep(0.02)


async def test_a_run_waits_for_a_connection_when_there_are_too_many(cluster, scene):
    victim = scene.start(Failpoint("commit", "before", 2, Action.STOP))
    await victim.stopped()
    gone = backends(scene.url)
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(p) FROM unnest(%s::int[]) p", [gone])
    with crowd(cluster.url):
        victim.wake()
        await said(victim, "too many clients")
    assert await victim.ended() == DONE, victim.said()[-3000:]
    scene.check_end()


@contextmanager
def crowd(url: str) -> Iterator[None]:
    """As many connections as the server takes."""
    with ExitStack() as stack:
        try:
            while True:
                stack.enter_context(psycopg.connect(url))
        except psycopg.OperationalError:
            yield


async def test_an_outage_longer_than_the_patience_ends_the_run_and_keeps_its_checkpoint(cluster, scene):
    victim = scene.start(Failpoint("commit", "before", 3, Action.STOP), patient=False)
    await victim.stopped()
    cluster.kill()
    victim.wake()
    assert await victim.ended() == NEVER_ENDED, victim.said()[-3000:]
    cluster.start()
    await scene.check_recovery()


SMALL_DISK = 160
"""Megabytes: room for a cluster and little more."""


@contextmanager
def small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kasparro-small-"))
    size = f"size={SMALL_DISK}m,mode=755"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a small disk takes root, and a container that lets it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    return ballast


async def test_a_disk_that_is_really_full_pauses_the_source_until_there_is_room(upstream, tmp_path):
    """Whatever PostgreSQL does then: refuse the statement, or go down for its write-ahead log."""
    oracle = large(20_000, seed=1)
    with small_disk() as disk, own_cluster(disk / "cluster") as cluster:
        await schema.upgrade(cluster.url)
        scene = Scene(cluster.url, "csv", oracle, tmp_path, upstream)
        scene.publish()
        with psycopg.connect(scene.url, autocommit=True) as connection:
            audit.install(connection)
        victim = scene.start(Failpoint("commit", "before", 2, Action.STOP), batch=4000)
        await victim.stopped()
        ballast = fill(disk)
        victim.wake()
        await said(victim, "source.paused")
        assert '"storage_full"' in victim.said() or '"database_recovering"' in victim.said()
        ballast.unlink()
        cluster.start()
        assert await victim.ended() == DONE, victim.said()[-3000:]
        scene.check_end()
