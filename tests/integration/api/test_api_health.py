from __future__ import annotations

import asyncio

import anyio
import pytest

from kasparro.schemas.data import HealthStatus

pytestmark = pytest.mark.anyio

KEYS = {"read-secret-1": "read"}


async def test_health_tells_how_the_latest_ended_run_went(client, seed):
    seed.run("alpha", "partial", hours_ago=2)
    seed.run("beta", "success", hours_ago=3)
    seed.run("beta", "in_progress", hours_ago=0)

    for path in ("/health", "/health/ready"):
        answer = await client.get(path)
        status = HealthStatus.model_validate_json(answer.content)
        assert answer.status_code == 200
        assert (status.status, status.db_connected, status.etl_status) == ("healthy", True, "partial")
        assert status.etl_last_run is not None


async def test_a_long_run_that_ended_last_is_the_latest_although_it_began_first(client, seed):
    seed.run("alpha", "partial", hours_ago=5)
    seed.connection.execute("UPDATE etl_run SET end_time = now()")
    seed.run("beta", "success", hours_ago=2)

    assert (await client.get("/health")).json()["etl_status"] == "partial"


async def test_before_the_first_run_all_is_well(client):
    body = (await client.get("/health")).json()

    assert (body["status"], body["etl_last_run"], body["etl_status"]) == ("healthy", None, None)


async def test_a_failed_last_run_degrades_and_still_serves(client, seed):
    seed.run("alpha", "failed")
    seed.run("beta")

    answer = await client.get("/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["detail"] == "the last run failed of: alpha"


async def test_a_success_after_the_failure_heals(client, seed):
    seed.run("alpha", "failed", hours_ago=2)
    seed.run("alpha", "success")

    assert (await client.get("/health")).json()["status"] == "healthy"


@pytest.mark.parametrize("source", ["gamma", "long_gone"])
async def test_a_source_that_is_not_ingested_any_more_degrades_nothing(client, seed, source):
    seed.run(source, "failed")

    assert (await client.get("/health")).json()["status"] == "healthy"


async def test_health_needs_no_key_and_names_no_source_without_one(serve, seed):
    seed.run("alpha", "failed")
    async with serve(api_keys=KEYS) as service:
        without = await service.client.get("/health")
        wrong = await service.client.get("/health", headers={"X-API-Key": "wrong"})
        with_key = await service.client.get("/health", headers={"X-API-Key": "read-secret-1"})

    assert [a.status_code for a in (without, wrong, with_key)] == [200, 200, 200]
    assert "alpha" not in without.text + wrong.text
    assert "alpha" in with_key.text


async def test_with_the_database_away_it_lives_and_is_not_ready(serve, wire):
    async with serve(url=wire.url) as service:
        assert (await service.client.get("/health/ready")).status_code == 200
        await wire.cut()

        live = await service.client.get("/health/live")
        ready = await service.client.get("/health/ready")

    assert (live.status_code, live.json()["status"]) == (200, "healthy")
    assert (ready.status_code, ready.json()["status"]) == (503, "unhealthy")
    assert (ready.json()["db_connected"], ready.json()["detail"]) == (False, "database_unavailable")
    assert "127.0.0.1" not in ready.text


async def test_with_the_database_frozen_it_answers_all_the_same(serve, wire):
    async with serve(url=wire.url) as service:
        assert (await service.client.get("/health/ready")).status_code == 200
        wire.freeze()

        live = await service.client.get("/health/live")
        answers = await asyncio.gather(*(service.client.get("/health/ready") for _ in range(20)))

        assert live.status_code == 200
        # `database_unavailable` would mean that it waited until the connection gave up.
        assert {(a.status_code, a.json()["detail"]) for a in answers} == {(503, "database_timeout")}


async def test_it_is_ready_again_when_the_database_is(serve, wire):
    async with serve(url=wire.url) as service:
        wire.freeze()
        assert (await service.client.get("/health/ready")).status_code == 503
        wire.flowing.set()

        with anyio.fail_after(30):
            while True:
                ready = await service.client.get("/health/ready")  # waits for the database by itself
                if ready.status_code == 200:
                    break


async def test_a_pool_that_is_exhausted_does_not_make_it_unhealthy(serve):
    async with (
        serve(db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=0.05) as service,
        service.runtime.database.driver_transaction(),
    ):
        assert (await service.client.get("/health/ready")).status_code == 200


async def test_a_database_without_our_tables_is_not_ready(client, seed):
    seed.connection.execute("DROP TABLE etl_run CASCADE")

    answer = await client.get("/health/ready")

    assert (answer.status_code, answer.json()["detail"]) == (503, "schema_mismatch")
