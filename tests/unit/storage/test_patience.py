"""How long a run waits for its database, with waits of no time and a clock that is read from a list."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from kasparro.core.errors import (
    DatabaseConflict,
    DatabaseReadOnly,
    DatabaseTimeout,
    DatabaseUnavailable,
    RecordRefused,
    RunInterrupted,
    StorageFull,
)
from kasparro.schemas.ingest import SourceName
from kasparro.storage.patience import WAITS, Patience, Waits

pytestmark = pytest.mark.anyio

NO_TIME = Waits(conflict=(0.0,) * 3, outage=(0.0,) * 4, moment=(0.0,), pause=(0.0,))


class Work:
    """Fails with each of *errors* in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def patience(stop: asyncio.Event | None = None, seconds: float = 0.0) -> Patience:
    clock = itertools.count(step=seconds) if seconds else itertools.repeat(0.0)
    return Patience(SourceName("things"), stop or asyncio.Event(), NO_TIME, lambda: float(next(clock)))


@pytest.mark.parametrize(
    "error", [DatabaseConflict(), DatabaseUnavailable(), DatabaseTimeout(), StorageFull()]
)
async def test_what_passes_is_tried_again(error):
    work = Work(error, error)
    assert await patience().with_(work) == "done"
    assert work.calls == 3


@pytest.mark.parametrize(("error", "calls"), [(DatabaseConflict(), 4), (DatabaseUnavailable(), 5)])
async def test_conflicts_and_outages_are_tried_a_bounded_number_of_times(error, calls):
    work = Work(*[error] * 50)
    with pytest.raises(type(error)):
        await patience().with_(work)
    assert work.calls == calls


async def test_once_patience_is_used_up_the_next_work_gets_a_moment_only():
    """The run tries what it does next a few times too: together that stays about a minute."""
    waiting = patience()
    with pytest.raises(DatabaseUnavailable):
        await waiting.with_(Work(*[DatabaseUnavailable()] * 50))
    again = Work(*[DatabaseUnavailable()] * 50)
    with pytest.raises(DatabaseUnavailable):
        await waiting.with_(again)
    assert again.calls == 2
    assert await waiting.with_(Work(DatabaseUnavailable())) == "done"
    assert await waiting.with_(Work(*[DatabaseUnavailable()] * 4)) == "done"


async def test_what_will_not_pass_is_not_tried_again():
    work = Work(RecordRefused())
    with pytest.raises(RecordRefused):
        await patience().with_(work)
    assert work.calls == 1


async def test_a_pause_lasts_as_long_as_it_takes_and_says_so_again_each_minute():
    work = Work(*[StorageFull("no space")] * 40)
    with capture_logs() as logs:
        assert await patience(seconds=10.0).with_(work) == "done"
    paused = [line for line in logs if line["event"] == "source.paused"]
    assert {line["reason"] for line in paused} == {"storage_full"}
    assert len(paused) == 40 * 10 // 60 + 1
    assert [line["source"] for line in logs if line["event"] == "source.resumed"] == ["things"]


async def test_an_outage_within_a_pause_belongs_to_it():
    """A server whose disk is full may go down for it."""
    work = Work(StorageFull(), *[DatabaseUnavailable()] * 50, StorageFull())
    assert await patience().with_(work) == "done"


async def test_a_pause_for_another_reason_is_told():
    with capture_logs() as logs:
        await patience().with_(Work(StorageFull(), DatabaseReadOnly()))
    assert [line["reason"] for line in logs if line["event"] == "source.paused"] == [
        "storage_full",
        "database_read_only",
    ]


async def test_stopping_ends_a_pause_at_once():
    stop = asyncio.Event()
    waiting = Patience(SourceName("things"), stop, Waits(pause=(3600.0,)))
    task = asyncio.create_task(waiting.with_(Work(*[StorageFull()] * 3)))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(RunInterrupted):
        await asyncio.wait_for(task, 10)


async def test_after_the_stop_there_is_no_pause_and_little_patience():
    stop = asyncio.Event()
    stop.set()
    work = Work(*[StorageFull()] * 3)
    with pytest.raises(StorageFull):
        await patience(stop).with_(work)
    assert work.calls == 1
    work = Work(*[DatabaseUnavailable()] * 50)
    with pytest.raises(DatabaseUnavailable):
        await patience(stop).with_(work)
    assert work.calls == 2


async def test_what_may_have_been_done_is_not_repeated_where_that_does_harm():
    """Taking a lease twice is not what taking it once is: only what the database has refused is tried again."""
    work = Work(DatabaseUnavailable())
    with pytest.raises(DatabaseUnavailable):
        await patience().with_refused(work)
    assert await patience().with_refused(Work(DatabaseReadOnly(), DatabaseConflict())) == "done"


def test_conflicts_are_over_in_seconds_and_outages_in_about_a_minute():
    assert sum(WAITS.conflict) < 3
    assert 45 < sum(WAITS.outage) < 75
    assert max(WAITS.pause) <= 10
