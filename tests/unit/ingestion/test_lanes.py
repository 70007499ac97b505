"""Several batches under way at once, each in its turn."""

from __future__ import annotations

import asyncio
import json

import pytest

from ingest_kit import api_declaration
from kasparro.core.errors import KeysTaken, LeaseLost, RecordRefused
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.lanes import Lanes
from kasparro.ingestion.prepare import Recipe
from kasparro.schemas.ingest import ApiOrigin, Place, RawRecord, RunCounters

pytestmark = pytest.mark.anyio


class Session:
    """A store in memory that commits when it is told to; *errors* are raised at a place, one after the other."""

    def __init__(self, errors=None) -> None:
        self.places = 0
        self.looked_up: list[list[str]] = []
        self.begun: list[list[str]] = []
        self.committed: list[list[str]] = []
        self.may_commit = asyncio.Semaphore(0)
        self.moved = asyncio.Condition()
        self.errors = errors or {}
        self.counters = RunCounters()

    async def known(self, records):
        self.looked_up.append([one.external_id for one in records])
        return dict.fromkeys(range(len(records)))

    def next_place(self):
        self.places += 1
        return Place(self.places - 1)

    async def commit(self, place, batch):
        ids = [item.keyed.external_id for item in batch.new]
        async with self.moved:
            self.begun.append(ids)
            self.moved.notify_all()
        if self.errors.get(place):
            raise self.errors[place].pop(0)
        await self.may_commit.acquire()
        async with self.moved:
            await self.moved.wait_for(lambda: len(self.committed) == place)
            self.committed.append(ids)
            self.counters += batch.counters
            self.moved.notify_all()
        return self.counters

    async def until_begun(self, count):
        async with self.moved:
            await self.moved.wait_for(lambda: len(self.begun) >= count)


def haul(*ids):
    records = [RawRecord(json.dumps({"id": i}).encode(), ApiOrigin("http://test", 1, i)) for i in ids]
    return Haul(records, [], {"page": 1}, complete=False)


def lanes(session, seen=None, width=2, **keys):
    return Lanes(
        session, Recipe.of(api_declaration()), (seen if seen is not None else []).append, width, **keys
    )


def commits_under_way():
    return sum(task.get_name() == "commit" for task in asyncio.all_tasks())


async def test_two_batches_are_written_at_once_and_a_third_waits():
    session = Session()
    async with asyncio.TaskGroup() as tasks, lanes(session) as taking:
        await taking.take(haul(1))
        await taking.take(haul(2))
        third = tasks.create_task(taking.take(haul(3)))
        await session.until_begun(2)
        assert session.begun == [["1"], ["2"]]
        assert not third.done()

        session.may_commit.release()
        await third
        for _ in range(2):
            session.may_commit.release()
    assert session.committed == [["1"], ["2"], ["3"]]


async def test_in_a_crowd_a_batch_is_committed_before_the_next_is_looked_at():
    session, crowd = Session(), [True, False]
    async with asyncio.TaskGroup() as tasks, lanes(session, crowded=lambda: crowd.pop(0)) as taking:
        first = tasks.create_task(taking.take(haul(1)))
        await session.until_begun(1)
        assert not first.done()

        session.may_commit.release()
        await first
        assert session.committed == [["1"]]
        await taking.take(haul(2))
        assert session.committed == [["1"]]
        session.may_commit.release()


async def test_in_a_crowd_a_batch_that_fails_is_told_at_once():
    taking = lanes(Session({0: [LeaseLost()]}), crowded=lambda: True)
    with pytest.raises(LeaseLost):
        await taking.take(haul(1))


async def test_counters_are_told_in_the_order_of_the_batches():
    session, seen = Session(), []
    async with lanes(session, seen, width=3) as taking:
        for number in range(3):
            await taking.take(haul(number))
        for _ in range(3):
            session.may_commit.release()

    assert [counters.inserted for counters in seen] == [1, 2, 3]


async def test_a_batch_that_shares_a_key_is_looked_up_when_the_other_is_committed():
    session = Session()
    async with asyncio.TaskGroup() as tasks, lanes(session) as taking:
        await taking.take(haul(1, 2))
        second = tasks.create_task(taking.take(haul(2, 3)))
        await session.until_begun(1)
        assert session.looked_up == [["1", "2"]]

        session.may_commit.release()
        session.may_commit.release()
        await second
    assert session.looked_up == [["1", "2"], ["2", "3"]]


async def test_leaving_waits_for_what_is_under_way():
    session = Session()
    async with lanes(session) as taking:
        await taking.take(haul(1))
        await session.until_begun(1)
        asyncio.get_running_loop().call_soon(session.may_commit.release)

    assert session.committed == [["1"]]


async def test_an_error_of_the_source_does_not_lose_what_is_under_way():
    session = Session()
    session.may_commit.release()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the error is raised inside
        async with lanes(session) as taking:
            await taking.take(haul(1))
            raise ZeroDivisionError

    assert session.committed == [["1"]]


async def test_a_batch_that_fails_ends_all_behind_it():
    session = Session({0: [LeaseLost()]})
    with pytest.raises(LeaseLost):  # noqa: PT012  # which of them raises is a matter of time
        async with lanes(session, width=3) as taking:
            await taking.take(haul(1))
            await taking.take(haul(2))

    assert session.committed == []
    assert commits_under_way() == 0


async def test_the_next_batch_is_told_of_one_that_has_failed():
    session = Session({0: [LeaseLost()]})
    async with lanes(session) as taking:
        await taking.take(haul(1))
        await session.until_begun(1)
        await asyncio.sleep(0)
        with pytest.raises(LeaseLost):
            await taking.take(haul(2))


class FailsLate(Session):
    """The first batch fails when the one behind it is being written."""

    async def commit(self, place, batch):
        if place == 0:
            await self.until_begun(1)
            raise LeaseLost
        return await super().commit(place, batch)


async def test_a_failure_that_was_told_is_not_followed_by_waiting_for_those_behind_it():
    """Their turn never comes: the batch before them is not committed, and will not be."""
    session = FailsLate()
    session.may_commit.release()
    async with asyncio.timeout(30):
        with pytest.raises(LeaseLost):  # noqa: PT012  # which of them raises is a matter of time
            async with lanes(session) as taking:
                for number in range(3):
                    await taking.take(haul(number))
    assert session.committed == []
    assert commits_under_way() == 0


async def test_cancelling_leaves_no_batch_behind():
    session = Session()

    async def work():
        async with lanes(session) as taking:
            await taking.take(haul(1))
            await taking.take(haul(2))

    task = asyncio.create_task(work())
    await session.until_begun(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert commits_under_way() == 0
    assert session.committed == []


async def test_what_the_database_refuses_goes_without_and_at_its_own_place():
    session = Session({0: [RecordRefused("bad", records={"2": "for a reason"})]})
    for _ in range(2):
        session.may_commit.release()
    async with lanes(session) as taking:
        await taking.take(haul(1, 2))
        await taking.take(haul(3))

    assert session.committed == [["1", "2"], ["3"]]
    assert session.counters == RunCounters(inserted=2, failed=1)


async def test_a_refusal_that_names_no_record_is_not_tried_again():
    session = Session({0: [RecordRefused("bad")]})
    with pytest.raises(RecordRefused):
        async with lanes(session) as taking:
            await taking.take(haul(1))


async def test_what_was_stored_after_all_is_looked_up_and_written_again():
    session = Session({0: [KeysTaken()]})
    session.may_commit.release()
    async with lanes(session) as taking:
        await taking.take(haul(1))

    assert session.looked_up == [["1"], ["1"]]
    assert session.committed == [["1"]]
