from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog

from kasparro.core.errors import DatabaseUnavailable
from kasparro.core.etl_config import Catalog, CsvSource
from kasparro.schemas.ingest import RunId
from kasparro.schemas.limits import Because, Blocked, Policy, Standing
from kasparro.storage.ingest_jobs import Occupied
from kasparro.worker.schedules import Scheduler, latest_moment, next_moment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Queue:
    """Records what was asked for, and answers what it is told to."""

    def __init__(self, answer: object = RunId("run_x_1")) -> None:
        self.answer = answer
        self.asked: list[tuple[str, datetime]] = []
        self.skipped: list[tuple[str, datetime]] = []

    async def request_scheduled(self, source: str, moment: datetime) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.asked.append((source, moment))
        return self.answer

    async def skip_scheduled(self, source: str, moment: datetime) -> bool:
        self.skipped.append((source, moment))
        return len(self.skipped) == 1


class Free:
    """Every source may be asked, or none until *blocked* is over; it is not asked before that."""

    def __init__(self, blocked: Blocked | None = None) -> None:
        self.blocked = blocked

    async def standings(self, policies: Sequence[Policy]) -> list[Standing]:
        return [Standing(policy.name, self.blocked) for policy in policies]


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def catalog(**schedules: str | None) -> Catalog:
    sources = {
        name: CsvSource(type="csv", name=name, path="x.csv", schedule=cron, enabled=name != "disabled")
        for name, cron in schedules.items()
    }
    return Catalog(sources=sources, path=Path("kasparro.yaml"))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOON, NOON),
        (NOON + timedelta(milliseconds=1), NOON),
        (NOON + timedelta(minutes=59), NOON),
        (NOON - timedelta(milliseconds=1), NOON - timedelta(hours=1)),
    ],
)
def test_the_latest_moment_is_never_in_the_future(at, expected):
    assert latest_moment("0 * * * *", at) == expected


def test_a_sixth_field_is_the_second():
    assert latest_moment("* * * * * */10", NOON + timedelta(seconds=19)) == NOON + timedelta(seconds=10)
    assert next_moment("* * * * * */10", NOON) == NOON + timedelta(seconds=10)


@pytest.fixture
def far_away(monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_schedules_are_utc_wherever_the_machine_is(far_away):
    evening = datetime(2026, 3, 8, 7, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    assert latest_moment("0 7 * * *", evening) == datetime(2026, 3, 8, 7, tzinfo=UTC)
    # the hour that New York's clocks leave out on this day
    assert next_moment("30 2 * * *", datetime(2026, 3, 8, 2, tzinfo=UTC)) == datetime(
        2026, 3, 8, 2, 30, tzinfo=UTC
    )


@pytest.mark.anyio
async def test_what_is_due_is_queued_once_and_what_is_disabled_or_unscheduled_never():
    queue, clock = Queue(), Clock(NOON + timedelta(seconds=1))
    scheduler = Scheduler(
        catalog(hourly="0 * * * *", disabled="0 * * * *", by_hand=None), queue, Free(), clock
    )
    await scheduler.step()
    await scheduler.step()
    assert queue.asked == [("hourly", NOON)]

    clock.at = NOON + timedelta(hours=1)
    await scheduler.step()
    assert queue.asked[1:] == [("hourly", NOON + timedelta(hours=1))]


@pytest.mark.anyio
async def test_a_moment_missed_for_long_is_left_out():
    queue = Queue()
    await Scheduler(catalog(hourly="0 * * * *"), queue, Free(), Clock(NOON + timedelta(minutes=10))).step()
    await Scheduler(catalog(hourly="0 * * * *"), queue, Free(), Clock(NOON + timedelta(minutes=11))).step()
    assert queue.asked == [("hourly", NOON)]


@pytest.mark.anyio
async def test_a_moment_is_tried_again_when_the_database_was_away():
    queue = Queue(DatabaseUnavailable("gone"))
    scheduler = Scheduler(catalog(hourly="0 * * * *"), queue, Free(), Clock(NOON))
    with pytest.raises(DatabaseUnavailable):
        await scheduler.step()
    queue.answer = None
    await scheduler.step()
    assert queue.asked == [("hourly", NOON)]


@pytest.mark.anyio
async def test_the_next_look_is_at_the_next_moment_and_never_far_away():
    scheduler = Scheduler(catalog(hourly="0 * * * *"), Queue(), Free(), Clock(NOON - timedelta(seconds=4)))
    assert await scheduler.step() == 4.0
    assert await Scheduler(catalog(hourly="0 * * * *"), Queue(), Free(), Clock(NOON)).step() == 30.0
    assert await Scheduler(catalog(), Queue(), Free(), Clock(NOON)).step() == 30.0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "events"),
    [
        (RunId("run_x_1"), ["schedule.queued"]),
        (Occupied(RunId("run_x_2"), "doing"), ["schedule.skipped"]),
        (None, []),
    ],
)
async def test_what_became_of_a_moment_is_one_event(answer, events):
    with structlog.testing.capture_logs() as logs:
        await Scheduler(catalog(x="0 * * * *"), Queue(answer), Free(), Clock(NOON)).step()
    assert [log["event"] for log in logs] == events


@pytest.mark.anyio
@pytest.mark.parametrize("because", list(Because))
async def test_a_moment_at_which_the_source_is_not_to_be_asked_is_left_out_once(because):
    queue, blocked = Queue(), Blocked(61.0, NOON + timedelta(seconds=61), because)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await Scheduler(catalog(x="0 * * * *"), queue, Free(blocked), Clock(NOON)).step()
    assert (queue.asked, queue.skipped) == ([], [("x", NOON)] * 2)
    assert [(log["event"], "not asked before 2026-03-01 12:01:01" in log["reason"]) for log in logs] == [
        ("schedule.skipped", True)
    ]


@pytest.mark.anyio
async def test_a_wait_short_enough_for_a_run_leaves_no_moment_out():
    queue, blocked = Queue(), Blocked(60.0, NOON + timedelta(seconds=60), Because.REST)
    await Scheduler(catalog(x="0 * * * *"), queue, Free(blocked), Clock(NOON)).step()
    assert queue.asked == [("x", NOON)]
