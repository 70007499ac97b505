"""The network between a run and its database: cut, reset, silent, slow, and the answer to a COMMIT that never comes."""

from __future__ import annotations

import itertools

import pytest

from crash import checker
from crash.failpoints import Failpoint
from crash.points import ALL, chosen
from crash.proxy import Harm, Plan, Proxy
from crash.victim import DONE, NEVER_BEGUN
from crash.watcher import watched

pytestmark = pytest.mark.anyio

CUTS = chosen(
    list(
        itertools.product(("api", "csv"), (Harm.RESET, Harm.CLOSE), ("up", "down"), (12, 25, 40, 55, 70, 85))
    ),
    at_most=16,
)


@pytest.mark.parametrize(("kind", "harm", "direction", "nth"), CUTS, ids=str)
async def test_a_run_whose_connection_is_cut_goes_on_by_itself(scenes, kind, harm, direction, nth):
    scene = scenes(kind)
    with watched(scene.url, scene.oracle):
        code, proxy = await scene.run_through(Plan(harm, direction, nth), wait_for_lease=20.0)
    assert proxy.struck.is_set()
    if code == DONE:
        scene.check_end()
    await scene.check_recovery()


TO_BEGIN = 1
"""The first COMMIT takes the lease and opens the run."""


COMMITS = {"api": 22, "csv": 17}
"""How many a run makes."""


@pytest.mark.parametrize(
    ("commit", "kind"),
    [(nth, kind) for kind, last in COMMITS.items() for nth in range(1, (last if ALL else 10) + 1)],
)
async def test_a_commit_whose_answer_is_lost_is_looked_up_and_never_sent_twice(scenes, kind, commit):
    scene = scenes(kind)
    code, proxy = await scene.run_through(Plan(Harm.LOSE_COMMIT, nth=commit), wait_for_lease=20.0)
    assert proxy.struck.is_set()
    if (
        commit == TO_BEGIN
    ):  # the run that has not begun, as far as it knows, is over: the next one takes its place
        assert code == NEVER_BEGUN
        await scene.check_recovery()
        return
    assert code == DONE
    scene.check_end()


async def test_the_log_says_that_a_batch_was_found_committed(scenes):
    """Of the COMMITs of a run some are a batch's: losing each of them in turn must find one so."""
    for commit in range(5, 15):
        scene = scenes("csv")
        async with Proxy(scene.url, Plan(Harm.LOSE_COMMIT, nth=commit)) as proxy:
            victim = scene.start(url=proxy.url)
            assert await victim.ended() == DONE
        scene.check_end()
        if "batch.found_committed" in victim.said():
            return
    pytest.fail("no COMMIT of a batch was lost")


SILENCES = chosen(list(itertools.product(("up", "down"), range(16, 60))), at_most=8)


@pytest.mark.parametrize(("direction", "nth"), SILENCES)
async def test_a_connection_that_falls_silent_ends_at_our_own_deadline(scenes, direction, nth):
    """Half-open: nothing arrives any more, and nobody is told. What waits for it in the server is ended by the next connection,
    which works.
    """
    scene = scenes("csv")
    async with Proxy(scene.url, Plan(Harm.STALL, direction, nth)) as proxy:
        victim = scene.start(url=proxy.url, statement=0.5, idle=1.0, wait_for_lease=20.0)
        await proxy.struck.wait()
        proxy.mend()
        assert await victim.ended() == DONE
    scene.check_end()


@pytest.mark.parametrize(("step", "nth"), [("copy_raw", 2), ("copy_piece", 4), ("copy_piece", 5)])
async def test_a_copy_to_a_database_that_falls_silent_ends_at_our_own_deadline(scenes, step, nth):
    """Before its first word, or in the middle: no timeout of the server's ends its waiting for the rest of the rows."""
    scene = scenes("csv")
    async with Proxy(scene.url) as proxy:
        victim = scene.start(Failpoint(step, "before", nth, "stop"), url=proxy.url, statement=0.5, idle=5.0)
        await victim.stopped()
        proxy.stall()
        victim.wake()
        await proxy.struck.wait()
        proxy.mend()
        assert await victim.ended() == DONE
        assert "no answer from the server within" in victim.said()
    scene.check_end()


async def test_a_slow_network_changes_nothing(scenes):
    scene = scenes("api")
    code, proxy = await scene.run_through(Plan(Harm.DELAY, "down", 20))
    assert code == DONE
    assert proxy.struck.is_set()
    scene.check_end()


async def test_readers_see_whole_batches_only_while_a_run_is_at_work(scenes):
    scene = scenes("api")
    with watched(scene.url, scene.oracle) as looked:
        assert await scene.run() == DONE
    assert looked.times > 0
    checker.wait_until_gone(scene.url)
    scene.check_end()
