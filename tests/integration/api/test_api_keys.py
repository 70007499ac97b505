"""Keys in the database: what each may do, and that one is refused soon after it was revoked."""

from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from kasparro.core.config import Scope
from kasparro.schemas.keys import KeyOrder, prefix_of
from kasparro.storage.api_keys import ApiKeys

pytestmark = pytest.mark.anyio


@pytest.fixture
def keyed(serve):
    return lambda **given: serve(**{"require_keys": True, "auth_failures_per_minute": 1000, **given})


def keys_of(service) -> ApiKeys:
    return ApiKeys(service.runtime.database)


async def status(service, key: str, method: str = "GET", path: str = "/sources") -> int:
    return (await service.client.request(method, path, headers={"X-API-Key": key})).status_code


async def test_a_key_may_do_what_its_scope_says(keyed):
    async with keyed() as service:
        read = await keys_of(service).create(KeyOrder("reader", Scope.READ))
        admin = await keys_of(service).create(KeyOrder("operator", Scope.ADMIN))

        assert (await service.client.get("/sources")).status_code == 401
        assert [await status(service, key) for key in (read, admin)] == [200, 200]
        assert [await status(service, key, "POST", "/etl/run/alpha") for key in (read, admin)] == [403, 202]


async def test_keys_of_the_settings_and_of_the_database_hold_side_by_side(keyed):
    async with keyed(api_keys={"from-settings-1": "read"}) as service:
        made = await keys_of(service).create(KeyOrder("reader", Scope.READ))

        assert [await status(service, key) for key in ("from-settings-1", made)] == [200, 200]


async def test_what_is_not_the_whole_key_opens_nothing(keyed, seed):
    async with keyed() as service:
        key = await keys_of(service).create(KeyOrder("reader", Scope.READ))
        prefix = prefix_of(key)
        (digest,) = seed.connection.execute("SELECT encode(digest, 'hex') FROM api_key").fetchone()
        wrong = [
            prefix,
            f"{prefix}_",
            key[:-1],
            key + "x",
            key.swapcase(),
            f"{prefix}_{digest[:43]}",
            digest,
            key[4:],
        ]

        assert [await status(service, tried) for tried in wrong] == [401] * len(wrong)


async def test_an_expired_key_opens_nothing(keyed, seed):
    async with keyed() as service:
        key = await keys_of(service).create(KeyOrder("reader", Scope.READ))
        seed.connection.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")

        assert await status(service, key) == 401


async def test_a_revoked_key_is_refused_within_seconds(keyed):
    async with keyed() as service:
        key = await keys_of(service).create(KeyOrder("reader", Scope.READ))
        assert await status(service, key) == 200
        await keys_of(service).revoke(prefix_of(key))

        with anyio.fail_after(10):
            while await status(service, key) == 200:
                pass
        assert await status(service, key) == 401


async def test_a_key_may_have_a_limit_of_its_own(keyed):
    async with keyed(rate_limit_per_minute=100) as service:
        slow = await keys_of(service).create(KeyOrder("slow", Scope.READ, rate_per_minute=2))

        assert [await status(service, slow) for _ in range(3)] == [200, 200, 429]


async def test_with_the_database_away_nobody_is_let_in_and_health_is_told(serve, wire):
    async with serve(url=wire.url, require_keys=True, api_keys={"from-settings-1": "read"}) as service:
        key = await keys_of(service).create(KeyOrder("admin", Scope.ADMIN))
        await wire.cut()

        refused = await service.client.get("/", headers={"X-API-Key": key})
        known = await service.client.get("/", headers={"X-API-Key": "from-settings-1"})
        wrong = await service.client.get("/", headers={"X-API-Key": "wrong-secret"})
        live = await service.client.get("/health/live", headers={"X-API-Key": key})

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert (known.status_code, wrong.status_code, live.status_code) == (200, 401, 200)


async def test_with_the_database_frozen_the_answer_comes_all_the_same(serve, wire):
    async with serve(url=wire.url, require_keys=True) as service:
        key = await keys_of(service).create(KeyOrder("admin", Scope.ADMIN))
        wire.freeze()

        with anyio.fail_after(10):
            refused = await service.client.get("/", headers={"X-API-Key": key})
        wire.flowing.set()

    assert refused.status_code == 503


async def test_neither_the_key_nor_its_hash_is_logged_or_kept(keyed, seed):
    async with keyed() as service:
        key = await keys_of(service).create(KeyOrder("reader", Scope.READ))
        with capture_logs() as logs:
            await status(service, key, "POST", "/etl/run")
        rows = seed.connection.execute("SELECT api_key::text FROM api_key").fetchall()

    secret = key.removeprefix(f"{prefix_of(key)}_")
    assert secret not in str(logs)
    assert secret not in str(rows)
    assert [e["key"] for e in logs if e["event"] == "security.refused"] == [prefix_of(key)]
