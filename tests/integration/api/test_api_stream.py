"""GET /data/stream behind a real server: as it happens, once each, whatever breaks in between."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import defaultdict
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


@pytest.fixture
async def port(service):
    async with serving(service) as number:
        yield number


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


async def load(db, *titles, name="things", start=1, **more):
    pages = [[{"id": start + n, "title": title, **more} for n, title in enumerate(titles)]]
    await ingest(db, MemorySource(pages), api_declaration(name))


async def titles(opened, count):
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


async def test_who_does_not_read_is_dropped_and_nobody_else_is(port, db):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(b"GET /data/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with capture_logs() as logs:
        async with stream(port) as reading:
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


# With eight writers


async def write(db, name, number):
    chance = random.Random(number)
    for turn in range(4):
        pages = [
            [
                {"id": key, "title": f"{turn}", "turn": [turn, page]}
                for key in sorted(chance.sample(range(60), 9))
            ]
            for page in range(6)
        ]
        await ingest(db, MemorySource(pages), api_declaration(name), batch=9)


async def follow(port, number, done):
    """Reads a few events a time, then breaks the connection, until nothing is left."""
    chance = random.Random(number)
    seen, last_id, connections = [], None, 0
    while True:
        last = done.is_set()
        connections += 1
        async with stream(port, last_id=last_id) as opened:
            try:
                async with asyncio.timeout(0.5 if last else 5):
                    for _ in range(chance.choice([1, 2, 5, 20])):
                        _, event = await opened.event()
                        seen.append((event["source"], event["source_id"], event["version"]))
                        last_id = opened.last_id
            except TimeoutError:
                if last:
                    return seen, connections


async def test_with_eight_writers_and_broken_connections_nothing_is_lost_and_nothing_comes_twice(
    port, db, database_url
):
    done = asyncio.Event()
    followers = [asyncio.create_task(follow(port, number, done)) for number in range(8)]
    async with writer(database_url) as other:
        await asyncio.gather(*(write([db, other][n % 2], f"source_{n}", n) for n in range(8)))
    done.set()
    results = await asyncio.gather(*followers)

    with psycopg.connect(database_url) as connection:
        final = set(connection.execute("SELECT source, source_id, version FROM normalized_data"))
    assert sum(connections for _, connections in results) > 200
    for seen, _ in results:
        assert len(seen) == len(set(seen))
        versions = defaultdict(list)
        for source, key, version in seen:
            versions[source, key].append(version)
        assert all(found == sorted(found) for found in versions.values())
        assert {(*record, found[-1]) for record, found in versions.items()} == final
