"""Who passes the gate when, with limits that answer what they are told and a clock that sleeping moves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kasparro.core.errors import SourceParked
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.http.gate import Gate, Waiting, gate_of
from kasparro.ingestion.limits import LocalLimits
from kasparro.schemas.limits import Blocked, Policy

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.at += timedelta(seconds=seconds)

    def waiting(self) -> Waiting:
        return Waiting(sleep=self.sleep, now=self.now)


class Limits(LocalLimits):
    """Counts what it is asked; *meanwhile* is done while the answer to a turn is on its way."""

    def __init__(self, now):
        super().__init__(now)
        self.turns = 0
        self.rests = []
        self.meanwhile = None

    async def turn(self, policy: Policy) -> Blocked | None:
        self.turns += 1
        answer = await super().turn(policy)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return answer

    async def rest(self, policy: Policy, seconds: float) -> datetime:
        self.rests.append(seconds)
        return await super().rest(policy, seconds)


def declared(**limit: object) -> ApiSource:
    return ApiSource.model_validate({"name": "x", "url": "http://x.example", "rate_limit": limit})


def gate(clock: Clock, **limit: object) -> tuple[Gate, Limits]:
    limits = Limits(clock.now)
    return gate_of(declared(**limit), limits, clock.waiting()), limits


async def test_requests_pass_one_after_the_other_each_at_its_time():
    clock, passed = Clock(), []
    guarded, _ = gate(clock, requests=1, per="10s")

    async def ask(number: int) -> None:
        await guarded.passed()
        passed.append((number, clock.at - NOON))

    await asyncio.gather(*(ask(number) for number in range(4)))
    assert passed == [(n, timedelta(seconds=10.25) * n) for n in range(4)]


async def test_where_nothing_is_declared_nothing_is_asked():
    clock = Clock()
    guarded, limits = gate(clock, concurrency=2)
    for _ in range(5):
        await guarded.passed()
    assert (limits.turns, clock.slept) == (0, [])


async def test_a_rest_is_kept_by_all_who_ask_and_told_to_the_others():
    clock = Clock()
    guarded, limits = gate(clock)
    await guarded.rest(17)
    await guarded.rest(9)
    await asyncio.gather(*(guarded.passed() for _ in range(5)))
    assert (clock.slept, limits.rests) == ([17.0], [17, 9])


async def test_a_rest_that_is_asked_for_while_a_turn_is_given_is_kept():
    clock = Clock()
    guarded, limits = gate(clock, requests=100, per="1s")
    limits.meanwhile = lambda: guarded.hold(30)
    await guarded.passed()
    assert clock.at == NOON + timedelta(seconds=30)


async def test_a_rest_that_grows_while_it_is_waited_for_is_kept_whole():
    clock = Clock()
    guarded, _ = gate(clock)
    await guarded.rest(20)
    waiting = asyncio.create_task(guarded.passed())
    await asyncio.sleep(0)
    await guarded.rest(50)
    await waiting
    assert clock.at == NOON + timedelta(seconds=50)


async def test_a_clock_that_was_set_back_does_not_make_a_rest_longer():
    clock = Clock()
    guarded, _ = gate(clock)
    await guarded.rest(20)

    async def set_back(seconds: float) -> None:
        clock.slept.append(seconds)
        clock.at -= timedelta(hours=1)

    guarded._waiting = Waiting(sleep=set_back, now=clock.now)
    await guarded.passed()
    assert clock.slept == [20.0]


@pytest.mark.parametrize(("seconds", "parks"), [(60, False), (60.001, True), (1e15, True)])
async def test_a_wait_beyond_the_declared_one_parks(seconds, parks):
    clock = Clock()
    guarded, _ = gate(clock)
    await guarded.rest(seconds)
    if not parks:
        await guarded.passed()
        return
    with pytest.raises(SourceParked) as parked:
        await guarded.passed()
    assert parked.value.asked
    assert clock.slept == []


async def test_what_is_declared_may_park_too_and_is_nothing_the_source_asked_for():
    clock = Clock()
    guarded, _ = gate(clock, requests=1, per="5m")
    await guarded.passed()
    with pytest.raises(SourceParked, match="its rate limit allows no request earlier") as parked:
        await guarded.passed()
    assert not parked.value.asked


async def test_who_gives_up_waiting_lets_the_next_one_pass():
    clock = Clock()
    guarded, _ = gate(clock)
    await guarded.rest(20)
    first = asyncio.create_task(guarded.passed())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await guarded.passed()
    assert clock.at >= NOON + timedelta(seconds=20)
