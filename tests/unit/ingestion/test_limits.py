"""The arithmetic of the limits against oracles that are too simple to be wrong: a list of all requests that were let through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.durations import CalendarPeriod
from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.limits import LocalLimits, State, take
from kasparro.schemas.limits import (
    CIRCUIT_AFTER,
    FIRST_REST,
    LONGEST_REST,
    PROBE,
    Because,
    Policy,
    circuit_rest,
)

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock:
    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def policy(**limit: object) -> Policy:
    return Policy.of(ApiSource.model_validate({"name": "x", "url": "http://x.example", "rate_limit": limit}))


def let_through(declared: Policy, steps: list[timedelta]) -> list[datetime]:
    """When requests were let through, by someone who asks after each of *steps*."""
    state, now, passed = State(), NOON, []
    for step in steps:
        now += step
        state, blocked = take(state, declared, now)
        if blocked is None:
            passed.append(now)
        else:
            assert blocked.until > now
    return passed


def most_in_any_window(passed: list[datetime], length: timedelta) -> int:
    return max((sum(begin <= at < begin + length for at in passed) for begin in passed), default=0)


STEPS = st.lists(
    st.one_of(
        st.integers(0, 3_000_000).map(lambda us: timedelta(microseconds=us)), st.just(timedelta(seconds=30))
    ),
    max_size=120,
)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(50, 5_000), STEPS)
def test_no_window_ever_holds_more_than_is_declared(requests, burst, per_ms, steps):
    declared = policy(requests=requests, burst=min(burst, requests), per=f"{per_ms}ms")
    passed = let_through(declared, steps)
    assert most_in_any_window(passed, timedelta(milliseconds=per_ms)) <= requests


@given(st.integers(1, 12), st.integers(50, 5_000), STEPS)
def test_without_a_burst_requests_pass_exactly_when_their_distance_is_kept(requests, per_ms, steps):
    declared = policy(requests=requests, per=f"{per_ms}ms")
    last, now, expected = None, NOON, []
    for step in steps:
        now += step
        if last is None or now >= last + declared.interval:
            last = now
            expected.append(now)
    assert let_through(declared, steps) == expected


@given(st.integers(2, 40), st.integers(2, 40), st.integers(50, 5_000))
def test_a_source_that_rested_may_be_asked_a_whole_burst_at_once_and_then_at_its_pace(
    requests, burst, per_ms
):
    burst = min(burst, requests)
    declared = policy(requests=requests, burst=burst, per=f"{per_ms}ms")
    at_once = let_through(declared, [timedelta(0)] * (burst + 3))
    assert len(at_once) == burst
    later = let_through(declared, [timedelta(0)] * burst + [declared.interval] * 3)
    assert len(later) == burst + 3


def test_the_way_to_the_server_may_take_longer_once():
    assert policy(requests=10, per="1s").interval * 10 == timedelta(milliseconds=1050)
    assert policy(requests=1, per="1h").interval == timedelta(hours=1, milliseconds=250)


@given(STEPS, st.sampled_from([*CalendarPeriod, timedelta(seconds=7)]), st.integers(1, 5))
def test_a_period_never_holds_more_than_its_budget(steps, per, requests):
    declared = Policy("x", budget=requests, period=per)
    now, used, begun, expected = NOON, 0, None, []
    for step in steps:
        now += step * 600
        begins = {
            CalendarPeriod.HOUR: (now.year, now.month, now.day, now.hour),
            CalendarPeriod.DAY: (now.year, now.month, now.day),
            CalendarPeriod.MONTH: (now.year, now.month),
        }.get(per)
        if begins is None:
            begins = begun if begun is not None and now < begun + per else now
        if begins != begun:
            used, begun = 0, begins
        if used < requests:
            used += 1
            expected.append(now)
    assert let_through(declared, [step * 600 for step in steps]) == expected


@pytest.mark.parametrize(
    ("per", "until"),
    [
        (CalendarPeriod.HOUR, datetime(2026, 12, 31, 24 - 1, tzinfo=UTC) + timedelta(hours=1)),
        (CalendarPeriod.DAY, datetime(2027, 1, 1, tzinfo=UTC)),
        (CalendarPeriod.MONTH, datetime(2027, 1, 1, tzinfo=UTC)),
        (timedelta(days=30), datetime(2026, 12, 31, 23, 30, tzinfo=UTC) + timedelta(days=30)),
    ],
)
async def test_a_budget_that_is_used_up_is_there_again_with_the_next_period(per, until):
    clock = Clock(datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    limits, declared = LocalLimits(clock), Policy("x", budget=1, period=per)
    assert await limits.turn(declared) is None
    blocked = await limits.turn(declared)
    assert blocked is not None
    assert (blocked.until, blocked.because) == (until, Because.BUDGET)
    clock.at = until - MICROSECOND
    assert await limits.turn(declared) is not None
    clock.at = until
    assert await limits.turn(declared) is None


async def test_a_clock_that_is_set_back_costs_one_distance_and_not_an_hour():
    clock = Clock()
    limits, declared = LocalLimits(clock), policy(requests=1, per="10s")
    assert await limits.turn(declared) is None
    clock.at -= timedelta(hours=1)
    blocked = await limits.turn(declared)
    assert blocked is not None
    assert blocked.seconds == declared.interval.total_seconds()
    clock.at += declared.interval
    assert await limits.turn(declared) is None


async def test_a_rest_holds_for_all_of_a_group_and_the_longer_one_counts():
    limits = LocalLimits(clock := Clock())
    one, other = policy(group="api"), policy(group="api", concurrency=2)
    assert one.counted
    await limits.rest(one, 50)
    await limits.rest(other, 20)
    blocked = await limits.turn(other)
    assert blocked is not None
    assert (blocked.seconds, blocked.because) == (50, Because.REST)
    clock.at += timedelta(seconds=50)
    assert await limits.turn(other) is None


async def test_an_absurd_rest_is_a_year_and_no_overflow():
    limits = LocalLimits(Clock())
    assert await limits.rest(policy(), 1e15) == NOON + timedelta(days=366)


async def test_failures_in_a_row_open_the_circuit_for_a_growing_time_and_one_run_probes():
    limits, declared = LocalLimits(clock := Clock()), policy()
    for _ in range(CIRCUIT_AFTER - 1):
        assert (await limits.failed(declared, "source_unavailable")).blocked is None
    start = await limits.failed(declared, "source_unavailable")
    assert start.blocked is not None
    assert (start.blocked.because, start.blocked.until) == (Because.CIRCUIT, NOON + FIRST_REST)

    clock.at += FIRST_REST
    assert (await limits.look(declared)).probe
    assert (await limits.begin(declared)).probe
    second = await limits.begin(declared)
    assert second.blocked is not None
    assert second.blocked.until == clock.at + PROBE

    again = await limits.failed(declared, "source_unavailable")
    assert again.blocked is not None
    assert again.blocked.until == clock.at + 2 * FIRST_REST
    await limits.succeeded(declared)
    assert await limits.begin(declared) == await LocalLimits(clock).begin(declared)


async def test_failures_for_different_reasons_are_not_in_a_row():
    limits, declared = LocalLimits(Clock()), policy()
    for code in ("source_unavailable", "truncated_content") * CIRCUIT_AFTER:
        assert (await limits.failed(declared, code)).blocked is None


async def test_an_operator_may_forget_rests_and_failures_and_not_what_was_counted():
    limits, declared = LocalLimits(Clock()), policy(budget={"requests": 1, "per": "day"})
    assert await limits.turn(declared) is None
    await limits.rest(declared, 1_000_000)
    for _ in range(CIRCUIT_AFTER):
        await limits.failed(declared, "source_unavailable")
    await limits.forget(declared)
    start = await limits.begin(declared)
    assert start.blocked is not None
    assert start.blocked.because is Because.BUDGET


def test_the_rest_of_a_source_that_is_down_is_bounded():
    rests = [circuit_rest(failures) for failures in range(1, 1_000)]
    assert rests[: CIRCUIT_AFTER + 2] == [None, None, FIRST_REST, FIRST_REST * 2, FIRST_REST * 4]
    assert max(rest for rest in rests if rest) == LONGEST_REST


@pytest.mark.parametrize(
    "source",
    [CsvSource(name="x", path="a.csv"), ApiSource(name="x", url="http://x.example")],
)
def test_where_nothing_is_declared_no_request_has_to_ask(source):
    assert not Policy.of(source).counted
    assert not policy(concurrency=9).counted
    assert policy(requests=1).counted
    assert policy(budget={"requests": 1, "per": "day"}).counted
