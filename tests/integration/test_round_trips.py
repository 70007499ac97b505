"""One statement asked again and again: each answer is its own, and every way to fail is an error of the driver, at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import psycopg
import pytest

from kasparro.core.round_trips import RoundTrips

pytestmark = pytest.mark.anyio

PATIENCE = 60


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as opened:
        await opened.execute("CREATE TABLE counted (n int)")
        yield opened


def end(database_url: str, connection: psycopg.AsyncConnection) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))


async def test_each_question_has_the_answer_of_its_moment(connection, database_url):
    trips = await RoundTrips.prepared(connection, "SELECT count(*), max(n), NULL FROM counted", PATIENCE)
    told = []
    with psycopg.connect(database_url, autocommit=True) as other, trips:
        for number in range(50):
            row = await trips.ask()
            told.append((row.ntuples, row.get_value(0, 0), row.get_value(0, 2)))
            other.execute("INSERT INTO counted VALUES (%s)", (number,))
    assert told == [(1, b"%d" % number, None) for number in range(50)]
    assert await (await connection.execute("SELECT max(n) FROM counted")).fetchone() == (49,)


async def test_an_answer_of_many_packets_is_waited_for(connection):
    trips = await RoundTrips.prepared(
        connection, "SELECT repeat('x', 5000000) FROM generate_series(1, 2)", PATIENCE
    )
    with trips:
        rows = await trips.ask()
    assert [len(rows.get_value(at, 0)) for at in range(rows.ntuples)] == [5_000_000] * 2


async def test_what_the_server_refuses_is_raised_and_the_next_question_is_answered(connection, database_url):
    trips = await RoundTrips.prepared(connection, "SELECT 1 / (SELECT count(*) FROM counted)", PATIENCE)
    with trips:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await trips.ask()
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("INSERT INTO counted VALUES (1)")
        assert (await trips.ask()).get_value(0, 0) == b"1"


async def test_a_server_that_ends_it_meanwhile_is_noticed(connection, database_url):
    trips = await RoundTrips.prepared(connection, "SELECT 1", PATIENCE)
    with trips:
        await trips.ask()
        assert not trips.over
        end(database_url, connection)
        async with asyncio.timeout(PATIENCE):
            while not trips.over:  # noqa: ASYNC110  # there is nothing else to see
                await asyncio.sleep(0)
        with pytest.raises(psycopg.OperationalError):
            await trips.ask()


async def test_a_server_that_ends_it_under_way_is_an_error_at_once(connection, database_url):
    trips = await RoundTrips.prepared(connection, "SELECT pg_sleep(600)", PATIENCE)
    with trips:
        asked = asyncio.create_task(trips.ask())
        await asyncio.sleep(0)
        await asyncio.to_thread(end, database_url, connection)
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(asked, PATIENCE)
    assert connection.closed


async def test_a_server_that_does_not_answer_is_hung_up_on(connection):
    trips = await RoundTrips.prepared(connection, "SELECT pg_sleep(600)", 0.05)
    with trips, pytest.raises(psycopg.OperationalError, match=r"no answer from the server within 0\.05 s"):
        await trips.ask()
    assert connection.closed


async def test_whoever_gets_the_number_of_a_connection_that_was_closed_is_heard(connection):
    """The loop knows sockets by their numbers, and the next one to be opened has the one that was free first."""
    trips = await RoundTrips.prepared(connection, "SELECT pg_sleep(600)", 0.05)
    number, heard, loop = connection.fileno(), asyncio.Event(), asyncio.get_running_loop()
    pipe = os.pipe()
    with trips:
        with pytest.raises(psycopg.OperationalError):
            await trips.ask()
        os.dup2(pipe[0], number)
        loop.add_reader(number, heard.set)
    os.write(pipe[1], b"x")
    try:
        await asyncio.wait_for(heard.wait(), PATIENCE)
    finally:
        loop.remove_reader(number)
        for one in (number, *pipe):
            os.close(one)
