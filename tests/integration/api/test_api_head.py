"""HEAD: the headers of GET, and no body, for every path that has a GET."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from kasparro.api.openapi import routes_of
from live_server import live

pytestmark = pytest.mark.anyio

VARYING = {
    "x-request-id",
    "server-timing",
    "x-as-of",
    "ratelimit",
    "content-length",
    "date",
    "transfer-encoding",
}


def told(answer):
    return answer.status_code, sorted((k, v) for k, v in answer.headers.items() if k not in VARYING)


async def test_head_tells_what_get_tells_of_every_path(service, seed):
    run_id = seed.run("alpha")
    seed.records("alpha", 40)
    client = service.client
    paths = {route.path for route in routes_of(service.app) if "GET" in route.methods}
    paths -= {"/data/stream"}  # GET has no end there
    assert len(paths) > 15

    for path in sorted(paths):
        asked = path.replace("{run_id}", run_id).replace("{id}", "1").replace("{source}", "alpha")
        for codings in ("identity", "gzip"):
            get = await client.get(asked, headers={"Accept-Encoding": codings})
            head = await client.head(asked, headers={"Accept-Encoding": codings})
            assert told(head) == told(get), asked
            assert head.content == b"", asked


async def test_the_length_is_that_of_the_answer(client, seed):
    seed.records("alpha", 40)
    for codings in ("identity", "br", "gzip"):
        for path in ("/openapi.json", "/data/1"):
            get = await client.get(path, headers={"Accept-Encoding": codings})
            head = await client.head(path, headers={"Accept-Encoding": codings})
            assert head.headers["content-length"] == get.headers["content-length"]


async def test_head_of_what_one_has_is_304(client, seed):
    seed.records("alpha", 3)
    tag = (await client.head("/data")).headers["etag"]

    assert (await client.head("/data", headers={"If-None-Match": tag})).status_code == 304


async def test_head_of_what_is_only_posted_to_is_refused(client):
    answer = await client.head("/etl/run")

    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")


async def test_head_is_logged_and_counted_as_head(client):
    with capture_logs() as logs:
        await client.head("/data/1")

    assert [(line["method"], line["route"], line["status"]) for line in logs] == [("HEAD", "/data/{id}", 404)]
    assert 'method="HEAD",route="/data/{id}",status="404"' in (await client.get("/metrics")).text


async def test_head_of_streams_ends_and_the_connection_serves_on(service, seed):
    seed.records("alpha", 3)
    async with live(service.app) as server, server.connect() as wire:
        for path, kind in (
            ("/data/stream", b"text/event-stream"),
            ("/data/export", b"application/x-ndjson"),
            ("/data", b"application/json"),
        ):
            await wire.write(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await wire.answer()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
            assert kind in head
    assert service.runtime.database.pool.in_use == 0
