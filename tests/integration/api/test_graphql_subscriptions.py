"""Subscriptions over real sockets: over WebSocket, and as server-sent events."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import psycopg
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from graphql_socket import PATIENCE, Talk, talking
from kasparro.api.feed import Feed, FeedTiming
from kasparro.core.config import Scope
from kasparro.schemas.keys import KeyOrder
from kasparro.storage.api_keys import ApiKeys
from live_server import live

pytestmark = pytest.mark.anyio

KEYS = {"read-secret-1": "read", "admin-secret-1": "admin"}
CHANGES = "subscription($since: String) { recordChanges(since: $since, source: %s) { op sourceId version cursor record { title } } }"
ALL, ALPHA = CHANGES % "null", CHANGES % '"alpha"'


@pytest.fixture
def commit(database_url: str):
    """Writes records in one transaction, as ingestion does, and gives the version that they make."""

    def write(source: str, *ids: int, title: str = "new") -> int:
        with psycopg.connect(database_url) as connection:
            (version,) = connection.execute(
                "INSERT INTO etl_checkpoint (source, record_count, version) VALUES (%s, 0, 1) "
                "ON CONFLICT (source) DO UPDATE SET version = etl_checkpoint.version + 1 RETURNING version",
                (source,),
            ).fetchone()
            for number in ids:
                data = json.dumps({"source": source, "source_id": str(number), "title": title})
                connection.execute(
                    "INSERT INTO normalized_data (source, source_id, data, version) VALUES (%s, %s, %s, %s) "
                    "ON CONFLICT (source, source_id) DO UPDATE SET data = excluded.data, version = excluded.version",
                    (source, str(number), data, version),
                )
            connection.execute("SELECT pg_notify('kasparro_dataset', %s)", (f"{source}:{version}",))
        return version

    return write


async def following(talk: Talk, query: str = ALL, since: str | None = None, operation_id: str = "1") -> None:
    await talk.subscribe(operation_id, query, since=since)


async def change(talk: Talk, operation_id: str = "1") -> dict[str, Any]:
    message = await talk.hear()
    assert (message["type"], message["id"]) == ("next", operation_id), message
    return message["payload"]["data"]["recordChanges"]


async def test_what_is_there_comes_first_then_what_comes_as_it_comes(service, commit):
    commit("alpha", 1, 2)
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await following(talk)
        assert [(await change(talk))["sourceId"] for _ in range(2)] == ["1", "2"]
        version = commit("beta", 7, title="fresh")

        told = await change(talk)

    assert told["cursor"]
    assert {k: told[k] for k in ("op", "sourceId", "version", "record")} == {
        "op": "UPSERT",
        "sourceId": "7",
        "version": version,
        "record": {"title": "fresh"},
    }


async def test_a_subscription_that_broke_anywhere_goes_on_behind_what_it_told_last(service, commit):
    """None lost, none twice, over many reconnects, while others write."""
    told: list[tuple[str, int]] = []
    since = None
    async with live(service.app) as server:
        writing = asyncio.create_task(write_slowly(commit))
        while len(told) < 60:
            async with talking(server.port) as talk:
                await talk.open()
                await following(talk, since=since)
                for _ in range(7):
                    one = await change(talk)
                    told.append((one["sourceId"], one["version"]))
                    since = one["cursor"]
                    if len(told) == 60:
                        break
        await writing

    assert sorted(told, key=lambda one: one[1]) == told
    assert sorted(int(number) for number, _ in told) == list(range(60))


async def write_slowly(commit) -> None:
    for number in range(0, 60, 2):
        await asyncio.to_thread(commit, "alpha", number, number + 1)


async def test_what_belongs_to_a_record_is_told_as_it_is_when_the_record_comes(service, commit, seed):
    """Not as it was when the subscription looked first."""
    query = "subscription { recordChanges { record { source { version } lineage { version } entity { entityId } } } }"
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await following(talk, query)
        first = commit("alpha", 1)
        before = (await change(talk))["record"]
        entity = seed.entity("alpha:1")
        second = commit("alpha", 1)
        after = (await change(talk))["record"]

    assert before == {"source": {"version": first}, "lineage": {"version": first}, "entity": None}
    assert after == {
        "source": {"version": second},
        "lineage": {"version": second},
        "entity": {"entityId": entity},
    }


async def test_a_filter_and_a_source_narrow_what_is_told(service, commit):
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        query = """subscription { recordChanges(source: "alpha", filter: {title: {eq: "wanted"}}) { op sourceId record { title } } }"""
        await following(talk, query)
        commit("beta", 1, title="wanted")
        commit("alpha", 2, title="other")
        commit("alpha", 3, title="wanted")

        told = [await change(talk)]
        while told[-1]["op"] == "DELETE":
            told.append(await change(talk))

    assert told[-1] == {"op": "UPSERT", "sourceId": "3", "record": {"title": "wanted"}}
    assert {one["sourceId"] for one in told} <= {"2", "3"}


async def test_idle_subscriptions_hold_no_connection_of_the_pool(service, commit):
    commit("alpha", 1)
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        for number in range(20):
            await following(talk, operation_id=str(number))
        heard = [await talk.hear() for _ in range(20)]
        assert {message["type"] for message in heard} == {"next"}
        commit("alpha", 2)
        for _ in range(20):
            await talk.hear()
        await until(lambda: not service.runtime.database.pool.in_use)


async def test_one_that_is_completed_by_its_client_ends_and_its_id_is_free(service, commit):
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await following(talk)
        await talk.say("complete", "1")
        await following(talk)
        commit("alpha", 1)

        assert (await change(talk))["sourceId"] == "1"


async def test_queries_are_answered_over_the_same_connection(service, seed):
    seed.records("alpha", 2)
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await talk.subscribe("q", "{ records { totalCount } }")

        assert await talk.hear() == {
            "type": "next",
            "id": "q",
            "payload": {"data": {"records": {"totalCount": 2}}},
        }
        assert await talk.hear() == {"type": "complete", "id": "q"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nothing }", "invalid_query"),
        ("{", "invalid_query"),
        ("{ " + "sources { name } " * 11 + "}", "query_refused"),
        ('subscription { recordChanges(since: "damaged") { op } }', "invalid_cursor"),
        ('subscription { recordChanges(source: "No source") { op } }', "invalid_parameter"),
        ("{ records(first: 0) { totalCount } }", "invalid_parameter"),
    ],
)
async def test_an_operation_that_is_refused_is_an_error_and_the_connection_goes_on(service, query, code):
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await talk.subscribe("1", query)
        message = await talk.hear()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]

        assert errors[0]["extensions"]["code"] == code
        assert errors[0]["extensions"]["request_id"]
        await talk.say("ping")
        while (message := await talk.hear())["type"] == "complete":
            pass
        assert message == {"type": "pong"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["{"], 4400),
        (["[]"], 4400),
        (['{"type": 1}'], 4400),
        ([b"\x00"], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{__typename}"}}'], 4401),
        (['{"type": "connection_init", "payload": []}'], 4400),
        (['{"type": "connection_init"}', '{"type": "connection_init"}'], 4429),
        (['{"type": "connection_init"}', '{"type": "start"}'], 4400),
        (
            ['{"type": "connection_init"}', '{"type": "subscribe", "payload": {"query": "{__typename}"}}'],
            4400,
        ),
        (['{"type": "connection_init"}', *(['{"type": "ping"}'] * 500)], 4429),
        (['{"type": "connection_init", "payload": "' + "x" * 200_000 + '"}'], 1009),
    ],
)
async def test_whoever_breaks_the_protocol_is_cut_off_with_its_code(service, said, code):
    async with live(service.app) as server, talking(server.port) as talk:
        for message in said:
            await talk.socket.send(message)

        assert await talk.closed() == code


async def test_one_id_is_used_by_one_operation_at_a_time(service):
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await following(talk)
        await following(talk)

        assert await talk.closed() == 4409


async def test_another_protocol_is_not_spoken(service):
    async with live(service.app) as server, talking(server.port, protocol=None) as talk:
        assert await talk.closed() == 4406


async def test_a_connection_that_says_nothing_is_closed(service):
    service.app.state.graphql = replace(service.app.state.graphql, init_seconds=0.05)
    async with live(service.app) as server, talking(server.port) as talk:
        assert await talk.closed() == 4408


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({}, {}, 4403),
        ({}, {"X-API-Key": "wrong"}, 4403),
        ({"X-API-Key": "wrong"}, {}, 4403),
        ({"X-API-Key": "read-secret-1"}, {"X-API-Key": "admin-secret-1"}, 4403),
        ({"X-API-Key": "read-secret-1"}, {}, None),
        ({}, {"X-API-Key": "read-secret-1"}, None),
        ({}, {"x-api-key": "admin-secret-1"}, None),
        ({}, {"Authorization": "Bearer read-secret-1"}, None),
    ],
)
async def test_a_connection_says_who_it_is_in_its_headers_or_its_first_message(serve, headers, payload, code):
    async with (
        serve(api_keys=KEYS) as service,
        live(service.app) as server,
        talking(server.port, additional_headers=headers) as talk,
    ):
        await talk.say("connection_init", payload=payload)
        if code is None:
            assert await talk.hear() == {"type": "connection_ack"}
        else:
            assert await talk.closed() == code


async def test_a_page_of_another_site_may_not_connect_to_this_machine(service):
    async with live(service.app) as server, talking(server.port, origin="https://evil.example") as talk:
        await talk.say("connection_init")

        assert await talk.closed() == 4403


async def test_a_key_that_is_revoked_ends_its_connections_and_streams(serve, commit):
    async with serve(require_keys=True) as service:
        keys = ApiKeys(service.runtime.database)
        secret = await keys.create(KeyOrder("r", Scope.READ))
        service.app.state.graphql = replace(service.app.state.graphql, check_seconds=0.05)
        async with live(service.app) as server, talking(server.port) as talk:
            service.app.state.feed = Feed(
                service.runtime.changes, service.runtime.url, FeedTiming(heartbeat=0.05)
            )
            await talk.open({"X-API-Key": secret})
            await following(talk)
            async with Events(server.port, ALL, {"X-API-Key": secret}) as lines:
                await keys.revoke((await keys.all())[0].prefix)

                assert await talk.closed() == 4403
                told = [line async for line in lines]
            await service.app.state.feed.close()
    assert any('"not_authenticated"' in line for line in told)


async def test_rate_limits_count_operations(serve):
    async with (
        serve(api_keys=KEYS, rate_limit_per_minute=3) as service,
        live(service.app) as server,
        talking(server.port) as talk,
    ):
        await talk.open({"X-API-Key": "read-secret-1"})
        heard = []
        for number in range(4):
            await talk.subscribe(str(number), "{ __typename }")
            message = await talk.hear()
            heard.append(message["type"])
            if message["type"] == "next":
                await talk.hear()

    assert heard == ["next", "next", "error", "error"]


async def test_a_client_has_a_bounded_number_of_connections(serve):
    async with serve(graphql_connections_per_client=2) as service, live(service.app) as server:
        async with talking(server.port) as first, talking(server.port) as second:
            await first.open()
            await second.open()
            with pytest.raises(InvalidStatus) as refused:
                async with talking(server.port):
                    pass
            assert refused.value.response.status_code == 429
            assert b'"rate_limited"' in refused.value.response.body
        await until(lambda: not service.app.state.graphql.connections.open)
        async with talking(server.port) as third:
            await third.open()


async def test_a_client_has_a_bounded_number_of_subscriptions_of_both_kinds(serve, commit):
    async with serve(graphql_subscriptions_per_client=2) as service, live(service.app) as server:
        commit("alpha", 1)
        async with talking(server.port) as talk:
            await talk.open()
            await following(talk)
            await change(talk)
            async with Events(server.port, ALL) as lines:
                assert '"UPSERT"' in await first_data(lines)
                async with talking(server.port) as other:
                    await other.open()
                    await following(other)
                    assert (await other.hear())["payload"][0]["extensions"]["code"] == "rate_limited"
                    await other.socket.close()
                async with httpx2.AsyncClient(base_url=server.url) as client:
                    answer = await client.post(
                        "/graphql", json={"query": ALL}, headers={"accept": "text/event-stream"}
                    )
                    assert answer.status_code == 429
                    assert answer.headers["retry-after"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)


class Events:
    """The lines of a stream of server-sent events."""

    def __init__(self, port: int, query: str, headers: dict[str, str] | None = None) -> None:
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        self.asked = self.client.stream(
            "POST",
            "/graphql",
            json={"query": query},
            headers={"Accept": "text/event-stream", **(headers or {})},
        )

    async def __aenter__(self):
        answer = await self.asked.__aenter__()
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return answer.aiter_lines()

    async def __aexit__(self, *error: object) -> None:
        await self.asked.__aexit__(*error)
        await self.client.aclose()


async def first_data(lines) -> str:
    async with asyncio.timeout(PATIENCE):
        async for line in lines:
            if line.startswith("data: "):
                return line
    return ""


async def test_events_are_those_of_graphql_sse(service, commit):
    commit("alpha", 1)
    async with live(service.app) as server, Events(server.port, ALL) as lines:
        seen = []
        async for line in lines:
            seen.append(line)
            if len(seen) == 5:
                break

    assert seen[0] == ":"
    assert "event: next" in seen
    data = next(line for line in seen if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["data"]["recordChanges"]["sourceId"] == "1"


async def test_a_query_over_events_is_one_result_and_the_end(client):
    answer = await client.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"accept": "text/event-stream"}
    )

    assert answer.text == 'event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata:\n\n'


async def test_a_stream_that_cannot_begin_is_answered_with_a_status(client):
    asked = {"query": 'subscription { recordChanges(since: "damaged") { op } }'}
    answer = await client.post("/graphql", json=asked, headers={"accept": "text/event-stream"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "invalid_cursor"


async def test_a_subscription_needs_a_stream(client):
    answer = await client.post("/graphql", json={"query": ALL})

    assert re.search("text/event-stream", answer.json()["errors"][0]["message"])


async def test_one_that_does_not_read_is_cut_off_and_can_go_on(service, commit):
    """What waits for it is bounded: it is told to come again, and has lost nothing."""
    async with live(service.app) as server:
        async with talking(server.port, max_queue=1, write_limit=1) as talk:
            await talk.open()
            query = "subscription { recordChanges { op sourceId cursor record { title } } }"
            await following(talk, query)
            heard = [await asyncio.to_thread(commit, "alpha", 0) and await change(talk)]
            talk.socket.transport.pause_reading()
            for number in range(1, 120):
                await asyncio.to_thread(commit, "alpha", number, title="x" * 200_000)
            await until(lambda: not service.app.state.graphql.subscriptions.open)
            talk.socket.transport.abort()
        async with talking(server.port) as again:
            await again.open()
            await following(again, query, heard[0]["cursor"])
            query = "subscription($since: String) { recordChanges(since: $since) { sourceId } }"
            await again.subscribe("2", query, since=heard[0]["cursor"])
            rest: list[str] = []
            while len(rest) < 119:
                message = await again.hear()
                if message["id"] == "2":
                    rest.append(message["payload"]["data"]["recordChanges"]["sourceId"])
    assert rest == [str(number) for number in range(1, 120)]


async def test_a_stream_that_is_not_read_is_cut_off(service, commit):
    """Nothing was told after what was left out: whoever reads again finds the end, and no gap."""
    body = json.dumps({"query": "subscription { recordChanges { sourceId record { title } } }"}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with capture_logs() as logs:
        async with live(service.app) as server, server.connect() as wire:
            await wire.write(head.encode() + body)
            await wire.answer()
            wire.reader._transport.pause_reading()
            number = 0
            while not any(event["event"] == "feed.slow_consumer_dropped" for event in logs):
                await asyncio.to_thread(commit, "alpha", number, title="x" * 200_000)
                number += 1
            wire.reader._transport.resume_reading()
            rest = (await wire.rest()).decode()

    told = [int(found) for found in re.findall(r'"sourceId":"(\d+)"', rest)]
    assert told == list(range(len(told)))
    assert len(told) < number
    assert "event: complete" not in rest


async def test_a_server_that_ends_says_so_and_not_that_there_is_nothing_more(service, commit):
    commit("alpha", 1)
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await following(talk)
        await change(talk)
        async with Events(server.port, ALL) as lines:
            assert await first_data(lines)
            service.app.state.feed.end()

            assert await talk.closed() == 1012
            assert "event: complete" not in [line async for line in lines]
