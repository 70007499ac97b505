"""Every step of a run, killed before and after: nothing lost, nothing twice, and the next run finishes it."""

from __future__ import annotations

import itertools
import signal

import pytest

from crash import checker
from crash.failpoints import Action, Failpoint
from crash.points import chosen
from crash.victim import DONE, FAILED

pytestmark = pytest.mark.anyio

ONCE = ("session", "take", "begin_run", "resume", "end_run", "release")
IN_EVERY_BATCH = (
    "known",
    "commit",
    "is_free",
    "write_rows",
    "copy_raw",
    "turn",
    "advance",
    "link",
    "write_progress",
    "move_checkpoint",
    "count",
)
IN_MOST_BATCHES = (
    "link_records",
    "link_keys",
    "copy_dataset",
    "upsert_dataset",
    "upsert_raw",
    "quarantine",
    "resolve",
)


def points(action: Action, nths: tuple[int, ...]) -> list[Failpoint]:
    found = [Failpoint(step, when, 1, action) for step, when in itertools.product(ONCE, ("before", "after"))]
    steps = (*IN_EVERY_BATCH, *IN_MOST_BATCHES)
    return found + [
        Failpoint(step, when, nth, action)
        for step, when, nth in itertools.product(steps, ("before", "after"), nths)
    ]


KILLS = chosen(
    [(kind, point) for kind in ("api", "csv") for point in points(Action.KILL, (1, 2, 5))], at_most=90
)
KILLS += [("api", Failpoint("drift", when)) for when in ("before", "after")]
RAISES = chosen(
    [(kind, point) for kind in ("api", "csv") for point in points(Action.RAISE, (2,))], at_most=24
)
RAISES += [("api", Failpoint("drift", when, action=Action.RAISE)) for when in ("before", "after")]


@pytest.mark.parametrize(("kind", "point"), KILLS, ids=str)
async def test_a_run_that_was_killed_anywhere_is_finished_by_the_next(scenes, kind, point):
    scene = scenes(kind)
    assert await scene.run(point) == -signal.SIGKILL
    await scene.check_recovery()


@pytest.mark.parametrize(("kind", "point"), RAISES, ids=str)
async def test_a_step_that_fails_or_is_executed_and_reported_as_failed_changes_nothing(scenes, kind, point):
    scene = scenes(kind)
    code = await scene.run(point)
    if point.step not in {"session", "take", "begin_run"}:
        assert code in {DONE, FAILED}
    await scene.check_recovery()


@pytest.mark.parametrize("kind", ["api", "csv"])
async def test_a_run_without_a_fault_is_what_the_oracle_says(scenes, kind):
    scene = scenes(kind)
    assert await scene.run() == DONE
    scene.check_end()


@pytest.mark.parametrize("kind", ["api", "csv"])
async def test_a_second_run_without_changes_writes_nothing(scenes, kind):
    scene = scenes(kind)
    assert await scene.run() == DONE
    before = checker.versions(scene.url, scene.oracle)

    assert await scene.run() == DONE

    checker.check_nothing_written(before, checker.versions(scene.url, scene.oracle))
    scene.check_end()
