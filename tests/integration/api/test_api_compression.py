"""Answers in the codings that clients accept, looked at as they are on the wire."""

from __future__ import annotations

import gzip
import json

import brotli
import pytest

from kasparro.api.codings import zstd

pytestmark = pytest.mark.anyio

UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}
VARYING = ("request_id", "api_latency_ms", "as_of")


async def wire(client, path, codings=None, **headers):
    """The answer, and its body as it came. httpx decodes `content`, so the raw bytes are read."""
    sent = {"Accept-Encoding": codings or "identity", **headers}
    async with client.stream("GET", path, headers=sent) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    return answer, raw


def told(body: bytes):
    return {name: value for name, value in json.loads(body).items() if name not in VARYING}


@pytest.mark.parametrize("coding", UNPACK)
async def test_a_page_is_the_same_in_every_coding_and_each_time(client, seed, coding):
    seed.records("alpha", 40)
    plain, expected = await wire(client, "/data?limit=40")
    assert "content-encoding" not in plain.headers

    for _ in range(3):  # made, kept, and by the way of requests that are known
        answer, raw = await wire(client, "/data?limit=40", coding)
        assert answer.headers["content-encoding"] == coding
        assert int(answer.headers["content-length"]) == len(raw) < len(expected) // 3
        assert answer.headers["etag"] == plain.headers["etag"]
        assert told(UNPACK[coding](raw)) == told(expected)
        assert answer.headers["x-request-id"] in UNPACK[coding](raw).decode()


async def test_a_packed_page_is_packed_once_for_each_state(service, seed):
    seed.records("alpha", 40)
    cache = service.app.state.reader.cache
    for _ in range(3):
        await wire(service.client, "/data?limit=40", "gzip, deflate, br, zstd")
    assert len(cache) == 2

    seed.record("alpha", {"title": "new"})
    seed.connection.execute("UPDATE etl_checkpoint SET version = version + 1")
    answer, raw = await wire(service.client, "/data?limit=50", "gzip, deflate, br, zstd")
    assert (
        answer.headers["content-encoding"] == "gzip"
    )  # the one that is kept, where the client does not mind
    assert b'"new"' in gzip.decompress(raw)
    answer, raw = await wire(service.client, "/data?limit=40", "gzip")
    assert json.loads(gzip.decompress(raw))["total_count"] == 41


async def test_what_a_client_does_not_accept_it_does_not_get(client, seed):
    seed.records("alpha", 40)
    for sent in ("identity", "gzip;q=0", "deflate", "gzip;q=0.1, identity"):
        answer, raw = await wire(client, "/data?limit=40", sent)
        assert "content-encoding" not in answer.headers, sent
        assert len(json.loads(raw)["data"]) == 40


async def test_what_is_short_is_sent_as_it_is(client, seed):
    seed.records("alpha", 1)
    for path in ("/health/live", "/data/1", "/nothing"):
        answer, raw = await wire(client, path, "gzip, br")
        assert "content-encoding" not in answer.headers, path
        json.loads(raw)


async def test_every_answer_says_that_it_varies(client, seed):
    seed.records("alpha", 40)
    for path in (
        "/data?limit=40",
        "/data/1",
        "/health/live",
        "/nothing",
        "/metrics",
        "/data/export",
        "/docs",
    ):
        for codings in ("identity", "gzip"):
            answer, _ = await wire(client, path, codings)
            assert "accept-encoding" in answer.headers["vary"], path
    known = answer = (await wire(client, "/data"))[0].headers["etag"]
    answer, raw = await wire(client, "/data", "gzip", **{"If-None-Match": known})
    assert (answer.status_code, raw) == (304, b"")
    assert "accept-encoding" in answer.headers["vary"]
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", UNPACK)
@pytest.mark.parametrize("path", ["/openapi.json", "/metrics", "/data?limit=40&count=estimated"])
async def test_other_answers_are_packed_as_well(client, seed, coding, path):
    seed.records("alpha", 40)
    answer, raw = await wire(client, path, coding)

    assert answer.headers["content-encoding"] == coding
    assert int(answer.headers["content-length"]) == len(raw)
    assert len(UNPACK[coding](raw)) > len(raw)


@pytest.mark.parametrize("coding", UNPACK)
@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_an_export_is_packed_in_parts(client, seed, coding, form):
    seed.records("alpha", 2000)
    _, expected = await wire(client, f"/data/export?format={form}")
    answer, raw = await wire(client, f"/data/export?format={form}", coding)

    assert answer.headers["content-encoding"] == coding
    assert "content-length" not in answer.headers
    assert UNPACK[coding](raw) == expected
    assert len(raw) < len(expected) // 5


async def test_a_file_that_is_packed_already_is_left_alone(client, seed):
    seed.records("alpha", 2000)
    answer, raw = await wire(client, "/data/export?format=parquet", "gzip")

    assert "content-encoding" not in answer.headers
    assert raw[:4] == b"PAR1"
