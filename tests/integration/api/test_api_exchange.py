from __future__ import annotations

import re

import pytest
from structlog.testing import capture_logs

from kasparro.core.logging_config import REQUEST_ID

pytestmark = pytest.mark.anyio


async def test_every_answer_has_an_id_a_duration_and_the_headers_that_cost_nothing(client):
    for path in ("/data", "/health/live", "/nothing", "/data?limit=0", "/docs"):
        headers = (await client.get(path)).headers
        assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
        assert re.fullmatch(
            r"total;dur=[0-9.]+, db;dur=[0-9.]+(, cache;desc=(hit|miss))?", headers["server-timing"]
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"


async def test_what_operators_see_is_not_kept_by_caches(client):
    for path in ("/runs", "/stats", "/sources", "/checkpoints", "/health", "/data/1"):
        assert (await client.get(path)).headers["cache-control"] == "no-store", path


async def test_an_id_of_the_callers_own_is_taken_over(client):
    answer = await client.get("/data", headers={"X-Request-ID": "my.Request_id-1"})

    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "my.Request_id-1"


async def test_an_id_that_is_not_sane_is_replaced(client):
    for given in ("", " ", "a b", "a" * 65, "a\x1b[31m", 'a"b', "a,b", "\u00e9"):
        answer = await client.get("/data", headers={"X-Request-ID": given.encode()})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_each_request_leaves_one_line_with_the_route_and_no_values(client):
    with capture_logs() as logs:
        await client.get("/data?source=confidential", headers={"X-Request-ID": "r-1"})
        await client.get("/data/4711")
        await client.get("/nothing/confidential")

    lines = [{k: v for k, v in line.items() if k != "duration_ms"} for line in logs]
    assert [(line["event"], line["method"], line["route"], line["status"]) for line in lines] == [
        ("request.served", "GET", "/data", 200),
        ("request.served", "GET", "/data/{id}", 404),
        ("request.served", "GET", None, 404),
    ]
    assert lines[0]["request_id"] == "r-1"
    assert "confidential" not in str(logs)
    assert "4711" not in str(logs)


async def test_the_request_id_does_not_outlive_the_request(client):
    await client.get("/data")

    assert REQUEST_ID.get() is None
