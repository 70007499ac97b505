"""Who lost the lease cannot write; who died is replaced; who is frozen keeps nobody out for long."""

from __future__ import annotations

import time

import psycopg
import pytest

from crash import checker
from crash.failpoints import Action, Failpoint
from crash.victim import DONE, FAILED

pytestmark = pytest.mark.anyio

FROZEN = [
    ("known", "after", 2),
    ("commit", "before", 3),
    ("advance", "before", 2),
    ("advance", "after", 2),
    ("copy_piece", "before", 2),
    ("copy_piece", "before", 5),
    ("copy_raw", "after", 3),
    ("count", "after", 4),
    ("commit", "after", 2),
    ("end_run", "before", 1),
    ("renew", "before", 1),
]


@pytest.mark.parametrize("kind", ["api", "csv"])
@pytest.mark.parametrize(("step", "when", "nth"), FROZEN)
async def test_a_process_that_was_frozen_beyond_its_lease_writes_nothing(scenes, kind, step, when, nth):
    """Also in the middle of its transaction, whose locks the database takes from it."""
    scene = scenes(kind)
    more = {} if step != "renew" else {"faults": (Failpoint("commit", "before", 3, Action.HANG),)}
    frozen = scene.start(*more.get("faults", ()), Failpoint(step, when, nth, Action.STOP), idle=0.5)
    await frozen.stopped()
    scene.check_instant()
    await scene.recover()
    scene.check_end()
    checked = checker.versions(scene.url, scene.oracle)

    frozen.wake()
    if step == "renew":  # the rest of it hangs for ever
        frozen.kill()
    code = await frozen.ended()

    if step not in {"renew", "end_run"}:
        assert code == FAILED, frozen.said()[-2000:]
        assert '"lease_lost"' in frozen.said()
    checker.check_nothing_written(checked, checker.versions(scene.url, scene.oracle))
    scene.check_end()


async def test_the_run_of_a_dead_process_is_failed_and_linked_to_the_one_that_resumed(scenes):
    scene = scenes("csv")
    await scene.run(Failpoint("commit", "before", 3))
    await scene.check_recovery()
    with psycopg.connect(scene.url) as connection:
        dead, again = connection.execute(
            "SELECT run_id, status, error_message, metadata FROM etl_run ORDER BY id DESC LIMIT 2"
        ).fetchall()[::-1]
    assert (dead[1], dead[2].partition(":")[0]) == ("failed", "interrupted")
    assert again[3]["resumes"] == dead[0]
    assert dead[3]["resumed_by"] == again[0]


async def test_a_source_is_free_as_soon_as_the_lease_of_the_dead_is_over(scenes):
    scene = scenes("csv")
    await scene.run(Failpoint("commit", "before", 2), lease=1.0)
    died = time.monotonic()
    await scene.recover()
    assert time.monotonic() - died < 15
    scene.check_end()


async def test_of_victims_that_start_together_one_writes_and_the_rest_wait(scenes):
    scene = scenes("csv")
    crowd = [scene.start(wait_for_lease=30.0) for _ in range(3)]
    codes = [await victim.ended() for victim in crowd]
    assert codes == [DONE] * 3
    scene.check_end()
