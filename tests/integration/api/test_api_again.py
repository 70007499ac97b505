"""Requests that come again, byte for byte: answered past every layer, and exactly as by all of them."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import anyio
import psycopg
import pytest
from structlog.testing import capture_logs

from live_server import PATIENCE, live
from valkey import valkey

pytestmark = pytest.mark.anyio

KEY = "read-secret-1"
KEYS = {"api_keys": {KEY: "read"}}
VARYING = {"x-request-id", "server-timing", "x-as-of", "date", "content-length", "ratelimit"}


def request(path: str = "/data?source=alpha", **headers: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Answer:
    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.raw = body
        self.body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def json(self) -> dict:
        return json.loads(self.body)

    def told(self) -> dict:
        """Without what is different each time."""
        body = self.json() if self.body else {}
        return {
            "status": self.status,
            "headers": sorted(item for item in self.headers.items() if item[0] not in VARYING),
            "body": {k: v for k, v in body.items() if k not in {"request_id", "api_latency_ms", "as_of"}},
        }


async def read(wire) -> Answer:
    with anyio.fail_after(PATIENCE):
        head = await wire.reader.readuntil(b"\r\n\r\n")
        answer = Answer(head, b"")
        length = 0 if answer.status == 304 else int(answer.headers["content-length"])
        return Answer(head, await wire.reader.readexactly(length))


class Counting:
    """The application, and how many requests have reached it."""

    def __init__(self, app) -> None:
        self.app, self.requests = app, 0

    async def __call__(self, scope, receive, send) -> None:
        self.requests += scope["type"] == "http"
        await self.app(scope, receive, send)


@pytest.fixture
def wired(serve):
    """The service, its application that counts, and a connection to it."""

    @asynccontextmanager
    async def opened(**given):
        async with serve(**given) as service:
            app = Counting(service.app)
            async with live(app) as server, server.connect() as wire:
                yield app, wire, server, service

    return opened


async def ask(wire, sent: bytes) -> Answer:
    await wire.write(sent)
    return await read(wire)


ACCEPTING = {"accept-encoding": "gzip, deflate, br"}


@pytest.mark.parametrize("headers", [{}, ACCEPTING, {"accept-encoding": "identity"}], ids=str)
@pytest.mark.parametrize("path", ["/data", "/data?source=alpha&limit=7", "/data?facets=source&sort=-title"])
@pytest.mark.parametrize("given", [{}, {"cache_megabytes": 0}], ids=["kept", "made"])
async def test_it_is_answered_as_by_the_long_way(wired, seed, headers, path, given):
    seed.records("alpha", 30)
    async with wired(**KEYS, **given) as (app, wire, _, service):
        sent = {"X-API-Key": KEY, **headers}
        long = await ask(wire, request(path, **sent, **{"X-Request-ID": "never-known"}))
        assert app.requests == 1
        first = await ask(wire, request(path, **sent))
        assert app.requests == 2
        again = [await ask(wire, request(path, **sent)) for _ in range(3)]
        assert app.requests == 2
        cache = service.app.state.reader.cache
        assert (cache.hits, cache.misses) == ((0, 5) if given else (4, 1))

    assert long.status == 200
    for answer in (first, *again):
        assert answer.told() == long.told()
        assert int(answer.headers["content-length"]) == len(answer.raw)
    answers = [long, first, *again]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert len({answer.json()["request_id"] for answer in answers}) == len(answers)
    remaining = [answer.headers["ratelimit"] for answer in answers]
    assert len(set(remaining)) == len(answers)


async def test_what_one_has_is_not_sent_again(wired, seed):
    seed.records("alpha", 3)
    async with wired() as (app, wire, _, _):
        tag = (await ask(wire, request())).headers["etag"]
        answers = [await ask(wire, request(**{"If-None-Match": tag})) for _ in range(3)]
        assert app.requests == 2
        seed.record("alpha", {"title": "new"})
        with seed.connection.cursor() as cursor:
            cursor.execute("UPDATE etl_checkpoint SET version = version + 1, changed_at = now()")
        changed = await ask(wire, request(**{"If-None-Match": tag}))
        assert app.requests == 2

    assert [answer.status for answer in answers] == [304, 304, 304]
    assert answers[0].told() == answers[2].told()
    assert changed.status == 200
    assert changed.json()["total_count"] == 4


async def test_only_what_is_the_same_to_the_byte_is_known(wired, seed):
    seed.records("alpha", 3)
    async with wired() as (app, wire, _, _):
        for number, sent in enumerate(
            [
                request(),
                request("/data?source=alpha&limit=1"),
                request(**{"X-Other": "1"}),
                request().replace(b"Host", b"host"),
                request(**{"X-Request-ID": "mine"}),
                request(**{"X-Request-ID": "mine"}),
                request(Origin="http://localhost"),
                request(Origin="http://localhost"),
                request("/data?title[contains]=alpha&count=estimated"),
                request("/data?title[contains]=alpha&count=estimated"),
                request(**{"accept-encoding": "br"}),
                request(**{"accept-encoding": "br"}),
                request("/health/live"),
                request("/health/live"),
                request().replace(b"GET", b"HEAD"),
            ],
            start=1,
        ):
            await wire.write(sent)
            if sent.startswith(b"HEAD"):
                await wire.answer()
            else:
                assert (await read(wire)).status == 200
            assert app.requests == number, sent


async def test_a_known_request_in_pieces_or_among_others_is_read(wired, seed):
    seed.records("alpha", 3)
    sent = request()
    async with wired() as (app, wire, _, _):
        expected = (await ask(wire, sent)).told()
        await ask(wire, sent)
        assert app.requests == 1
        await wire.write(sent[:20])
        await asyncio.sleep(0)
        await wire.write(sent[20:])
        answers = [await read(wire)]
        await wire.write(sent * 3)
        answers += [await read(wire) for _ in range(3)]
        await wire.write(
            b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(sent)
        )
        await wire.write(sent)
        refused = await read(wire)
        await wire.write(sent)
        answers.append(await read(wire))

    assert [answer.told() for answer in answers] == [expected] * 5
    assert refused.status in {415, 422}


async def test_whoever_asks_too_often_is_told_so(wired, seed):
    seed.records("alpha", 3)
    async with wired(**KEYS, rate_limit_per_minute=3) as (app, wire, _, _):
        with capture_logs() as logs:
            answers = [await ask(wire, request(**{"X-API-Key": KEY})) for _ in range(5)]
        assert app.requests == 1

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) > 0
    assert [entry["event"] for entry in logs].count("security.refused") == 2


async def test_from_an_address_that_sent_wrong_keys_no_key_is_looked_at(wired, seed):
    seed.records("alpha", 3)
    async with wired(**KEYS, auth_failures_per_minute=2) as (app, wire, _, _):
        sent = request(**{"X-API-Key": KEY})
        before = [(await ask(wire, sent)).status for _ in range(2)]
        for _ in range(2):
            await ask(wire, request(**{"X-API-Key": "wrong-secret-1"}))
        reached = app.requests
        after = await ask(wire, sent)
        assert app.requests == reached

    assert before == [200, 200]
    assert (after.status, after.json()["code"]) == (429, "rate_limited")


async def test_counts_that_are_shared_are_shared_here_too(wired, seed):
    seed.records("alpha", 3)
    with valkey() as server:
        async with wired(**KEYS, rate_limit_per_minute=3, redis_url=server.url) as (app, wire, _, _):
            answers = [await ask(wire, request(**{"X-API-Key": KEY})) for _ in range(5)]
            assert app.requests == 1

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]


async def test_a_database_that_is_away_is_an_error_and_then_none(wired, seed, database_url):
    seed.records("alpha", 3)
    async with wired() as (app, wire, _, service):
        for _ in range(2):
            assert (await ask(wire, request())).status == 200
        reading = service.app.state.reader.versions.database
        connect = reading.pool._connect

        async def refuse():
            raise psycopg.OperationalError("the server is away")

        reading.pool._connect = refuse
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kasparro-versions%'"
            )
        away = await ask(wire, request())
        reading.pool._connect = connect
        back = await ask(wire, request())
        assert app.requests == 1

    assert (away.status, away.json()["code"]) == (503, "database_unavailable")
    assert back.status == 200


async def test_each_is_logged_and_counted(wired, seed):
    seed.records("alpha", 3)
    async with wired() as (app, wire, _, service):
        with capture_logs() as logs:
            for _ in range(4):
                await ask(wire, request())
        metrics = await service.client.get("/metrics")
        assert app.requests == 1

    lines = [entry for entry in logs if entry["event"] == "request.served"]
    assert [(line["route"], line["status"]) for line in lines] == [("/data", 200)] * 4
    assert len({line["request_id"] for line in lines}) == 4
    assert 'kasparro_http_requests_total{method="GET",route="/data",status="200"} 4.0' in metrics.text
    assert "kasparro_http_requests_in_flight 1.0" in metrics.text


async def test_many_at_once_are_answered_each(wired, seed):
    seed.records("alpha", 3)
    async with wired() as (app, wire, server, _):
        await ask(wire, request())

        async def client() -> int:
            async with server.connect() as own:
                return sum([(await ask(own, request())).status == 200 for _ in range(20)])

        assert await asyncio.gather(*(client() for _ in range(30))) == [20] * 30
        assert app.requests == 1


async def test_a_client_that_goes_meanwhile_harms_nobody(wired, seed):
    seed.records("alpha", 3)
    async with wired() as (app, wire, server, _):
        await ask(wire, request())
        for _ in range(20):
            async with server.connect() as own:
                await own.write(request())
        assert (await ask(wire, request())).status == 200
        assert app.requests == 1
