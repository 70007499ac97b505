"""SIGKILL at the n-th chunk between the process and PostgreSQL, in either direction, before and after it arrives."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace

import pytest

from crash.points import ALL, chosen
from crash.proxy import Harm, Plan
from crash.victim import DONE

pytestmark = pytest.mark.anyio

PARTS = 200 if ALL else 40
"""A run is cut into so many parts, and killed in each; how many chunks it has is seen when it is run."""

KILLS = chosen(
    list(
        itertools.product(
            ("api", "csv"), (Harm.KILL_BEFORE, Harm.KILL_AFTER), ("up", "down"), range(1, PARTS + 1)
        )
    ),
    at_most=100,
)


@pytest.fixture(scope="session")
def chunks() -> dict[str, dict[str, int]]:
    """How many chunks a whole run has, by type of source; counted once in each test process."""
    return {}


async def count(scene, chunks) -> dict[str, int]:
    if scene.kind not in chunks:
        code, proxy = await scene.run_through(Plan())
        assert code == DONE
        scene.check_end()
        chunks[scene.kind] = proxy.seen
    return chunks[scene.kind]


@pytest.mark.parametrize(("kind", "harm", "direction", "part"), KILLS, ids=str)
async def test_a_run_that_was_killed_at_any_call_on_its_socket_is_finished_by_the_next(
    scenes, chunks, kind, harm, direction, part
):
    seen = await count(scenes(kind), chunks)
    nth = max(1, seen[direction] * part // (PARTS + 1))
    scene, code = await killed(scenes, kind, Plan(harm, direction, nth))
    assert code == -signal.SIGKILL
    await scene.check_recovery()


async def killed(scenes, kind, plan: Plan):
    """Two batches at a time share their calls differently in every run: one that ends before its kill is killed a little earlier."""
    scene = scenes(kind)
    code, _ = await scene.run_through(plan)
    if code != DONE:
        return scene, code
    assert plan.nth > 1
    scene.check_end()
    return await killed(scenes, kind, replace(plan, nth=plan.nth * 4 // 5))
