"""GET /metrics: well formed by the rules of Prometheus, true, and of bounded size."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kasparro import __version__
from kasparro.api.siblings import merged

pytestmark = pytest.mark.anyio

KEYS = {"read-secret-1": "read"}
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count", "_created"), "counter": ("", "_created")}
UNITS = re.compile(r"_(milliseconds|ms|minutes|hours|days|kilobytes|kb|mb|percent)(_|$)")


@dataclass
class Family:
    kind: str = ""
    help: str = ""
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)


def families(text: str) -> dict[str, Family]:
    """The families of an exposition. Fails where `promtool check metrics` would."""
    found: dict[str, Family] = {}
    current = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, current, text_of_help = line.split(" ", 3)
            assert current not in found, f"{current} is there twice"
            assert text_of_help.strip()
            found[current] = Family(help=text_of_help)
        elif line.startswith("# TYPE "):
            _, _, name, found[current].kind = line.split(" ")
            assert name == current, "TYPE without HELP"
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            allowed = {current + suffix for suffix in SUFFIXES.get(found[current].kind, ("",))}
            assert sample["name"] in allowed, f"{sample['name']} stands under {current}"
            labels = dict(LABEL.findall(sample["labels"] or ""))
            assert LABEL.sub("", sample["labels"] or "") == "", line
            found[current].samples.append((sample["name"], labels, float(sample["value"])))
    return found


def faults(found: dict[str, Family]) -> list[str]:
    """What the linter of promtool would say of the names."""
    said = []
    for name, family in found.items():
        if not NAME.fullmatch(name):
            said.append(f"{name} is no snake_case")
        if family.kind not in {"counter", "gauge", "histogram"}:
            said.append(f"{name} has the type {family.kind!r}")
        if (family.kind == "counter") != name.endswith("_total"):
            said.append(f"{name} is a {family.kind}")
        if UNITS.search(name):
            said.append(f"{name} has no base unit")
        if family.kind in name.split("_"):
            said.append(f"{name} names its type")
        if family.help.lower() == name.lower():
            said.append(f"{name} has no help")
        seen = [(sample, tuple(sorted(labels.items()))) for sample, labels, _ in family.samples]
        if len(seen) != len(set(seen)):
            said.append(f"{name} has a sample twice")
    return said


async def scrape(client, **given) -> dict[str, Family]:
    answer = await client.get("/metrics", **given)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    list(text_string_to_metric_families(answer.text))
    return families(answer.text)


def value(found: dict[str, Family], name: str, sample: str | None = None, **labels: str) -> float:
    (only,) = [
        v for n, given, v in found[name].samples if n == (sample or name) and labels.items() <= given.items()
    ]
    return only


async def test_it_is_as_prometheus_wants_it(client, seed):
    seed.records("alpha", 2)
    seed.run("alpha")
    seed.totals("alpha", records_processed=2, records_inserted=2)
    await client.get("/data")
    await client.get("/nothing")

    assert faults(await scrape(client)) == []


@pytest.mark.parametrize(
    "line",
    [
        "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP aB x\n# TYPE aB gauge\naB 1\n",
        "# HELP a_ms x\n# TYPE a_ms gauge\na_ms 1\n",
        "# HELP a_gauge x\n# TYPE a_gauge gauge\na_gauge 1\n",
        '# HELP a x\n# TYPE a gauge\na{b="c"} 1\na{b="c"} 2\n',
        "# HELP a x\n# TYPE a untyped\na 1\n",
    ],
)
async def test_the_check_finds_faults(line):
    assert faults(families(line))


async def test_requests_are_counted_by_route_and_never_by_path(client, seed):
    record = seed.record("alpha", {})
    for path in (f"/data/{record}", "/data/999", "/data/x", "/made/up/1", "/made/up/2", "/data?limit=0"):
        await client.get(path)
    for method in ("BREW", "X-MADE-UP"):
        await client.request(method, "/data")

    found = await scrape(client)
    counted = {
        tuple(labels.values()): v
        for _, labels, v in found["kasparro_http_requests_total"].samples
        if "_total" in _
    }

    assert counted == {
        ("GET", "/data/{id}", "200"): 1,
        ("GET", "/data/{id}", "404"): 1,
        ("GET", "/data/{id}", "422"): 1,
        ("GET", "none", "404"): 2,
        ("GET", "/data", "422"): 1,
        ("other", "/data", "405"): 2,
    }
    name = "kasparro_http_request_duration_seconds"
    assert value(found, name, f"{name}_count", method="GET", route="/data/{id}") == 3
    assert value(found, name, f"{name}_bucket", method="GET", route="/data/{id}", le="+Inf") == 3
    assert value(found, "kasparro_http_requests_in_flight") == 1, "this one"


async def test_made_up_methods_and_paths_do_not_fill_the_memory(service):
    for number in range(50):
        await service.client.request(f"M{number}", f"/path/{number}")

    found = await scrape(service.client)

    assert len(found["kasparro_http_requests_total"].samples) <= 2
    assert len(found["kasparro_http_request_duration_seconds"].samples) <= 2 * 16


async def test_what_several_workers_counted_is_one_text_with_a_label(service):
    await service.client.get("/data")
    own = service.app.state.scrape.metrics.own()
    apart, together = families(own.decode()), families(merged({0: own, 3: own}).decode())

    assert set(together) == {*apart, "kasparro_workers"}
    for name, family in apart.items():
        whole = together[name]
        assert (whole.kind, whole.help) == (family.kind, family.help)
        assert sorted(map(repr, whole.samples)) == sorted(
            repr((sample, {**labels, "worker": worker}, value))
            for sample, labels, value in family.samples
            for worker in ("0", "3")
        )


async def test_refusals_are_counted_by_reason(serve):
    async with serve(api_keys=KEYS, rate_limit_per_minute=3) as service:
        await service.client.get("/sources")
        await service.client.get("/sources", headers={"X-API-Key": "wrong"})
        await service.client.post("/etl/run", headers={"X-API-Key": "read-secret-1"})
        found = await scrape(service.client, headers={"X-API-Key": "read-secret-1"})
        for _ in range(2):
            await service.client.get("/sources", headers={"X-API-Key": "read-secret-1"})
        text = service.app.state.scrape.metrics.own().decode()

    name = "kasparro_http_refusals_total"
    assert [value(found, name, reason=r) for r in ("unauthorized", "forbidden", "rate_limited")] == [2, 1, 0]
    assert value(families(text), name, reason="rate_limited") == 1


async def test_what_ingestion_did_is_told_for_each_source(client, seed):
    seed.records("alpha", 3)
    seed.run("alpha", hours_ago=2)
    seed.run("alpha", "failed")
    seed.run("alpha", "in_progress", hours_ago=0)
    seed.totals(
        "alpha",
        records_processed=21,
        records_inserted=1,
        records_updated=2,
        records_unchanged=3,
        records_failed=4,
        records_duplicates=11,
        records_deleted=5,
    )
    seed.connection.execute("UPDATE etl_totals SET last_success = now() - interval '1 hour'")

    found = await scrape(client)

    outcomes = {labels["outcome"]: v for _, labels, v in found["kasparro_etl_records_total"].samples}
    assert outcomes == {"inserted": 1, "updated": 2, "unchanged": 3, "failed": 4, "duplicates": 11}
    assert value(found, "kasparro_etl_records_deleted_total", source="alpha") == 5
    assert value(found, "kasparro_source_records", source="alpha") == 3
    assert value(found, "kasparro_source_dataset_version", source="alpha") == 1
    assert value(found, "kasparro_source_freshness_seconds", source="alpha") == pytest.approx(3600, abs=120)
    assert value(found, "kasparro_etl_runs_total", source="alpha", status="success") == 1
    assert value(found, "kasparro_etl_runs_total", source="alpha", status="failed") == 1
    assert value(found, "kasparro_etl_runs_in_progress", source="alpha") == 1
    assert found["kasparro_source_last_failure_timestamp_seconds"].samples == []


async def test_the_queue_is_told(client, seed):
    before = await scrape(client)
    for source in ("alpha", "beta"):
        await client.post(f"/etl/run/{source}")
    seed.connection.execute("UPDATE procrastinate_events SET at = now() - interval '1 hour'")
    seed.connection.execute(
        "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 hour' WHERE args->>'source' = 'beta'"
    )

    found = await scrape(client)

    assert value(before, "kasparro_jobs_waiting") == value(before, "kasparro_jobs_longest_wait_seconds") == 0
    assert value(found, "kasparro_jobs_waiting") == 1
    assert value(found, "kasparro_jobs_longest_wait_seconds") == pytest.approx(3600, abs=120)


async def test_connections_are_told_and_are_had_when_the_pool_is_exhausted(serve):
    async with (
        serve(db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=0.05) as service,
        service.runtime.database.driver_transaction(),
    ):
        refused = await service.client.get("/data")
        found = await scrape(service.client)

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert value(found, "kasparro_database_pool_size", pool="api") == 1
    assert value(found, "kasparro_database_pool_in_use", pool="api") == 1
    assert value(found, "kasparro_database_pool_waiting", pool="api") == 0
    assert value(found, "kasparro_database_up") == 1


async def test_who_waits_for_a_connection_is_told(serve):
    async with serve(db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=30) as service:
        async with service.runtime.database.driver_transaction():
            waiting = asyncio.create_task(service.client.get("/data"))
            with anyio.fail_after(30):
                found = await scrape(service.client)
                while value(found, "kasparro_database_pool_waiting", pool="api") == 0:
                    found = await scrape(service.client)
        answer = await waiting
        after = await scrape(service.client)

    assert value(found, "kasparro_database_pool_waiting", pool="api") == 1
    assert answer.status_code == 200
    assert value(after, "kasparro_database_pool_waiting", pool="api") == 0


async def test_with_the_database_away_the_rest_is_told(serve, wire):
    async with serve(url=wire.url) as service:
        await wire.cut()
        found = await scrape(service.client)

    assert value(found, "kasparro_database_up") == 0
    assert value(found, "kasparro_build_info", version=__version__) == 1
    assert "kasparro_etl_records_total" not in found


async def test_it_takes_a_key_unless_it_is_said_to_be_public(serve):
    async with serve(api_keys=KEYS) as closed, serve(api_keys=KEYS, metrics_public=True) as public:
        assert (await closed.client.get("/metrics")).status_code == 401
        assert (
            await closed.client.get("/metrics", headers={"X-API-Key": "read-secret-1"})
        ).status_code == 200
        assert (await public.client.get("/metrics")).status_code == 200
        assert (await public.client.get("/data")).status_code == 401
