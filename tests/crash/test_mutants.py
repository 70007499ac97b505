"""Does the suite see anything? Twenty broken loaders, each in the scenario that must find it, and the product in the same one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from crash import checker
from crash.checker import Broken
from crash.failpoints import Action, Failpoint
from crash.mutants import MUTANTS
from crash.proxy import Harm, Plan, Proxy
from crash.scene import Scene
from crash.victim import DONE, FAILED, messages
from crash.watcher import watched
from kasparro.core.database import Database
from kasparro.schemas.changes import FeedPosition
from kasparro.schemas.query import RecordQuery
from kasparro.storage.changes import Changes

pytestmark = pytest.mark.anyio

Scenario = Callable[[Scene, str | None], Awaitable[None]]


def killed_at(point: Failpoint) -> Scenario:
    async def scenario(scene: Scene, mutant: str | None) -> None:
        assert await scene.run(point, mutant=mutant) == -signal.SIGKILL
        await scene.check_recovery(mutant=mutant)

    return scenario


async def undisturbed(scene: Scene, mutant: str | None) -> None:
    await scene.recover(mutant=mutant)
    scene.check_end()


async def answer_lost(scene: Scene, mutant: str | None) -> None:
    """Of each COMMIT in turn; some of them are a batch's."""
    for commit in range(6, 16):
        await scene.run_through(Plan(Harm.LOSE_COMMIT, nth=commit), mutant=mutant, wait_for_lease=20.0)
        scene.check_instant()
    await scene.recover(mutant=mutant)
    scene.check_end()


async def frozen_beyond_its_lease(scene: Scene, mutant: str | None) -> None:
    frozen = scene.start(Failpoint("commit", "before", 2, Action.STOP), mutant=mutant, idle=0.5)
    await frozen.stopped()
    await scene.recover()
    frozen.wake()
    await frozen.ended()
    scene.check_end()


async def never_replaced(scene: Scene, mutant: str | None) -> None:
    """Killed; whoever comes next has five leases' time to take over."""
    assert await scene.run(Failpoint("commit", "before", 2), mutant=mutant) == -signal.SIGKILL
    await scene.recover(mutant=mutant, wait_for_lease=4.0)
    scene.check_end()


async def with_a_clock_that_is_ahead(scene: Scene, mutant: str | None) -> None:
    point = Failpoint("commit", "before", 2)
    assert await scene.run(point, mutant=mutant, clock_ahead=3600.0) == -signal.SIGKILL
    await scene.recover(mutant=mutant, clock_ahead=3600.0, wait_for_lease=4.0)
    scene.check_end()


async def connection_lost(scene: Scene, mutant: str | None) -> None:
    """In the middle of a COPY; reset at a chunk that is one of a batch's."""
    async with Proxy(scene.url) as proxy:
        victim = scene.start(Failpoint("copy_raw", "before", 2, Action.STOP), url=proxy.url, mutant=mutant)
        await victim.stopped()
        proxy.plan = Plan(Harm.RESET, "up", proxy.seen["up"] + 1)
        victim.wake()
        code = await victim.ended()
    checker.hold("I4", code == DONE, f"the run ended with {code}")
    scene.check_end()


async def deadlock(scene: Scene, mutant: str | None) -> None:
    """Somebody else locks two of the rows that a batch changes, in the other order; PostgreSQL ends the batch."""
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET deadlock_timeout = '50ms'")
    with psycopg.connect(scene.url) as other:
        other.execute("SET deadlock_timeout = '10min'")
        other.execute("SELECT FROM etl_totals FOR UPDATE")
        victim = scene.start(Failpoint("count", "before", 1, Action.STOP), mutant=mutant)
        await victim.stopped()
        waiting = asyncio.create_task(
            asyncio.to_thread(other.execute, "UPDATE etl_checkpoint SET changed_at = changed_at")
        )
        await asyncio.to_thread(wait_until_blocked, scene.url)
        victim.wake()
        await waiting
    code = await victim.ended()
    checker.hold("I4", code == DONE, f"the run ended with {code}: {victim.said()[-500:]}")
    scene.check_end()


def wait_until_blocked(url: str) -> None:
    """Until the victim waits for a lock."""
    with psycopg.connect(url, autocommit=True, application_name="checker") as connection:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while connection.execute(statement).fetchone() == (0,):
            pass


async def page_cut_off(scene: Scene, mutant: str | None) -> None:
    scene.upstream.cut = 3
    code = await scene.run(mutant=mutant)
    if code == DONE:
        scene.check_end()
    assert code == FAILED
    scene.upstream.cut = None
    await scene.check_recovery(mutant=mutant)


SCENARIOS: dict[str, tuple[str, Scenario]] = {
    "M1": ("csv", killed_at(Failpoint("copy_raw", "before", 3))),
    "M2": ("api", killed_at(Failpoint("advance", "before", 3))),
    "M3": ("csv", answer_lost),
    "M4": ("csv", frozen_beyond_its_lease),
    "M5": ("csv", never_replaced),
    "M6": ("csv", with_a_clock_that_is_ahead),
    "M7": ("csv", connection_lost),
    "M8": ("csv", killed_at(Failpoint("quarantine", "before", 4))),
    "M10": ("csv", undisturbed),
    "M12": ("csv", undisturbed),
    "M13": ("csv", deadlock),
    "M14": ("api", undisturbed),
    "M15": ("api", page_cut_off),
    "M16": ("csv", killed_at(Failpoint("copy_raw", "before", 6))),
    "M17": ("api", killed_at(Failpoint("copy_raw", "before", 2))),
    "M18": ("csv", killed_at(Failpoint("link", "before", 2))),
}


TRIES = 3
"""A scenario may miss what is broken: which COMMIT is a batch's depends on when the lease is renewed."""


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_broken_loader_is_found(scenes, name):
    found = None
    for _ in range(TRIES):
        found = found or await what_is_broken(scenes, name)
    assert found is not None
    assert found.invariant in MUTANTS[name].breaks, found


async def what_is_broken(scenes, name) -> Broken | None:
    kind, scenario = SCENARIOS[name]
    scene, mutant = scenes(kind), MUTANTS[name]
    if mutant.prepare:
        with psycopg.connect(scene.url, autocommit=True) as connection:
            connection.execute(mutant.prepare)
    try:
        await scenario(scene, name)
    except Broken as broken:
        return broken
    return None


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_product_passes_where_the_broken_loader_is_found(scenes, name):
    kind, scenario = SCENARIOS[name]
    await scenario(scenes(kind), None)


# M9: how a reader follows the dataset


BY_ID = "SELECT source_id, id FROM normalized_data WHERE id > %s ORDER BY id"
INSERT = "INSERT INTO normalized_data (source, source_id, data, version) VALUES (%s, %s, '{}', 1)"
CHECKPOINT = "INSERT INTO etl_checkpoint (source, version) VALUES (%s, 1)"

Look = Callable[[], Awaitable[set[str]]]
"""What a reader is told that it was not told before."""


def by_id(url: str) -> Look:
    last = 0

    async def look() -> set[str]:
        nonlocal last
        with psycopg.connect(url) as connection:
            rows = connection.execute(BY_ID, [last]).fetchall()
        last = max([last, *(number for _, number in rows)])
        return {key for key, _ in rows}

    return look


def by_the_feed(database: Database) -> Look:
    changes, position = Changes(database), FeedPosition()

    async def look() -> set[str]:
        nonlocal position
        changed = await changes.read(RecordQuery(), position, 100)
        position = changed.after
        return {str(change.source_id) for change in changed.changes}

    return look


async def followed(url: str, look: Look) -> set[str]:
    """Two sources are written at once; the one that began first commits last."""
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        for connection, source in ((first, "a"), (second, "b")):
            connection.execute(INSERT, [source, f"{source}1"])
            connection.execute(CHECKPOINT, [source])
        second.commit()
        seen = await look()
        first.commit()
        return seen | await look()


async def test_a_feed_by_id_misses_what_commits_late_and_is_found_m9(database_url):
    seen = await followed(database_url, by_id(database_url))
    with pytest.raises(Broken):
        checker.hold("I9", seen == {"a1", "b1"}, "a committed change was not seen")


async def test_the_feed_of_the_product_misses_nothing_m9(database_url):
    database = Database(database_url)
    seen = await followed(database_url, by_the_feed(database))
    await database.close()
    checker.hold("I9", seen == {"a1", "b1"}, "a committed change was not seen")


# M11: when a message is acknowledged


async def redelivered(scene: Scene, mutant: str | None) -> None:
    """Killed before the third commit; the broker delivers again what was not acknowledged."""
    (scene.folder / "messages").write_bytes(messages(scene.oracle.pages(1000)))
    assert await scene.run(Failpoint("commit", "before", 3), mutant=mutant) == -signal.SIGKILL
    checker.wait_until_gone(scene.url)
    await scene.recover(mutant=mutant)
    with psycopg.connect(scene.url) as connection:
        found = checker.stored(connection).dataset
    checker.differ("I10", found, scene.oracle.final.dataset)


async def test_acknowledging_before_the_commit_loses_messages_and_is_found_m11(bare_scene):
    with pytest.raises(Broken) as found:
        await redelivered(bare_scene, "M11")
    assert found.value.invariant in MUTANTS["M11"].breaks


async def test_acknowledging_what_is_committed_loses_nothing_m11(bare_scene):
    await redelivered(bare_scene, None)


# That all of them are there


IN_TEST_SNAPSHOTS = {"M19", "M20"}


def test_there_are_twenty_and_each_is_tried():
    assert set(MUTANTS) == set(SCENARIOS) | {"M9", "M11"} | IN_TEST_SNAPSHOTS
    assert len(MUTANTS) == 20


async def test_a_reader_that_looks_on_finds_the_checkpoint_ahead_of_the_data(scenes):
    """M1 again, and nobody is killed: frozen between its two transactions, it shows them to everybody."""
    scene = scenes("csv")
    victim = scene.start(Failpoint("advance", "before", 3, Action.STOP), mutant="M1")
    await victim.stopped()
    with pytest.raises(Broken), watched(scene.url, scene.oracle) as looked:
        await asyncio.to_thread(looked.once.wait, 30)
    victim.kill()
    await victim.ended()
