import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import psycopg
import pytest

from cli_process import CSV, PATIENCE, Kasparro, gated_api

SAMPLE = Path(__file__).parents[2] / "kasparro.yaml"
RECORDS = {"ourairports": 6191, "airportsdata": 7884, "faa_airports": 1458}


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(tmp_path, {"DATABASE_URL": database_url})


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


def logged(process, event):
    """Read the log up to *event* and return its line."""
    seen = []
    for line in process.stderr:
        seen.append(line)
        entry = json.loads(line)
        if entry["event"] == event:
            return entry
    raise AssertionError("".join(seen))


def end(process, number=signal.SIGINT):
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return out, err


def test_everything_is_up_with_the_samples_and_a_second_time_nothing_is_doubled(kasparro):
    for _ in range(2):
        with kasparro.start("--config", str(SAMPLE), "up", "--playground") as process:
            url = logged(process, "api.listening")["url"]
            logged(process, "worker.started")
            counts = {source: get(f"{url}/data?source={source}&limit=1")["total_count"] for source in RECORDS}
            health = get(f"{url}/health")
            out, err = end(process)

        assert process.returncode == 130, err
        assert counts == RECORDS
        assert health["status"] == "healthy"
        assert f"curl '{url}/data?limit=3'" in out
        assert len(re.findall(r"\bsuccess\b", out)) == 3
        assert not re.search(r"export|PLAYGROUND|Traceback", out + err)


def test_the_api_answers_while_the_first_ingest_runs(kasparro):
    with gated_api() as api:
        kasparro.catalog(api.source)
        with kasparro.start("up") as process:
            url = logged(process, "api.listening")["url"]
            api.wait_until_asked_for(1)
            answer = get(f"{url}/data")
            api.allow(api.pages + 1)
            logged(process, "worker.started")
            end(process, signal.SIGTERM)

    assert answer["total_count"] == 0
    assert process.returncode == 143


def test_a_signal_during_the_first_ingest_ends_it_in_good_order(kasparro):
    with gated_api() as api:
        kasparro.catalog(api.source)
        api.allow(2)
        with kasparro.start("up", ETL_BATCH_SIZE="5") as process:
            api.wait_until_asked_for(3)
            _, err = end(process)
    (run,) = kasparro.json("runs", "list")

    assert process.returncode == 130, err
    assert run["status"] == "failed"
    assert run["records_inserted"] >= 5
    assert "Traceback" not in err


def test_a_source_that_fails_does_not_stop_the_others_nor_the_api(kasparro):
    kasparro.catalog(CSV.format(name="airports") + "  missing:\n    type: csv\n    path: nowhere.csv\n")
    kasparro.csv("airports", 3)

    with kasparro.start("up") as process:
        url = logged(process, "api.listening")["url"]
        logged(process, "worker.started")
        total = get(f"{url}/data")["total_count"]
        out, _ = end(process)

    assert total == 3
    assert "missing: " in out
    assert "nowhere.csv" in out


def test_up_can_leave_the_ingest_to_the_worker(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    with kasparro.start("up", "--no-ingest") as process:
        logged(process, "worker.started")
        end(process)

    assert kasparro.json("runs", "list") == []


def test_a_run_asked_for_over_http_is_executed_by_the_worker_inside(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    with kasparro.start("up", "--no-ingest") as process:
        url = logged(process, "api.listening")["url"]
        logged(process, "worker.started")
        asked = urllib.request.Request(f"{url}/etl/run/airports", method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            assert answer.status == 202
        logged(process, "job.done")
        end(process)

    (run,) = kasparro.json("runs", "list")
    assert (run["status"], run["records_inserted"]) == ("success", 3)


def test_the_sample_catalog_without_its_playground_says_what_to_do(kasparro):
    ended = kasparro.run("--config", str(SAMPLE), "up")

    assert ended.returncode == 2
    assert "kasparro up --playground" in ended.stderr


def test_the_api_alone_refuses_a_database_that_is_behind(kasparro, empty_database_url):
    kasparro.catalog(CSV.format(name="airports"))

    for command in ("serve", "worker"):
        ended = kasparro.run(command, DATABASE_URL=empty_database_url)
        assert ended.returncode == 1
        assert "kasparro db upgrade" in ended.stderr


def test_the_api_and_a_worker_as_processes_of_their_own_share_the_work(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    with kasparro.start("serve") as api, kasparro.start("worker") as worker:
        url = logged(api, "api.listening")["url"]
        asked = urllib.request.Request(f"{url}/etl/run/airports", method="POST")
        urllib.request.urlopen(asked, timeout=PATIENCE).close()
        logged(worker, "job.done")
        total = get(f"{url}/data")["total_count"]
        worker_nice, api_nice = (os.getpriority(os.PRIO_PROCESS, one.pid) for one in (worker, api))
        _, worker_errors = end(worker, signal.SIGTERM)
        _, api_errors = end(api)

    assert total == 3
    assert worker_nice - api_nice == 10
    assert (worker.returncode, api.returncode) == (143, 130), worker_errors + api_errors


def test_credentials_are_in_nothing_that_is_written(kasparro, database_url):
    secrets = {
        name: f"c4nary-{number}-{name.lower()}"
        for number, name in enumerate(("QUERY", "HEADER", "BEARER", "PASSWORD"))
    }
    kasparro.variables |= secrets | {"API_KEYS": "c4nary-key:admin", "LOG_LEVEL": "DEBUG"}
    unreachable = f"postgresql://me:{secrets['PASSWORD']}@127.0.0.1:1/none"
    with gated_api() as api:
        api.allow(api.pages)
        kasparro.catalog(FAILING.replace("URL", api.url))
        commands = [
            ["ingest"],
            ["doctor"],
            ["config", "validate"],
            ["sources", "list"],
            ["sources", "check", "refused"],
            ["runs", "list"],
        ]
        ended = [kasparro.run(*command) for command in commands]
    ended += [kasparro.run(command, "list", DATABASE_URL=unreachable) for command in ("runs", "checkpoints")]
    with psycopg.connect(database_url) as connection:
        stored = connection.execute("SELECT error_message, metadata FROM etl_run").fetchall()

    assert [one.returncode for one in ended] == [1, 0, 0, 0, 1, 0, 1, 1]
    assert len(stored) == 3
    assert "c4nary" not in "".join(one.stdout + one.stderr for one in ended) + str(stored)


FAILING = """
sources:
  query: &failing
    type: api
    url: URL/items
    records: no.such.list
    auth: {type: api_key, in: query, name: api_key, value: "${QUERY}"}
  header:
    <<: *failing
    auth: {type: api_key, name: X-Api-Key, value: "${HEADER}"}
  bearer:
    <<: *failing
    auth: {type: bearer, token: "${BEARER}"}
  refused:
    type: api
    enabled: false
    url: http://127.0.0.1:1/items
    retry: {attempts: 1}
    auth: {type: basic, username: me, password: "${PASSWORD}"}
"""
