"""How often somebody may ask: by key, by address, with wrong keys; counted here or in a Redis that may be away."""

from __future__ import annotations

import re

import anyio
import pytest
from structlog.testing import capture_logs

from kasparro.core.http_protocol import ServerLimits
from kasparro.schemas.data import Problem
from live_server import live
from valkey import valkey

pytestmark = pytest.mark.anyio

READ, ADMIN = "read-secret-1", "admin-secret-1"
KEYS = {READ: "read", ADMIN: "admin"}
AS_READ, AS_ADMIN = {"X-API-Key": READ}, {"X-API-Key": ADMIN}


async def statuses(client, times: int, path: str = "/sources", **given) -> list[int]:
    return [(await client.get(path, **given)).status_code for _ in range(times)]


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=3) as service:
        answers = [await service.client.get("/sources", headers=AS_READ) for _ in range(5)]
        other_key = await service.client.get("/sources", headers=AS_ADMIN)

    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    problem = Problem.model_validate_json(answers[3].content)
    assert (problem.code, problem.status) == ("rate_limited", 429)
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert other_key.status_code == 200


async def test_every_answer_says_what_is_left(serve):
    async with serve(api_keys=KEYS, public_read=True, rate_limit_per_minute=5) as service:
        by_key = [await service.client.get("/sources", headers=AS_READ) for _ in range(6)]
        by_address = await service.client.get("/sources")
        missing = await service.client.get("/nothing")

    assert {a.headers["ratelimit-policy"] for a in by_key} == {'"key";q=5;w=60'}
    standings = [re.fullmatch(r'"key";r=(\d+);t=(\d+)', a.headers["ratelimit"]) for a in by_key]
    assert [int(s[1]) for s in standings] == [4, 3, 2, 1, 0, 0]
    assert all(1 <= int(s[2]) <= 60 for s in standings)
    assert by_address.headers["ratelimit-policy"] == '"address";q=5;w=60'
    assert missing.headers["ratelimit"].startswith('"address";r=3;')


async def test_addresses_are_counted_one_by_one_and_ipv6_by_network(serve):
    async with serve(api_keys=KEYS, public_read=True, rate_limit_per_minute=1) as service:
        found = {}
        for address in ("203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
            async with service.client_from(address) as client:
                found[address] = await statuses(client, 1)

    assert found == {
        "203.0.113.7": [200],
        "203.0.113.8": [200],
        "2001:db8::1": [200],
        "2001:db8::2": [429],
        "2001:db8:0:1::1": [200],
    }


async def test_requests_without_a_key_are_counted_as_well(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=2) as service:
        assert await statuses(service.client, 4) == [401, 401, 429, 429]


async def test_health_is_always_answered(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=1) as service:
        await statuses(service.client, 3)
        answers = [await service.client.get("/health/live") for _ in range(5)]

    assert {a.status_code for a in answers} == {200}
    assert not any("ratelimit" in a.headers for a in answers)


async def test_this_machine_alone_has_no_limit_unless_one_is_set(serve):
    async with serve() as free, serve(rate_limit_per_minute=2) as limited:
        assert "ratelimit" not in (await free.client.get("/sources")).headers
        assert await statuses(limited.client, 3) == [200, 200, 429]


async def test_a_limit_of_nothing_is_no_limit(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=0) as service:
        answer = await service.client.get("/sources", headers=AS_READ)

    assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)


async def test_after_too_many_wrong_keys_no_key_of_that_address_is_looked_at(serve):
    """Else whoever guesses could go on guessing, and would see when one is right."""
    async with serve(api_keys=KEYS, auth_failures_per_minute=3) as service:
        guesses = [
            (await service.client.get("/sources", headers={"X-API-Key": f"guess-{n}"})) for n in range(5)
        ]
        right = await service.client.get("/sources", headers=AS_READ)
        without = await service.client.get("/sources")
        health = await service.client.get("/health", headers=AS_READ)
        async with service.client_from("203.0.113.7") as elsewhere:
            others = await elsewhere.get("/sources", headers=AS_READ)

    assert [a.status_code for a in guesses] == [401, 401, 401, 429, 429]
    assert 1 <= int(guesses[4].headers["retry-after"]) <= 60
    assert (right.status_code, without.status_code) == (429, 401)
    assert health.status_code == 200
    assert others.status_code == 200


async def test_health_is_no_way_to_try_keys(serve, seed):
    """It tells more to whoever has a key, and so whether a guess is right."""
    seed.run("alpha", "failed")
    async with serve(api_keys=KEYS, auth_failures_per_minute=2) as service:
        for number in range(3):
            await service.client.get("/health", headers={"X-API-Key": f"guess-{number}"})
        told = await service.client.get("/health", headers=AS_READ)

    assert told.status_code == 200
    assert "alpha" not in told.text


async def test_forwarded_addresses_are_believed_of_nobody_by_default(serve):
    async with serve(api_keys=KEYS, public_read=True, rate_limit_per_minute=1) as service:
        answers = [
            (await service.client.get("/sources", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code
            for n in range(3)
        ]

    assert answers == [200, 429, 429]


async def test_forwarded_addresses_are_believed_of_a_trusted_hop(serve):
    trusting = {
        "api_keys": KEYS,
        "public_read": True,
        "rate_limit_per_minute": 1,
        "forwarded_allow_ips": "10.0.0.0/8",
    }
    async with serve(**trusting) as service:
        async with service.client_from("10.1.2.3") as proxy:
            by_client = [
                (await proxy.get("/sources", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code
                for n in range(2)
            ]
            # What a client says itself stands left of what the hop adds, and is not believed.
            spoofed = await proxy.get("/sources", headers={"X-Forwarded-For": "1.2.3.4, 203.0.113.1"})
            over_tls = await proxy.get("/health/live", headers={"X-Forwarded-Proto": "https"})
        async with service.client_from("203.0.113.99") as stranger:
            strangers = [
                (await stranger.get("/sources", headers={"X-Forwarded-For": f"198.51.100.{n}"})).status_code
                for n in range(2)
            ]
            unbelieved = await stranger.get("/health/live", headers={"X-Forwarded-Proto": "https"})

    assert by_client == [200, 200]
    assert spoofed.status_code == 429
    assert strangers == [200, 429]
    assert over_tls.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in unbelieved.headers


async def test_a_refusal_is_one_event_without_the_key(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=1, auth_failures_per_minute=1) as service:
        with capture_logs() as logs:
            await statuses(service.client, 2, headers=AS_READ)
            await statuses(service.client, 2, headers={"X-API-Key": "guess-secret"})

    refused = [e for e in logs if e["event"] == "security.refused"]
    assert [(e["code"], e["key"]) for e in refused] == [
        ("rate_limited", "env_1"),
        ("not_authenticated", None),
        ("rate_limited", None),
    ]
    assert "secret" not in str(logs)


async def test_several_processes_share_one_limit_in_redis(serve):
    with valkey() as store:
        shared = {"api_keys": KEYS, "rate_limit_per_minute": 4, "redis_url": store.url}
        async with serve(**shared) as one, serve(**shared) as two:
            found = [
                *await statuses(one.client, 3, headers=AS_READ),
                *await statuses(two.client, 3, headers=AS_READ),
            ]
            last = await one.client.get("/sources", headers=AS_ADMIN)

    assert found == [200, 200, 200, 200, 429, 429]
    assert last.headers["ratelimit"].startswith('"key";r=3;')


async def test_a_redis_that_goes_away_is_no_error_and_opens_nothing(serve):
    with valkey() as store:
        async with serve(api_keys=KEYS, rate_limit_per_minute=2, redis_url=store.url) as service:
            before = await statuses(service.client, 2, headers=AS_READ)
            store.stop()
            with capture_logs() as logs:
                after = await statuses(service.client, 4, headers=AS_READ)

    assert before == [200, 200]
    assert after == [200, 200, 429, 429]
    told = [e for e in logs if e["event"] == "limits.redis_unavailable"]
    assert len(told) == 1, "once, not with every request"


async def test_a_redis_that_was_never_there_is_no_error(serve, tmp_path):
    async with serve(
        api_keys=KEYS, rate_limit_per_minute=2, redis_url=f"unix://{tmp_path}/none.sock"
    ) as service:
        assert await statuses(service.client, 3, headers=AS_READ) == [200, 200, 429]


async def test_limits_hold_over_a_socket(serve):
    async with (
        serve(api_keys=KEYS, rate_limit_per_minute=1) as service,
        live(service.app, ServerLimits()) as server,
    ):
        with anyio.fail_after(30):
            request = (
                f"GET /sources HTTP/1.1\r\nHost: a\r\nX-API-Key: {READ}\r\nConnection: close\r\n\r\n".encode()
            )
            answers = [await server.send(request) for _ in range(2)]

    assert [a.split()[1] for a in answers] == [b"200", b"429"]
