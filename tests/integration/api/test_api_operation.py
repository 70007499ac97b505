from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kasparro.schemas.data import ETLStats, RunSummary
from kasparro.schemas.limits import Policy

pytestmark = pytest.mark.anyio


async def test_runs_are_listed_latest_first_and_say_whether_there_are_more(client, seed):
    ids = [seed.run("alpha"), seed.run("beta", "failed"), seed.run("alpha", "partial")]

    first = (await client.get("/runs?limit=2")).json()
    rest = (await client.get("/runs?limit=2&offset=2")).json()

    assert [r["run_id"] for r in first["runs"]] == [ids[2], ids[1]]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [r["run_id"] for r in rest["runs"]] == [ids[0]]


async def test_runs_can_be_narrowed(client, seed):
    ids = [seed.run("alpha"), seed.run("beta", "failed"), seed.run("alpha", "partial")]

    for query, expected in (
        ("source=alpha", [2, 0]),
        ("status=failed", [1]),
        ("source=alpha&status=success", [0]),
        ("source=beta&status=success", []),
        ("source=nowhere", []),
        ("offset=9223372036854775807&limit=100", []),
        ("offset=9223372036854775807&limit=100&source=alpha", []),
    ):
        found = (await client.get(f"/runs?{query}")).json()["runs"]
        assert [r["run_id"] for r in found] == [ids[number] for number in expected], query


async def test_a_state_that_does_not_exist_is_refused(client):
    answer = await client.get("/runs?status=crashed")

    assert (answer.status_code, answer.json()["parameter"]) == (422, "status")


async def test_a_run_tells_its_ledger(client, seed):
    run_id = seed.run(
        "alpha",
        records_processed=7,
        records_inserted=4,
        records_failed=1,
        records_duplicates=2,
        records_deleted=3,
        duration_ms=90,
    )

    run = RunSummary.model_validate_json((await client.get(f"/runs/{run_id}")).content)

    assert (run.records_processed, run.records_inserted, run.records_failed, run.records_duplicates) == (
        7,
        4,
        1,
        2,
    )
    assert run.records_deleted == 3
    assert (run.source, run.status, run.duration_ms, run.stale) == ("alpha", "success", 90, False)


async def test_a_run_that_does_not_exist_is_not_found(client):
    answer = await client.get("/runs/run_alpha_00000000")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_what_is_no_run_id_is_refused(client):
    for run_id in ("run_alpha_00000000'", "%00", "%ED%A0%80", "a" * 81):
        answer = await client.get(f"/runs/{run_id}")
        assert (answer.status_code, answer.json()["parameter"]) == (422, "run_id")


async def test_a_run_is_stale_when_neither_heartbeat_nor_lease_says_that_it_lives(client, seed):
    silent = seed.run("alpha", "in_progress")
    leased = seed.run("beta", "in_progress")
    seed.lease("beta", leased)
    beating = seed.run("gamma", "in_progress", hours_ago=0)
    expired = seed.run("delta", "in_progress")
    seed.lease("delta", expired, seconds=-1)

    runs = {r["run_id"]: r["stale"] for r in (await client.get("/runs")).json()["runs"]}

    assert runs == {silent: True, leased: False, beating: False, expired: True}


async def test_a_run_asked_for_can_be_watched_before_it_begins(client):
    asked = await client.post("/etl/run/alpha")

    assert asked.status_code == 202
    run_id = asked.json()["runs"][0]["run_id"]
    assert asked.json() == {"runs": [{"source": "alpha", "run_id": run_id}]}
    assert asked.headers["location"] == f"/runs/{run_id}"
    run = RunSummary.model_validate_json((await client.get(asked.headers["location"])).content)
    assert (run.status, run.source, run.metadata) == ("in_progress", "alpha", {"queued": True})


async def test_a_source_is_queued_once(client):
    first = await client.post("/etl/run/alpha")
    second = await client.post("/etl/run/alpha")

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["code"] == "already_running"
    assert first.json()["runs"][0]["run_id"] in second.json()["detail"]


async def test_a_source_that_is_being_ingested_is_not_queued(client, seed):
    seed.lease("alpha", seed.run("alpha", "in_progress"))

    answer = await client.post("/etl/run/alpha")

    assert answer.status_code == 409
    assert "db-host-7" not in answer.text


async def test_all_enabled_sources_are_queued_at_once(client):
    answer = await client.post("/etl/run")

    assert answer.status_code == 202
    assert [run["source"] for run in answer.json()["runs"]] == ["alpha", "beta"]
    assert answer.json()["already_running"] == []


async def test_those_already_running_are_named_and_the_others_queued(client):
    await client.post("/etl/run/alpha")

    some = await client.post("/etl/run")
    none = await client.post("/etl/run")

    assert [run["source"] for run in some.json()["runs"]] == ["beta"]
    assert some.json()["already_running"] == ["alpha"]
    assert (none.status_code, none.json()["code"]) == (409, "already_running")
    assert "alpha, beta" in none.json()["detail"]


async def test_an_unknown_source_is_not_found_with_the_nearest_name(client):
    answer = await client.post("/etl/run/alpa")

    assert answer.status_code == 404
    assert answer.json()["hint"] == "Did you mean 'alpha'?"


async def test_a_disabled_source_is_refused(client):
    answer = await client.post("/etl/run/gamma")

    assert (answer.status_code, answer.json()["parameter"]) == (422, "source")
    assert "enabled: true" in answer.json()["hint"]


async def test_stats_are_totals_of_all_time_and_the_latest_runs(client, seed):
    seed.records("alpha", 3)
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    one = datetime(2024, 1, 1, 13, tzinfo=UTC)
    seed.totals("alpha", records_processed=10, records_inserted=6, records_failed=4, last_success=noon)
    seed.totals("beta", records_processed=5, records_inserted=5, last_success=one, last_failure=noon)
    ids = [seed.run("alpha", "partial"), seed.run("beta"), seed.run("beta", "in_progress")]

    stats = ETLStats.model_validate_json((await client.get("/stats?limit=2")).content)

    assert (stats.total_records_processed, stats.total_records_inserted, stats.total_records_failed) == (
        15,
        11,
        4,
    )
    assert (stats.last_run_id, stats.last_run_status) == (ids[2], "in_progress")
    assert (stats.last_success_timestamp, stats.last_failure_timestamp) == (one, noon)
    assert [run.run_id for run in stats.runs] == [ids[2], ids[1]]
    assert [(s.source, s.record_count, s.records_processed) for s in stats.sources] == [
        ("alpha", 3, 10),
        ("beta", 0, 5),
    ]


async def test_stats_of_one_source_leave_the_others_out(client, seed):
    seed.totals("alpha", records_processed=10, records_inserted=10)
    seed.totals("beta", records_processed=5, records_inserted=5)
    run_id = seed.run("alpha")
    seed.run("beta")

    stats = (await client.get("/stats?source=alpha")).json()

    assert (stats["total_records_processed"], stats["last_run_id"]) == (10, run_id)
    assert [s["source"] for s in stats["sources"]] == ["alpha"]


async def test_stats_before_the_first_run_are_zero(client):
    stats = ETLStats.model_validate_json((await client.get("/stats")).content)

    assert (stats.total_records_processed, stats.last_run_id, stats.runs, stats.sources) == (0, None, [], [])


async def test_checkpoints_tell_where_sources_stand(client, seed):
    seed.records("beta", 2)
    seed.records("alpha", 1)
    seed.connection.execute(
        """UPDATE etl_checkpoint SET cursor = '{"page": 3}', status = 'complete' WHERE source = 'beta'"""
    )

    found = (await client.get("/checkpoints")).json()["checkpoints"]

    assert [(c["source"], c["record_count"], c["version"]) for c in found] == [
        ("alpha", 1, 1),
        ("beta", 2, 1),
    ]
    assert (found[1]["cursor"], found[1]["status"]) == ({"page": 3}, "complete")


async def test_differences_in_shape_are_listed_the_latest_first(client, seed):
    ids = [seed.drift("alpha", field_path=name) for name in "ab"]
    other = seed.drift("beta", field_path="c", decision="frozen")

    everything = (await client.get("/schema-drifts")).json()
    first = (await client.get("/schema-drifts?source=alpha&limit=1")).json()
    second = (await client.get("/schema-drifts?source=alpha&limit=1&offset=1")).json()

    assert [drift["id"] for drift in everything["drifts"]] == [other, *ids[::-1]]
    assert (everything["has_more"], everything["drifts"][0]["decision"]) == (False, "frozen")
    assert [drift["id"] for drift in first["drifts"] + second["drifts"]] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_sources_are_the_declared_ones_and_those_that_have_data(client, seed):
    seed.records("old", 2)
    seed.lease("beta", seed.run("beta", "in_progress"))
    last = seed.run("alpha", "failed")

    found = {s["name"]: s for s in (await client.get("/sources")).json()["sources"]}

    assert list(found) == ["alpha", "beta", "gamma", "old"]
    assert found["alpha"]["description"] == "The first"
    assert (found["alpha"]["last_run"]["run_id"], found["alpha"]["running"]) == (last, False)
    assert (found["beta"]["running"], found["beta"]["schedule"]) == (True, "0 6 * * *")
    assert (found["gamma"]["enabled"], found["gamma"]["declared"], found["gamma"]["last_run"]) == (
        False,
        True,
        None,
    )
    assert (found["old"]["declared"], found["old"]["type"], found["old"]["record_count"]) == (False, None, 2)


async def test_a_source_that_is_not_to_be_asked_says_until_when_and_why(service, seed):
    parked = seed.run("beta", "partial", metadata='{"resume_at": "2036-05-04T12:00:00+00:00"}')
    declared = service.runtime.catalog.sources["beta"]
    until = await service.runtime.limits.rest(Policy.of(declared), 3600)

    alpha, beta, _ = (await service.client.get("/sources")).json()["sources"]
    run = (await service.client.get(f"/runs/{parked}")).json()

    assert (alpha["not_before"], alpha["not_asked"]) == (None, None)
    assert datetime.fromisoformat(beta["not_before"]) == until
    assert beta["not_asked"].endswith("UTC: it asked to be left alone until then")
    assert run["resume_at"] == "2036-05-04T12:00:00Z"


async def test_the_index_links_to_what_is_there(client):
    index = (await client.get("/")).json()

    assert index["name"] == "kasparro"
    for path in index["links"].values():
        assert (await client.get(path)).status_code == 200, path


async def test_reading_changes_nothing(client, seed):
    record = seed.record("alpha", {})
    run_id = seed.run("alpha")
    tables = (
        "normalized_data",
        "etl_run",
        "etl_checkpoint",
        "etl_totals",
        "source_lease",
        "procrastinate_jobs",
    )

    def state() -> list[object]:
        return [
            seed.connection.execute(f"SELECT xmin, * FROM {table} ORDER BY 2").fetchall() for table in tables
        ]

    before = state()
    for path in (
        "/",
        "/data",
        f"/data/{record}",
        "/stats",
        "/runs",
        f"/runs/{run_id}",
        "/checkpoints",
        "/schema-drifts",
        "/sources",
    ):
        assert (await client.get(path)).status_code == 200

    assert state() == before
