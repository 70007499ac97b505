"""GET /data/stream behind a real server: as it happens, once each, whatever breaks in between."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import AsyncExitStack

import psycopg
import pytest
from structlog.testing import capture_logs

from ingest_kit import MemorySource, api_declaration, ingest, writer
from kasparro.api.feed import FeedTiming
from kasparro.cli.serving import serve_api
from kasparro.cli.stopping import Second, Stop
from kasparro.core.http_server import listen
from kasparro.schemas.data import ChangeEvent
from live_api import serving
from sse_client import stream

pytestmark = pytest.mark.anyio

OFTEN = FeedTiming(heartbeat=0.05, poll=0.05)
STREAMS = 50
PATIENCE = 60


@pytest.fixture
async def port(service):
    async with serving(service) as number:
        yield number


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


async def load(db, *titles, name="things", start=1, batch=100, **more):
    pages = [[{"id": start + n, "title": title, **more} for n, title in enumerate(titles)]]
    await ingest(db, MemorySource(pages), api_declaration(name), batch=batch)


async def titles(opened, count):
    async with asyncio.timeout(PATIENCE):
        return [(await opened.event())[1]["record"]["title"] for _ in range(count)]


def backends(url, name):
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            (name,),
        )
        return [pid for (pid,) in rows]


async def until(condition):
    """Wait for something that has no event; the test's own deadline ends it."""
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0)


async def test_a_stream_tells_what_is_there_and_then_what_comes(port, db):
    await load(db, "a", "b")
    async with stream(port) as opened:
        assert (opened.status, opened.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert await titles(opened, 2) == ["a", "b"]
        await load(db, "c", start=2)
        name, event = await opened.event()
    assert (name, event["op"], event["version"], event["record"]["title"]) == ("upsert", "upsert", 2, "c")
    ChangeEvent.model_validate(event)


async def test_a_stream_that_broke_goes_on_where_it_was(port, db):
    await load(db, "a", "b", "c")
    last_id, seen = None, []
    for _ in range(3):
        async with stream(port, last_id=last_id) as opened:
            seen += await titles(opened, 1)
            last_id = opened.last_id
    await load(db, "d", start=4)
    async with stream(port, last_id=last_id) as opened:
        seen += await titles(opened, 1)
    assert seen == ["a", "b", "c", "d"]


async def test_the_last_event_wins_over_the_address(port, db):
    await load(db, "a", "b")
    async with stream(port) as opened:
        await titles(opened, 1)
        last_id = opened.last_id
    async with stream(port, "/data/stream?since=now", last_id) as opened:
        assert await titles(opened, 1) == ["b"]


async def test_only_what_comes_from_now_on_even_after_a_reconnect(port, db):
    await load(db, "a")
    async with stream(port, "/data/stream?since=now") as opened:
        await opened.opening()
        last_id = opened.last_id
    await load(db, "b", start=2)
    async with stream(port, "/data/stream?since=now", last_id) as opened:
        assert await titles(opened, 1) == ["b"]


async def test_filters_hold_for_a_stream(port, db):
    async with stream(port, "/data/stream?source=other&title[startswith]=x") as opened:
        await load(db, "xa")
        await load(db, "a", "xb", name="other")
        assert await titles(opened, 1) == ["xb"]


async def test_an_idle_stream_has_a_heartbeat(service):
    async with serving(service, OFTEN) as port, stream(port) as opened:
        assert await opened.comment()
        assert await opened.comment()


async def test_a_stream_ends_after_its_lifetime(service, db):
    await load(db, "a")
    async with serving(service, FeedTiming(lifetime=0)) as port, stream(port) as opened:
        assert await titles(opened, 1) == ["a"]
        assert await opened.event() is None


async def test_500_idle_streams_hold_no_connection_and_hear_the_same(service, database_url, port, db):
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stream(port)) for _ in range(500)]
        await load(db, "a")
        assert {tuple(await titles(one, 1)) for one in opened} == {("a",)}
        assert service.runtime.database.pool.in_use == 0
        assert len(backends(database_url, "kasparro-listen")) == 1


async def test_without_its_listener_a_stream_hears_by_asking(service, database_url, db):
    async with serving(service, OFTEN) as port, stream(port) as opened:
        await load(db, "a")
        assert await titles(opened, 1) == ["a"]
        for turn in range(2, 5):
            await until(lambda: backends(database_url, "kasparro-listen"))
            with psycopg.connect(database_url, autocommit=True) as connection:
                for pid in backends(database_url, "kasparro-listen"):
                    connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await load(db, f"{turn}", start=turn)
            assert await titles(opened, 1) == [f"{turn}"]
        await until(lambda: backends(database_url, "kasparro-listen"))


async def test_who_does_not_read_is_dropped_and_nobody_else_is(service, db):
    with capture_logs() as logs:
        async with serving(service, FeedTiming(patience=0.1)) as port, stream(port) as reading:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /data/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for turn in range(400):
                await load(db, f"{turn}", content=random.Random(turn).randbytes(50_000).hex())
                assert await titles(reading, 1) == [f"{turn}"]
                if dropped(logs):
                    break
            sock.close()
    assert len(dropped(logs)) == 1


def dropped(logs):
    return [event for event in logs if event["event"] == "feed.slow_consumer_dropped"]


async def test_when_a_client_goes_its_channel_goes_too(service, db):
    async with serving(service) as port:
        async with stream(port) as opened:
            await load(db, "a")
            await titles(opened, 1)
            await until(lambda: [t for t in asyncio.all_tasks() if t.get_name() == "channel of the feed"])
        await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "channel of the feed"])


async def test_a_server_that_ends_lets_its_streams_end_well(service, db):
    await load(db, "a")
    stop = Stop(Second.EXIT)
    listener = listen("127.0.0.1", 0)
    serving = asyncio.create_task(serve_api(service.runtime, listener, stop))
    async with stream(listener.getsockname()[1]) as opened:
        assert await titles(opened, 1) == ["a"]
        stop.event.set()
        assert await opened.event() is None
    await serving


async def test_a_damaged_event_id_is_refused(port):
    async with stream(port, last_id="damaged") as opened:
        assert opened.status == 400


# Many at once


async def test_streams_from_the_beginning_read_each_page_once_and_then_hold_nothing(serve, wire, db):
    """What they have read costs nothing any more: no connection, no statement, only heartbeats."""
    await load(db, *(f"{number}" for number in range(450)))
    async with serve(url=wire.url) as service, serving(service, OFTEN) as port, AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stream(port)) for _ in range(STREAMS)]
        heard = await asyncio.gather(*(titles(one, 450) for one in opened))
        assert all(titles == heard[0] for titles in heard)
        for one in opened:
            await one.comment()
        before = wire.selects
        assert before < STREAMS + 30  # one question each when they begin, and a few for each page

        for one in opened:
            await one.comment()
            await one.comment()
        assert wire.selects == before
        assert service.runtime.database.pool.in_use == 0


async def test_a_large_commit_leaves_no_stream_behind(service, port, db):
    """It is more than a buffer holds: those who are slower than the channel read on by themselves."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stream(port, "/data/stream?since=now")) for _ in range(10)]
        for one in opened:
            await one.opening()
        numbers = [f"{number}" for number in range(5_000)]
        with capture_logs() as logs:
            loading = asyncio.create_task(load(db, *numbers, batch=5_000))
            assert all(
                heard == numbers for heard in await asyncio.gather(*(titles(one, 5_000) for one in opened))
            )
            await loading
    assert dropped(logs) == []


async def test_filters_that_python_takes_for_equal_are_not(port, db):
    async with (
        stream(port, "/data/stream?since=now&metadata.flag=true") as boolean,
        stream(port, "/data/stream?since=now&metadata.flag=1") as number,
    ):
        await boolean.opening()
        await number.opening()
        await load(db, "one", flag=1)
        assert await titles(number, 1) == ["one"]
        await load(db, "true", start=2, flag=True)
        assert await titles(boolean, 1) == ["true"]
