import json
import signal
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cli_process import CSV, PATIENCE, Kasparro, gated_api


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5"})


@pytest.fixture
def api():
    with gated_api() as api:
        yield api


def test_a_source_is_ingested_shown_and_ingested_again_without_a_change(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 12)

    (first,) = kasparro.json("ingest")
    (second,) = kasparro.json("ingest", "airports", "--full")
    listed = kasparro.json("runs", "list")
    shown = kasparro.json("runs", "show", first["run_id"])
    (checkpoint,) = kasparro.json("checkpoints", "list")

    assert (first["status"], first["records_inserted"], first["rejects"]) == ("success", 12, {})
    assert (second["records_inserted"], second["records_unchanged"]) == (0, 12)
    assert [run["run_id"] for run in listed] == [second["run_id"], first["run_id"]]
    assert shown == listed[1]
    assert (checkpoint["source"], checkpoint["record_count"]) == ("airports", 12)


def test_a_run_is_shown_with_its_notices(kasparro, database_url):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 1)
    (run,) = kasparro.json("ingest")
    notice = {"code": "late_records", "message": "3 came late", "details": {"records": 3}, "count": 2}
    with psycopg.connect(database_url) as connection:
        added = json.dumps({"notices": [notice]})
        connection.execute("UPDATE etl_run SET metadata = metadata || %s::jsonb", (added,))

    shown = kasparro.run("runs", "show", run["run_id"]).stdout.splitlines()

    assert [line.split(maxsplit=1) for line in shown if line.startswith("notice")] == [
        ["notice", "late_records (2 times): 3 came late"]
    ]
    assert kasparro.json("runs", "show", run["run_id"])["metadata"]["notices"] == [notice]


def test_a_run_that_rejects_records_is_well_and_says_so(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 9, broken=2)

    ended = kasparro.run("ingest")

    assert ended.returncode == 0, ended.stderr
    assert "partial" in ended.stdout
    assert "2 records were rejected" in ended.stdout
    assert "ragged_row 2" in ended.stdout
    assert all(json.loads(line)["event"] for line in ended.stderr.splitlines())


def test_a_source_that_fails_is_exit_code_1_and_the_others_are_ingested(kasparro):
    kasparro.catalog(CSV.format(name="airports") + "  missing:\n    type: csv\n    path: nowhere.csv\n")
    kasparro.csv("airports", 3)

    airports, missing = kasparro.json("ingest", code=1)

    assert airports["status"] == "success"
    assert missing["status"] == "failed"
    assert "nowhere.csv" in missing["error"]


def test_what_was_rejected_comes_in_by_normalize_after_the_mapping_is_mended(kasparro):
    kasparro.catalog(CSV.format(name="airports") + "    map: {published_at: {path: name}}\n")
    kasparro.csv("airports", 3)

    (before,) = kasparro.json("ingest", code=1)
    kasparro.catalog(CSV.format(name="airports"))
    (after,) = kasparro.json("normalize", "airports")

    assert (before["status"], before["rejects"]) == ("failed", {"invalid_time": 3})
    assert (after["status"], after["records_failed"]) == ("success", 0)


def test_a_checkpoint_is_reset_and_the_next_run_begins_at_the_beginning(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)
    kasparro.run("ingest")

    assert kasparro.run("checkpoints", "reset", "airports").returncode == 0
    assert kasparro.json("checkpoints", "list")[0]["cursor"] is None
    assert kasparro.json("ingest")[0]["records_unchanged"] == 3
    assert kasparro.run("checkpoints", "reset", "airport").returncode == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_that_the_next_run_resumes_from(kasparro, api, number, code):
    kasparro.catalog(api.source)
    api.allow(3)

    with kasparro.start("ingest", "--json") as process:
        api.wait_until_asked_for(4)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    api.asked.clear()
    api.allow(api.pages + 1)
    (resumed,) = kasparro.json("ingest")
    (interrupted,) = json.loads(out)

    assert process.returncode == code, err
    assert (interrupted["status"], interrupted["error_code"]) == ("failed", "interrupted")
    assert interrupted["records_inserted"] >= 10
    assert interrupted["records_inserted"] + resumed["records_inserted"] == api.pages * 5
    assert resumed["status"] == "success"
    assert min(api.asked) > 1


def test_a_second_signal_gives_the_batch_up_and_nothing_is_lost(kasparro, api):
    kasparro.catalog(api.source)
    api.allow(2)

    with kasparro.start("ingest") as process:
        api.wait_until_asked_for(3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    api.allow(api.pages + 1)
    kasparro.run("ingest", "--full")

    assert process.returncode in {130, 143}
    assert kasparro.json("checkpoints", "list")[0]["record_count"] == api.pages * 5


def test_who_comes_second_is_told_who_is_ingesting(kasparro, api):
    kasparro.catalog(api.source)
    api.allow(1)

    with kasparro.start("ingest") as first:
        api.wait_until_asked_for(2)
        (second,) = kasparro.json("ingest", code=1)
        api.allow(api.pages + 1)
        first.communicate(timeout=PATIENCE)

    assert (second["error_code"], second["run_id"]) == ("source_running", None)
    assert "is being ingested by" in second["error"]
    assert first.returncode == 0


def test_an_expired_lease_of_a_dead_process_does_not_stand_in_the_way(kasparro, database_url):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)
    kasparro.run("ingest")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE source_lease SET holder = 'gone', run_id = 'run_airports_gone', expires_at = %s",
            [datetime.now(UTC) - timedelta(seconds=1)],
        )

    assert kasparro.run("ingest").returncode == 0


def test_no_database_is_an_error_without_a_traceback_and_without_the_password(kasparro):
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    ended = kasparro.run("ingest", DATABASE_URL="postgresql://me:n0t-t0-be-seen@127.0.0.1:1/none")

    assert ended.returncode == 1
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "n0t-t0-be-seen" not in ended.stdout + ended.stderr


def test_a_server_that_was_never_migrated_is_left_alone_by_commands_that_look(kasparro, empty_database_url):
    kasparro.variables["DATABASE_URL"] = empty_database_url

    before = kasparro.run("runs", "list")
    upgraded = kasparro.run("db", "upgrade")
    after = kasparro.json("runs", "list")

    assert before.returncode == 1
    assert "hint: Run: kasparro db upgrade" in before.stderr
    assert upgraded.returncode == 0
    assert after == []


def test_without_a_database_url_the_embedded_server_is_started_and_keeps_the_data(tmp_path):
    kasparro = Kasparro(tmp_path, {"KASPARRO_DATA_DIR": str(tmp_path / "data")})
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    (first,) = kasparro.json("ingest")
    (second,) = kasparro.json("ingest", "--full")
    verdicts = {finding["check"]: finding["verdict"] for finding in kasparro.json("doctor")}

    assert (first["records_inserted"], second["records_unchanged"]) == (3, 3)
    assert (verdicts["database"], verdicts["schema"], verdicts["durability"]) == ("ok", "ok", "ok")
