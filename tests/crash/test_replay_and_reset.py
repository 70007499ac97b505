"""Replaying what is stored and resetting a checkpoint, killed at every step: the same end state, whoever finishes it."""

from __future__ import annotations

import asyncio
import itertools
import signal

import psycopg
import pytest

from crash import checker
from crash.failpoints import Action, Failpoint
from crash.points import chosen
from crash.victim import DONE

pytestmark = pytest.mark.anyio

STEPS = (
    "session",
    "archive_read",
    "archive_differing",
    "advance",
    "commit",
    "mark_raw",
    "quarantine",
    "count",
    "end_run",
)
REPLAYS = chosen(
    [Failpoint(step, when, nth) for step, when, nth in itertools.product(STEPS, ("before", "after"), (1, 3))
     if nth == 1 or step not in {"session", "end_run"}],
    at_most=14,
)  # fmt: skip

AN_OLDER_MAP = (
    "UPDATE normalized_data SET data = jsonb_set(data, '{title}', '\"as it was\"') WHERE id %% 3 = 0"
)


@pytest.mark.parametrize("point", REPLAYS, ids=str)
async def test_a_replay_that_was_killed_is_finished_by_the_next(scenes, point):
    scene = scenes("csv")
    assert await scene.run() == DONE
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute(AN_OLDER_MAP.replace("%%", "%"))

    assert await scene.run(point, work="replay") == -signal.SIGKILL
    checker.wait_until_gone(scene.url)
    await scene.recover(work="replay")

    with checker.snapshot(scene.url) as connection:
        found = checker.stored(connection)
    assert found == scene.oracle.final


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reset_that_was_killed_has_happened_or_has_not(scenes, when):
    scene = scenes("api")
    await scene.run(Failpoint("commit", "before", 4))
    checker.wait_until_gone(scene.url)
    before = checkpoint(scene.url)
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute("UPDATE source_lease SET expires_at = now() - interval '1 second'")
    assert await scene.run(Failpoint("reset", when), work="reset", wait_for_lease=20.0) == -signal.SIGKILL
    assert checkpoint(scene.url) == (before if when == "before" else (None, "idle"))
    await scene.recover()
    with checker.snapshot(scene.url) as connection:
        found = checker.stored(connection)
    assert found == scene.oracle.final


def checkpoint(url: str) -> tuple[object, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT cursor, status FROM etl_checkpoint").fetchone()
    assert row is not None
    return row


async def test_a_run_cannot_be_reset_under_its_feet(scenes):
    scene = scenes("csv")
    victim = scene.start(Failpoint("known", "after", 2, Action.HANG))
    with psycopg.connect(scene.url, autocommit=True) as connection:
        while connection.execute("SELECT holder IS NOT NULL FROM source_lease").fetchone() == (False,):  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.01)
    assert await scene.run(work="reset") != DONE
    victim.kill()
    assert await victim.ended() == -signal.SIGKILL
    await scene.check_recovery()
