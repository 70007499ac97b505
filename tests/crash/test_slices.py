"""A fetch in slices, two at once, killed in the middle of one: what is finished is not asked for again, and nothing is missing."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import psycopg
import pytest

from crash import checker
from crash.failpoints import Failpoint
from crash.victim import SLICED

pytestmark = pytest.mark.anyio

SLICES = 6
A_SLICE = 20
"""Records: three pages, so that a kill is in the middle of a slice as often as not."""

KILLS = [
    Failpoint(step, when, nth)
    for step in ("advance", "move_checkpoint", "copy_raw")
    for when, nth in (("before", 1), ("after", 2), ("before", 4), ("after", 6))
]


def records() -> list[dict[str, int]]:
    """In any order within a slice, as sources have them."""
    count = SLICES * A_SLICE
    return sorted(
        ({"id": number, "at": 1000 + number // 2} for number in range(count)),
        key=lambda record: record["id"] * 37 % 101,
    )


@pytest.fixture
def scene(bare_scene):
    made = replace(bare_scene, kind=SLICED)
    made.upstream.timed, made.upstream.asked = records(), []
    return made


def finished(url: str) -> set[int]:
    """The slices that the checkpoint says are done."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT cursor FROM etl_checkpoint").fetchone()
    ranges = row[0]["after"]["fetch"]["done"] if row and row[0] else []
    return {number for first, behind, _ in ranges for number in range(first, behind)}


@pytest.mark.parametrize("point", KILLS, ids=str)
async def test_a_fetch_in_slices_that_was_killed_is_finished_by_the_next_run(scene, point):
    assert await scene.run(point) == -signal.SIGKILL
    await asyncio.to_thread(checker.wait_until_gone, scene.url)
    done, scene.upstream.asked[:] = finished(scene.url), []

    await scene.recover()

    asked = {(until - 1000) // 10 - 1 for _, until, _ in scene.upstream.asked}
    assert asked == set(range(SLICES)) - done
    with psycopg.connect(scene.url) as connection:
        found = {
            int(key) for (key,) in connection.execute("SELECT source_id FROM normalized_data").fetchall()
        }
        checker.check_ledger(connection, [])
        at = connection.execute(
            "SELECT extract(epoch FROM last_processed_timestamp) FROM etl_checkpoint"
        ).fetchone()
        counted = connection.execute("SELECT sum(records_inserted) FROM etl_run").fetchone()
    assert found == {record["id"] for record in scene.upstream.timed}
    assert at == (max(record["at"] for record in scene.upstream.timed),)
    assert counted == (len(scene.upstream.timed),)
