"""The limits that PostgreSQL keeps: the same as those of one process, shared by all of them, and there after a restart."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kasparro.core.database import Database, PoolOptions
from kasparro.core.durations import CalendarPeriod
from kasparro.core.errors import DatabaseUnavailable
from kasparro.ingestion.limits import LocalLimits
from kasparro.schemas.limits import Because, Policy
from kasparro.storage.limits import PostgresLimits

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PROCESS = Path(__file__).parent.parent / "limit_process.py"
names = itertools.count()

AUDIT = """
CREATE TABLE audit (id BIGSERIAL, sent_at TIMESTAMPTZ, decided_at TIMESTAMPTZ);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit (sent_at, decided_at) VALUES (NEW.next_at - interval '{distance} us', clock_timestamp()); RETURN NEW; END $$;
CREATE TRIGGER audit AFTER UPDATE ON source_limit FOR EACH ROW EXECUTE FUNCTION audit();
"""


class Clock:
    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def limits_at(url: str, clock: Clock | None = None) -> AsyncIterator[PostgresLimits]:
    """As another process would open them."""
    database = Database(url, PoolOptions(size=3, overflow=5, name="kasparro-test"))
    try:
        yield PostgresLimits(database, clock)
    finally:
        await database.close()


STEPS = st.tuples(
    st.sampled_from(
        ["turn", "turn", "turn", "turn", "rest", "failed", "begin", "look", "succeeded", "forget"]
    ),
    st.one_of(
        st.integers(0, 3_000_000),
        st.sampled_from([0, 60_000_000, 3_600_000_000]),
        st.sampled_from([-100_000, -2_000_000]),  # a clock that was set back
    ),
)
POLICIES = st.builds(
    lambda distance, burst, budget, period: Policy(
        "x",
        timedelta(microseconds=distance),
        timedelta(microseconds=distance * burst),
        budget,
        period if budget else timedelta(0),
    ),
    st.sampled_from([0, 1, 333_333, 1_000_000, 90_000_000]),
    st.integers(0, 3),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([*CalendarPeriod, timedelta(seconds=5)]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POLICIES, st.lists(STEPS, max_size=25))
def test_the_database_decides_as_one_process_does(database_url, policy, steps):
    async def compare() -> None:
        clock, declared = Clock(), Policy(f"x{next(names)}", *(getattr(policy, f) for f in FIELDS))
        local = LocalLimits(clock)
        async with limits_at(database_url, clock) as stored:
            for verb, later in steps:
                clock.at += timedelta(microseconds=later)
                more = {"rest": (45.5,), "failed": ("source_unavailable",)}.get(verb, ())
                answers = [await getattr(limits, verb)(declared, *more) for limits in (local, stored)]
                assert answers[0] == answers[1], verb

    asyncio.run(compare())


FIELDS = ("interval", "tolerance", "budget", "period")


async def test_processes_that_share_a_limit_keep_it_together(database_url):
    """Two processes ask for 20 turns each. What was let through is noted by the database, in the order it happened."""
    declared = {"requests": "40", "per": "1s"}
    distance = 26_250  # a second and its slack, in 40 parts
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(AUDIT.format(distance=distance))
        asked = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(PROCESS), database_url, *declared.values(), "20"
            )
            for _ in range(2)
        ]
        assert [await process.wait() for process in asked] == [0, 0]
        sent = connection.execute("SELECT sent_at, decided_at FROM audit ORDER BY id").fetchall()
    assert len(sent) == 40
    apart = [later[0] - earlier[0] for earlier, later in itertools.pairwise(sent)]
    assert min(apart) >= timedelta(microseconds=distance)
    assert all(sent_at <= decided_at for sent_at, decided_at in sent), (
        "nothing is let through before its time"
    )


async def test_many_who_ask_at_the_same_instant_get_one_turn(database_url):
    policy = Policy("x", interval=timedelta(hours=1))
    async with limits_at(database_url) as one, limits_at(database_url) as other:
        answers = await asyncio.gather(*(limits.turn(policy) for limits in (one, other) * 8))
    assert answers.count(None) == 1


async def test_a_budget_is_the_same_for_all_and_outlives_who_spent_it(database_url):
    clock, policy = Clock(), Policy("x", budget=3, period=CalendarPeriod.DAY)
    async with limits_at(database_url, clock) as first, limits_at(database_url, clock) as second:
        assert [await first.turn(policy), await second.turn(policy), await first.turn(policy)] == [None] * 3
    async with limits_at(database_url, clock) as restarted:
        blocked = await restarted.turn(policy)
        assert blocked is not None
        assert (blocked.until, blocked.because) == (datetime(2026, 5, 5, tzinfo=UTC), Because.BUDGET)
        [standing] = await restarted.standings([policy])
        assert (standing.used, standing.explanation) == (
            3,
            "not asked before 2026-05-05 00:00:00 UTC: its budget of requests is used up",
        )
        clock.at = blocked.until
        assert await restarted.turn(policy) is None


async def test_a_clock_that_is_set_back_costs_one_distance(database_url):
    clock, policy = Clock(), Policy("x", interval=timedelta(seconds=10))
    async with limits_at(database_url, clock) as limits:
        assert await limits.turn(policy) is None
        clock.at -= timedelta(hours=1)
        blocked = await limits.turn(policy)
        assert blocked is not None
        assert blocked.seconds == 10
        clock.at += timedelta(seconds=10)
        assert await limits.turn(policy) is None


async def test_a_rest_that_one_process_was_asked_for_holds_for_the_others(database_url):
    clock, policy = Clock(), Policy("group:api", grouped=True)
    async with limits_at(database_url, clock) as told, limits_at(database_url, clock) as other:
        await told.rest(policy, 17)
        blocked = await other.turn(policy)
        assert blocked is not None
        assert (blocked.seconds, blocked.because) == (17, Because.REST)
        clock.at += timedelta(seconds=17)
        assert await other.turn(policy) is None


async def test_of_many_runs_that_begin_when_a_source_may_be_back_one_probes(database_url):
    clock, policy = Clock(), Policy("x")
    async with limits_at(database_url, clock) as one, limits_at(database_url, clock) as other:
        for _ in range(3):
            start = await one.failed(policy, "source_unavailable")
        assert start.blocked is not None
        clock.at = start.blocked.until
        starts = await asyncio.gather(*(limits.begin(policy) for limits in (one, other) * 4))
    assert sum(start.probe for start in starts) == 1
    assert sum(start.blocked is not None for start in starts) == 7


async def test_without_a_database_nothing_is_let_through(database_url):
    """The patience of a run: it asks again, and again, and grants nothing meanwhile."""
    gone = Database(database_url.replace("kasparro_test", "gone"), PoolOptions(size=1, checkout=1))
    asked = asyncio.create_task(PostgresLimits(gone).turn(Policy("x", interval=timedelta(seconds=1))))
    done, _ = await asyncio.wait({asked}, timeout=0.5)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await gone.close()
    assert done == set() or isinstance(asked.exception(), DatabaseUnavailable)
