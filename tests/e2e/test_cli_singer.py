"""A tap from its command to the dataset: its state in the checkpoint, its records once, its secrets nowhere."""

import json
import signal
import time
from pathlib import Path

import psycopg
import pytest

from cli_process import PATIENCE, Kasparro
from tap_source import record, schema, state, tap_catalog

USERS = [{"id": n, "name": f"user {n}"} for n in range(1, 11)]


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(
        tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5", "ETL_CHECKPOINT_INTERVAL": "0.1"}
    )


@pytest.fixture
def rows(database_url):
    def read(statement):
        with psycopg.connect(database_url) as connection:
            return connection.execute(statement).fetchall()

    return read


def is_gone(pid):
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(look):
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def test_streams_are_kept_apart_and_records_are_stored_as_they_were_written(kasparro, rows):
    script = [
        schema("users"),
        schema("orders", "shop", "no"),
        '{"type": "RECORD", "stream": "users", "record": {"id": 1,  "price": 1.10}}',
        record("orders", shop="a|b", no=1, name="first"),
        record("orders", id=1, name="nobody"),
        state({"x": 1}),
    ]
    kasparro.catalog(tap_catalog(config={"script": script}, catalog="none"))

    (report,) = kasparro.json("ingest")

    assert (report["status"], report["records_inserted"], report["rejects"]) == (
        "partial",
        2,
        {"no_identity": 1},
    )
    assert rows("SELECT external_id, raw_data::text, stream, position FROM raw_data_stream ORDER BY id") == [
        ("users|1", '{"id": 1,  "price": 1.10}', "users", 3),
        ("orders|a\\|b|1", '{"shop": "a|b", "no": 1, "name": "first"}', "orders", 4),
    ]
    assert rows("SELECT source_id, data->>'title' FROM normalized_data ORDER BY id") == [
        ("users|1", None),
        ("orders|a\\|b|1", "first"),
    ]


def test_the_next_run_goes_on_from_the_state_of_the_tap(kasparro, rows):
    kasparro.catalog(tap_catalog(config={"streams": {"users": USERS}}))

    (first,) = kasparro.json("ingest")
    (second,) = kasparro.json("ingest")
    (full,) = kasparro.json("ingest", "--full")

    assert (first["records_inserted"], second["records_processed"], full["records_unchanged"]) == (10, 0, 10)
    [(cursor, status)] = rows("SELECT cursor->'after'->>'state', status FROM etl_checkpoint")
    assert (json.loads(cursor), status) == ({"bookmarks": {"users": 10}}, "complete")


def test_a_reject_is_no_reason_to_ask_the_tap_for_everything_again(kasparro):
    kasparro.catalog(tap_catalog(config={"streams": {"users": [*USERS, {"name": "nobody"}]}}))

    (first,) = kasparro.json("ingest")
    (second,) = kasparro.json("ingest")

    assert (first["records_inserted"], first["records_failed"]) == (10, 1)
    assert second["records_processed"] == 0


def test_a_killed_run_goes_on_after_the_last_state_with_nothing_lost_or_doubled(kasparro, rows):
    config = {"streams": {"users": USERS}, "state_every": 3, "children": "pids"}
    kasparro.catalog(tap_catalog(config=config, env=["TAP_HANG_AFTER"]))

    with kasparro.start("ingest", TAP_HANG_AFTER="8") as process:
        until(lambda: rows("SELECT count(*) FROM normalized_data") == [(8,)])
        process.send_signal(signal.SIGKILL)
    [(reached,)] = rows("SELECT cursor->'after'->>'state' FROM etl_checkpoint")
    left = (kasparro.folder / "pids").read_text().split()
    with psycopg.connect(kasparro.variables["DATABASE_URL"]) as connection:
        connection.execute("UPDATE source_lease SET expires_at = now() - interval '1 second'")
    (resumed,) = kasparro.json("ingest")

    assert json.loads(reached) == {"bookmarks": {"users": 6}}
    until(lambda: all(map(is_gone, left)))
    assert (resumed["records_unchanged"], resumed["records_inserted"]) == (2, 2)
    assert rows("SELECT source_id FROM normalized_data ORDER BY id") == [
        (f"users|{n}",) for n in range(1, 11)
    ]


def test_a_signal_ends_the_tap_and_leaves_a_checkpoint(kasparro, rows):
    config = {"streams": {"users": USERS}, "state_every": 3, "children": "pids"}
    kasparro.catalog(tap_catalog(config=config, env=["TAP_HANG_AFTER"]))

    with kasparro.start("ingest", TAP_HANG_AFTER="8") as process:
        until(lambda: rows("SELECT count(*) FROM normalized_data") == [(8,)])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    (resumed,) = kasparro.json("ingest")

    assert process.returncode == 143
    until(lambda: all(map(is_gone, (kasparro.folder / "pids").read_text().split())))
    assert (resumed["records_unchanged"], resumed["records_inserted"]) == (2, 2)


def test_a_tap_that_fails_keeps_what_it_has_sent(kasparro, rows):
    config = {"streams": {"users": USERS}, "then": "exit 7", "say": ["quota is used up"]}
    kasparro.catalog(tap_catalog(config=config))

    (report,) = kasparro.json("ingest", code=1)

    assert (report["status"], report["error_code"], report["records_inserted"]) == (
        "failed",
        "tap_failed",
        10,
    )
    assert "ended with exit code 7; it said: quota is used up" in report["error"]
    assert rows("SELECT count(*) FROM normalized_data") == [(10,)]


def test_its_secrets_are_nowhere(kasparro, rows):
    config = {"streams": {"users": USERS}, "then": "exit 1", "say": ["cannot log in as me:s3cr3t-passw0rd"]}
    kasparro.catalog(tap_catalog(config={**config, "auth": {"code": "${TAP_CODE}"}}))

    ended = kasparro.process("ingest", "--json", TAP_CODE="s3cr3t-passw0rd", LOG_LEVEL="DEBUG")

    stored = str(
        [rows(f"SELECT t::text FROM {table} t") for table in ("etl_run", "etl_checkpoint", "quarantine")]
    )
    assert "it said: cannot log in as me:***" in json.loads(ended.stdout)[0]["error"]
    assert "tap.said" in ended.stderr
    assert "s3cr3t" not in ended.stdout + ended.stderr + stored


def test_stored_records_are_normalised_again_without_the_tap(kasparro, rows):
    kasparro.catalog(tap_catalog(config={"streams": {"users": USERS}}))
    kasparro.run("ingest")
    kasparro.catalog("sources:\n  tapped: {type: singer, command: not-there, map: {title: id}}\n")

    (replayed,) = kasparro.json("normalize", "tapped")

    assert (replayed["status"], replayed["records_updated"]) == ("success", 10)
    assert rows("SELECT data->>'title' FROM normalized_data ORDER BY id LIMIT 1") == [("1",)]


def test_a_dry_run_compares_shapes_by_stream(kasparro):
    config = {"streams": {"users": [{"id": 1, "age": 5}], "orders": [{"id": 1, "age": "old"}]}}
    kasparro.catalog(tap_catalog(config=config))
    kasparro.run("ingest")
    config["streams"]["users"][0]["age"] = "five"
    kasparro.catalog(tap_catalog(config=config))

    (dry,) = kasparro.json("ingest", "--dry-run")

    (change,) = dry["schema"]["changes"]
    assert (change["field"], change["kind"]) == ("users:age", "type_changed")
    assert (change["before"], change["after"]) == ({"types": ["number"]}, {"types": ["text"]})


def test_no_folder_of_a_tap_is_left_behind(kasparro, tmp_path):
    (tmp_path / "temporary").mkdir()
    kasparro.catalog(tap_catalog(config={"streams": {"users": USERS}}))

    ended = kasparro.process("ingest", TMPDIR=str(tmp_path / "temporary"))

    assert ended.returncode == 0, ended.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
