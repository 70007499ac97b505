"""What is asked of the versions: never older than the question, and one question for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC

import psycopg
import pytest

from kasparro.core.database import Database, PoolOptions
from kasparro.core.errors import StorageError
from kasparro.storage.versions import QUESTION, Versions

pytestmark = pytest.mark.anyio

BUMP = """
INSERT INTO etl_checkpoint (source, version, changed_at) VALUES (%s, 1, now())
ON CONFLICT (source) DO UPDATE SET version = etl_checkpoint.version + 1, changed_at = now()
"""


@pytest.fixture
async def versions(database_url: str) -> AsyncIterator[Versions]:
    opened = Versions(Database(database_url, PoolOptions(size=1, overflow=0)))
    yield opened
    await opened.close()


@pytest.fixture
def connection(database_url: str):
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


async def test_every_commit_changes_the_stamp_of_its_source_and_of_all_together(versions, connection):
    empty = await versions.current()
    connection.execute(BUMP, ("alpha",))
    first = await versions.current()
    connection.execute(BUMP, ("beta",))
    second = await versions.current()
    connection.execute(BUMP, ("alpha",))
    third = await versions.current()

    assert (empty.sources, empty.stamp("alpha"), empty.changed_at(None)) == ({}, "", None)
    assert len({s.stamp(None) for s in (empty, first, second, third)}) == 4
    assert first.stamp("alpha") == second.stamp("alpha") != third.stamp("alpha")
    assert second.stamp("beta") == third.stamp("beta")
    assert third.changed_at(None) == third.changed_at("alpha") > third.changed_at("beta")
    assert first.as_of < second.as_of < third.as_of


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE etl_checkpoint SET version = version + 1",
        "UPDATE etl_checkpoint SET record_count = record_count + 1",
        "UPDATE etl_checkpoint SET changed_at = now() + interval '1 second'",
        "UPDATE etl_checkpoint SET search_language = 'english'",
        "DELETE FROM etl_checkpoint; INSERT INTO etl_checkpoint (source, version, changed_at) SELECT 'alpha', 1, NULL",
    ],
)
async def test_whatever_decides_what_is_answered_is_in_the_stamp(versions, connection, change):
    connection.execute(BUMP, ("alpha",))
    before = await versions.current()
    connection.execute(change)

    assert (await versions.current()).stamp("alpha") != before.stamp("alpha")


async def test_what_only_a_checkpoint_says_is_not(versions, connection):
    connection.execute(BUMP, ("alpha",))
    before = await versions.current()
    connection.execute("UPDATE etl_checkpoint SET checkpoint_timestamp = now(), status = 'complete'")

    assert (await versions.current()).stamp("alpha") == before.stamp("alpha")


async def test_one_question_serves_all_who_came_before_it_was_sent(versions):
    states = await asyncio.gather(*(versions.current() for _ in range(200)))

    assert versions.asked == 1
    assert len({id(state) for state in states}) == 1


async def test_who_comes_while_a_question_is_under_way_waits_for_the_next(versions, connection):
    """The one under way may have seen the dataset before the commit that this one was told of."""
    first = asyncio.create_task(versions.current())
    while versions.asked == 0:  # noqa: ASYNC110  # sent, and not answered
        await asyncio.sleep(0)
    connection.execute(BUMP, ("alpha",))
    second = await versions.current()

    assert "alpha" in second.sources
    assert (await first).as_of < second.as_of
    assert versions.asked == 2


async def test_who_goes_does_not_end_the_question_of_the_others(versions):
    waiting = [asyncio.create_task(versions.current()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()

    assert (await waiting[1]).sources == (await waiting[2]).sources == {}
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_who_cannot_be_told_keeps_it_from_nobody(versions):
    failures, states = [], []
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))

    def fail(_state) -> None:
        raise ZeroDivisionError

    for each in (states.append, fail, states.append, fail, told.set_result):
        versions.ask(each)

    assert [await asyncio.wait_for(told, 60)] * 2 == states
    assert list(map(type, failures)) == [ZeroDivisionError] * 2


def test_the_moment_is_told_in_utc_wherever_the_session_stands(connection):
    connection.execute("SET timezone TO 'Asia/Kolkata'")
    with connection.transaction():
        told, _ = connection.execute(QUESTION).fetchone()
        now = connection.execute("SELECT now()").fetchone()[0].astimezone(UTC)

    assert told == f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"


async def test_without_a_database_everybody_who_waits_is_told():
    versions = Versions(Database("postgresql://nobody@127.0.0.1:1/nothing", PoolOptions(size=1, overflow=0)))
    answers = await asyncio.gather(*(versions.current() for _ in range(3)), return_exceptions=True)

    assert all(isinstance(answer, StorageError) for answer in answers)
    with pytest.raises(StorageError):
        await versions.current()


async def test_a_connection_that_ends_while_it_rests_is_another_one_the_next_time(versions, connection):
    """Whoever comes next is not told of it."""
    for _ in range(3):
        await versions.current()
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    assert (await versions.current()).sources == {}


async def test_under_load_the_connection_is_not_given_back_between_two_questions(versions):
    lent = versions.database.pool.connection
    times = 0

    def counting(patience):
        nonlocal times
        times += 1
        return lent(patience)

    versions.database.pool.connection = counting
    for _ in range(50):
        await versions.current()
    assert versions.asked == 50
    assert times < 25
