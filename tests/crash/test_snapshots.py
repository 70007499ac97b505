"""A `snapshot` source whose second fetch lacks records, killed at every step: only what is gone goes, is counted, and is told once."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from conftest import new_database
from crash import checker, points
from crash.checker import Broken
from crash.failpoints import Action, Failpoint
from crash.mutants import MUTANTS
from crash.oracle import Oracle, Row
from crash.points import chosen
from crash.scene import Scene, Upstream, first_loaded
from crash.victim import DONE, FAILED
from ingest_kit import writer
from kasparro.schemas.changes import Change, ChangeOp, FeedPosition
from kasparro.schemas.query import RecordQuery
from kasparro.storage.changes import Changes

pytestmark = pytest.mark.anyio

OLD = [Row(number, 1) for number in range(30)]
NEW = [Row(number, 2 if number % 4 == 0 else 1) for number in range(36) if number % 3 or number >= 30]
ORACLE = Oracle(NEW, OLD)
SHOWN = {str(row.id) for row in NEW}
GONE = {str(row.id) for row in OLD} - SHOWN

ONCE = ("begin_snapshot", "absence", "bounds", "forget_seen")
SEVERAL = ("mark", "commit", "advance", "arrange", "window", "delete_absent", "bury", "count_deleted")
WHILE_DELETING = 9
"""So many windows of keys are looked at before one from which records are deleted: those that are counted come first."""
WHEN, KINDS = ("before", "after"), ("api", "csv")
POINTS = [
    *(Failpoint(step, when) for step in ONCE for when in WHEN),
    *(Failpoint(step, when, nth) for step in SEVERAL for nth in (1, 3) for when in WHEN),
    *(Failpoint("window", when, WHILE_DELETING) for when in WHEN),
]
EACH_STEP = [
    Failpoint(step, when, nth)
    for (step, nth), when in zip(
        [*((step, 1) for step in ONCE), *((step, 2) for step in SEVERAL), ("window", WHILE_DELETING)],
        itertools.cycle(WHEN),
    )
]
KILLS = list(itertools.product(KINDS, POINTS) if points.ALL else zip(itertools.cycle(KINDS), EACH_STEP))
RAISES = chosen(
    [
        (kind, Failpoint(step, when, 2, Action.RAISE))
        for kind in KINDS
        for step, when in itertools.product(("arrange", "delete_absent", "bury", "count_deleted"), WHEN)
    ],
    at_most=2,
)


@dataclass
class Snapshots:
    """A scene that is loaded, and somebody who follows its dataset."""

    scene: Scene
    position: FeedPosition = field(default_factory=FeedPosition)
    followed: set[str] = field(default_factory=set)
    deletions: Counter[str] = field(default_factory=Counter)

    async def run(self, *faults: Failpoint, mutant: str | None = None) -> int:
        return await self.scene.run(*faults, snapshot=True, mutant=mutant, wait_for_lease=20.0)

    async def complete(self, mutant: str | None = None) -> None:
        assert await self.run(mutant=mutant) == DONE

    async def look(self) -> None:
        """What holds at any instant."""
        await asyncio.to_thread(checker.wait_until_gone, self.scene.url)
        await self._follow()
        with checker.snapshot(self.scene.url) as connection:
            there = {key for (key,) in connection.execute("SELECT source_id FROM normalized_data")}
            raw = {
                key
                for (key,) in connection.execute(
                    f"SELECT external_id FROM raw_data_{self.scene.kind} WHERE deleted_at IS NULL"
                )
            }
            count, version = connection.execute("SELECT record_count, version FROM etl_checkpoint").fetchone()
            newest = connection.execute(
                "SELECT max(version) FROM (SELECT version FROM normalized_data UNION ALL SELECT version FROM tombstone) AS v"
            ).fetchone()
            buried = [key for (key,) in connection.execute("SELECT source_id FROM tombstone")]
        lost = {str(row.id) for row in OLD} - GONE - there
        checker.hold("I15", not lost, f"deleted, and still in the source: {lost}")
        checker.hold("I15", raw == there, f"raw and dataset differ: {raw ^ there}")
        checker.hold("I15", count == len(there), f"{count} are counted and {len(there)} are there")
        checker.hold("I15", newest == (version,), f"the last change is {newest}, the dataset at {version}")
        checker.hold("I15", len(buried) == len(set(buried)), f"deleted twice: {buried}")
        checker.hold("I15", self.followed == there, f"a follower has {self.followed ^ there} wrong")

    async def _follow(self) -> None:
        async with writer(self.scene.url) as database:
            changes, more = Changes(database), True
            while more:
                changed = await changes.read(RecordQuery(), self.position, 7)
                for change in changed.changes:
                    self._hear(change)
                self.position, more = changed.after, changed.more

    def _hear(self, change: Change) -> None:
        key = str(change.source_id)
        if change.op is ChangeOp.DELETE:
            self.deletions[key] += 1
            self.followed.discard(key)
        else:
            checker.hold("I15", change.op is ChangeOp.UPSERT, f"a follower was told {change.op} of {key}")
            self.followed.add(key)

    async def end(self) -> None:
        await self.look()
        checker.hold("I15", self.followed == SHOWN, f"not what the source shows: {self.followed ^ SHOWN}")
        checker.hold("I15", self.deletions == Counter(GONE), f"told as deleted: {self.deletions}")
        with psycopg.connect(self.scene.url) as connection:
            seen = connection.execute("SELECT count(*) FROM snapshot_seen").fetchone()
            open_runs = connection.execute(
                "SELECT count(*) FROM etl_run WHERE status = 'in_progress'"
            ).fetchone()
        checker.hold("I12", seen == (0,), f"{seen} marks are left behind")
        checker.hold("I4", open_runs == (0,), f"{open_runs} runs never ended")


@pytest.fixture(scope="module")
def first_shown(
    postgres_server: str, template: str, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Templates to clone, one for each type of source, in which the first generation is loaded."""
    folder = tmp_path_factory.mktemp("shown")
    made = {
        kind: first_loaded(
            postgres_server, template, Scene("", kind, ORACLE, folder, upstream), snapshot=True
        )
        for kind in ("api", "csv")
    }
    yield made
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made.values():
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def loaded(
    postgres_server: str, first_shown: dict[str, str], upstream: Upstream, tmp_path: Path
) -> Iterator[Callable[[str], Awaitable[Snapshots]]]:
    """Makes a source that showed the first generation, was followed, and now shows the second."""
    opened = []

    async def make(kind: str) -> Snapshots:
        opened.append(new_database(postgres_server, first_shown[kind]))
        snapshots = Snapshots(Scene(next(opened[-1]), kind, ORACLE, tmp_path, upstream))
        await snapshots.look()
        snapshots.scene.publish()
        return snapshots

    yield make
    for database in opened:
        next(database, None)


async def completed(snapshots: Snapshots) -> None:
    """The run after a fault may have to go on where it ended, and then proves nothing; the one after it is complete."""
    await snapshots.complete()
    await snapshots.look()
    if snapshots.followed != SHOWN:
        await snapshots.complete()
    await snapshots.end()


@pytest.mark.parametrize("kind", ["api", "csv"])
async def test_without_a_fault_what_is_gone_is_deleted_in_one_run(loaded, kind):
    snapshots = await loaded(kind)
    await snapshots.complete()
    await snapshots.end()


@pytest.mark.parametrize(("kind", "point"), KILLS, ids=str)
async def test_killed_anywhere_only_what_is_gone_is_deleted_and_told_once(loaded, kind, point):
    snapshots = await loaded(kind)
    assert await snapshots.run(point) == -signal.SIGKILL
    await snapshots.look()
    await completed(snapshots)


@pytest.mark.parametrize(("kind", "point"), RAISES, ids=str)
async def test_a_deletion_that_fails_or_is_reported_as_failed_is_done_once(loaded, kind, point):
    snapshots = await loaded(kind)
    assert await snapshots.run(point) in {DONE, FAILED}
    await snapshots.look()
    await completed(snapshots)


async def page_cut_off(snapshots: Snapshots, mutant: str | None) -> None:
    snapshots.scene.upstream.cut = 4
    assert await snapshots.run(mutant=mutant) == FAILED
    await snapshots.look()
    checker.hold("I15", not snapshots.deletions, "a fetch that failed deleted")
    snapshots.scene.upstream.cut = None
    await completed(snapshots)


async def gone_on_from_the_middle(snapshots: Snapshots, mutant: str | None) -> None:
    assert await snapshots.run(Failpoint("advance", "before", 2)) == -signal.SIGKILL
    await snapshots.look()
    await snapshots.complete(mutant=mutant)
    await snapshots.look()
    checker.hold("I15", not snapshots.deletions, "a fetch that began in the middle deleted")
    await completed(snapshots)


SCENARIOS = {"M19": page_cut_off, "M20": gone_on_from_the_middle}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_deletes_after_an_incomplete_fetch_is_found(loaded, name):
    with pytest.raises(Broken) as found:
        await SCENARIOS[name](await loaded("api"), name)
    assert found.value.invariant in MUTANTS[name].breaks


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_product_deletes_nothing_there(loaded, name):
    await SCENARIOS[name](await loaded("api"), None)


@pytest.mark.parametrize(("step", "nth"), [("bury", 2), ("forget_seen", 1)])
async def test_who_lost_the_lease_while_deleting_deletes_nothing_more(loaded, step, nth):
    """Frozen there until somebody else has deleted the rest; then it wakes."""
    snapshots = await loaded("api")
    frozen = snapshots.scene.start(Failpoint(step, "before", nth, Action.STOP), snapshot=True, idle=0.5)
    await frozen.stopped()
    await snapshots.complete()
    frozen.wake()
    assert await frozen.ended() != -signal.SIGKILL
    await snapshots.end()
