from __future__ import annotations

import asyncio
import math

import pytest
import structlog

from kasparro.core.errors import DatabaseUnavailable
from kasparro.worker.supervision import Loop, Outage, growing_pause, until_stored

pytestmark = pytest.mark.anyio

GONE = DatabaseUnavailable("connection refused")


class Steps:
    """Plays a list: an exception is raised, a number returned; at the end it says stop."""

    def __init__(self, *plays: float | Exception) -> None:
        self.plays = list(plays)
        self.stop = asyncio.Event()

    async def __call__(self) -> float:
        play = self.plays.pop(0)
        if not self.plays:
            self.stop.set()
        if isinstance(play, Exception):
            raise play
        return play


async def test_a_loop_goes_on_after_the_database_was_away_and_after_a_fault():
    steps = Steps(0, GONE, GONE, RuntimeError("fault"), 0, 0)
    with structlog.testing.capture_logs() as logs:
        await Loop("claims", steps, Outage(), longest_pause=0).run(steps.stop)
    assert steps.plays == []
    assert [log["event"] for log in logs] == ["worker.database_unavailable"]


async def test_a_fault_is_reported_once_until_a_round_goes_well():
    steps = Steps(RuntimeError("one"), RuntimeError("one"), 0, RuntimeError("two"), 0)
    with structlog.testing.capture_logs() as logs:
        await Loop("claims", steps, Outage(), longest_pause=0).run(steps.stop)
    assert [log["event"] for log in logs] == ["worker.loop_failed"] * 2


async def test_the_wait_ends_at_the_alarm_and_at_the_stop():
    async with asyncio.timeout(10):
        rounds = asyncio.Queue[None]()

        async def step() -> float:
            rounds.put_nowait(None)
            return 3600.0

        stop = asyncio.Event()
        loop = Loop("claims", step, Outage(), longest_pause=0)
        running = asyncio.create_task(loop.run(stop))
        await rounds.get()
        loop.alarm.set()
        await rounds.get()
        stop.set()
        await running


async def test_an_alarm_during_a_round_is_not_lost():
    async with asyncio.timeout(10):
        stop = asyncio.Event()
        alarm = asyncio.Event()
        rounds = 0

        async def step() -> float:
            nonlocal rounds
            rounds += 1
            (alarm if rounds == 1 else stop).set()
            return 3600.0

        await Loop("claims", step, Outage(), longest_pause=0, alarm=alarm).run(stop)
        assert rounds == 2


async def test_an_outage_is_one_event_when_it_begins_and_one_when_it_ends():
    seconds = iter([10.0, 17.5])
    outage = Outage(clock=lambda: next(seconds))
    with structlog.testing.capture_logs() as logs:
        outage.over()
        for _ in range(5):
            outage.noticed(GONE)
        outage.over()
        outage.over()
    assert [(log["event"], log.get("outage_s")) for log in logs] == [
        ("worker.database_unavailable", None),
        ("worker.database_back", 7.5),
    ]


async def test_it_is_calm_only_when_the_database_has_been_there_for_a_while():
    time = 100.0
    outage = Outage(clock=lambda: time)
    assert outage.calm_for() == math.inf
    outage.noticed(GONE)
    assert outage.calm_for() == 0
    time = 130.0
    assert outage.calm_for() == 0
    outage.over()
    time = 135.0
    assert outage.calm_for() == 5.0


async def test_work_is_repeated_until_the_database_takes_it():
    steps = Steps(GONE, GONE, 1)
    await until_stored(steps, Outage(), longest_pause=0)
    assert steps.plays == []


async def test_other_faults_end_the_repeating():
    with pytest.raises(RuntimeError):
        await until_stored(Steps(GONE, RuntimeError("no"), 1), Outage(), longest_pause=0)


def test_pauses_grow_and_stay_below_the_longest():
    pauses = [growing_pause(n, 5.0) for n in (1, 2, 3, 10, 10_000)]
    assert 0.4 <= pauses[0] <= 0.5
    assert pauses[0] < pauses[1] < pauses[2]
    assert all(4.0 <= pause <= 5.0 for pause in pauses[3:])
