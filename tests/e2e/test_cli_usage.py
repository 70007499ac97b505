import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from cli_process import CSV, PATIENCE, Kasparro


@pytest.fixture
def kasparro(tmp_path):
    made = Kasparro(tmp_path, {"KASPARRO_DATA_DIR": str(tmp_path / "data")})
    made.catalog(CSV.format(name="airports"))
    made.csv("airports", 7, broken=1)
    return made


def test_sources_are_listed_checked_and_previewed_without_a_database(kasparro):
    (listed,) = kasparro.json("sources", "list")
    checked = kasparro.json("sources", "check", "airports")
    previewed = kasparro.json("sources", "preview", "airports", "-n", "2")

    assert (listed["name"], listed["type"], listed["enabled"]) == ("airports", "csv", True)
    assert (
        checked["reachable"],
        checked["records"],
        checked["rejects"],
        checked["keys"],
        checked["identity"],
    ) == (
        True,
        7,
        1,
        ["id", "name"],
        "0",
    )
    assert [one["received"] for one in previewed] == [
        {"id": "0", "name": "airports 0"},
        {"id": "1", "name": "airports 1"},
    ]
    assert [one["becomes"]["title"] for one in previewed] == ["airports 0", "airports 1"]
    assert not (kasparro.folder / "data").exists()


@pytest.mark.parametrize("group", [[], ["entities"], ["sources"]])
def test_a_group_without_a_command_shows_its_help_and_says_what_is_missing(kasparro, group):
    ended = kasparro.run(*group)

    assert ended.returncode == 2
    assert "Commands" in ended.stdout
    assert ended.stderr.startswith("error: which command?\n")


@pytest.mark.parametrize("command", [["list"], ["check", "airports"], ["preview", "airports"]])
def test_people_are_shown_the_same(kasparro, command):
    ended = kasparro.run("sources", *command)

    assert ended.returncode == 0, ended.stderr
    assert "airports" in ended.stdout


def test_a_source_that_cannot_be_reached_is_exit_code_1(kasparro):
    (kasparro.folder / "airports.csv").unlink()

    checked = kasparro.json("sources", "check", "airports", code=1)

    assert checked["reachable"] is False
    assert "airports.csv" in checked["error"]
    assert "error: " in kasparro.run("sources", "check", "airports").stderr


def test_an_empty_source_is_reachable(kasparro):
    (kasparro.folder / "airports.csv").write_text("id,name\n")

    assert kasparro.json("sources", "check", "airports")["records"] == 0


@pytest.mark.parametrize(
    "command", [["ingest", "airprots"], ["sources", "check", "airprots"], ["normalize", "airprots"]]
)
def test_an_unknown_source_is_wrong_usage_and_the_nearest_is_named(kasparro, command):
    ended = kasparro.run(*command)

    assert ended.returncode == 2
    assert "airports" in ended.stderr
    assert not (kasparro.folder / "data").exists()


def test_a_broken_catalog_is_exit_code_2_with_every_problem(kasparro):
    kasparro.catalog("sources:\n  airports:\n    type: csv\n    pth: x\n    delimiter: xx\n")

    validated = kasparro.run("config", "validate")
    ingested = kasparro.run("ingest")
    document = kasparro.json("config", "validate", code=2)

    assert (validated.returncode, ingested.returncode) == (2, 2)
    assert len(re.findall(r"^error: kasparro\.yaml:\d+: ", validated.stderr, re.MULTILINE)) >= 2
    assert document["valid"] is False
    assert len(document["problems"]) >= 2


def test_a_missing_catalog_is_exit_code_2(kasparro):
    ended = kasparro.run("--config", "elsewhere.yaml", "ingest")

    assert ended.returncode == 2
    assert "elsewhere.yaml" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("LOG_LEVEL", "LOUD"), ("HOST", "0.0.0.0"), ("API_KEYS", "sh0rt:admin")],
)
def test_a_wrong_setting_is_exit_code_2_and_names_the_setting(kasparro, name, value):
    ended = kasparro.run("config", "validate", **{name: value})

    assert ended.returncode == 2
    assert name in ended.stderr
    assert "sh0rt" not in ended.stderr


def test_a_good_configuration_is_ok(kasparro):
    assert kasparro.run("config", "validate").stdout.startswith("ok: kasparro.yaml\n")
    assert kasparro.json("config", "validate") == {"valid": True, "sources": ["airports"], "problems": []}


def test_the_schema_of_the_catalog_is_a_json_document(kasparro):
    assert "sources" in json.loads(kasparro.run("config", "schema").stdout)["properties"]


def test_the_doctor_finds_nothing_wrong_and_makes_nothing(kasparro):
    findings = kasparro.json("doctor")

    assert {finding["verdict"] for finding in findings} <= {"ok", "warn"}
    assert {"python", "settings", "catalog", "secrets", "data directory", "disk", "port", "database"} <= {
        finding["check"] for finding in findings
    }
    assert not (kasparro.folder / "data").exists()


def test_the_doctor_looks_at_the_server(kasparro, database_url):
    kasparro.variables["DATABASE_URL"] = database_url

    verdicts = {finding["check"]: finding["verdict"] for finding in kasparro.json("doctor")}

    assert (verdicts["database"], verdicts["schema"]) == ("ok", "ok")
    assert "durability" in verdicts


@pytest.mark.parametrize(
    ("variables", "check"),
    [
        ({"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}, "database"),
        ({"KASPARRO_CONFIG": "elsewhere.yaml"}, "catalog"),
        ({"LOG_LEVEL": "LOUD"}, "settings"),
    ],
)
def test_the_doctor_says_what_is_wrong(kasparro, variables, check):
    kasparro.variables |= variables

    findings = kasparro.json("doctor", code=1)

    assert check in {finding["check"] for finding in findings if finding["verdict"] == "fail"}


def test_a_server_behind_or_one_that_was_never_migrated_fails_the_check(kasparro, empty_database_url):
    kasparro.variables["DATABASE_URL"] = empty_database_url

    (schema,) = (one for one in kasparro.json("doctor", code=1) if one["check"] == "schema")

    assert (schema["verdict"], schema["hint"]) == ("fail", "Run: kasparro db upgrade")


def test_the_address_of_the_database_is_shown_without_its_password(kasparro):
    kasparro.variables["DATABASE_URL"] = "postgresql+asyncpg://me:n0t-t0-be-seen@db.example/data"

    assert kasparro.run("db", "url").stdout == "postgresql://me:***@db.example/data\n"
    assert (
        kasparro.run("db", "url", "--show-password").stdout
        == "postgresql://me:n0t-t0-be-seen@db.example/data\n"
    )


def test_psql_is_opened_on_the_database_and_its_exit_code_is_ours(kasparro, database_url):
    kasparro.variables["DATABASE_URL"] = database_url

    answered = kasparro.process("db", "psql", "--", "-Atc", "SELECT 6 * 7")
    failed = kasparro.process("db", "psql", "--", "-c", "SELECT nonsense")

    assert (answered.returncode, answered.stdout) == (0, "42\n"), answered.stderr
    assert failed.returncode == 1


def test_the_playground_prints_what_the_catalog_needs_and_ends_on_a_signal(kasparro):
    with kasparro.start("playground", "--port", "0", PLAYGROUND_TOKEN="my-own-token") as process:
        exports = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)

    assert re.fullmatch(r"export PLAYGROUND_URL=http://127\.0\.0\.1:\d+\n", exports[0])
    assert re.fullmatch(r"export PLAYGROUND_API_KEY=\S{20,}\n", exports[1])
    assert exports[2] == "export PLAYGROUND_TOKEN=my-own-token\n"
    assert process.returncode == 143, err


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_in_use_is_told_before_anything_is_started(kasparro, command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = kasparro.run(command, "--port", str(taken.getsockname()[1]))

    assert ended.returncode == 2
    assert "is in use" in ended.stderr
    assert "hint: " in ended.stderr
    assert not (kasparro.folder / "data").exists()


def test_a_reader_who_leaves_early_gets_no_complaint(kasparro):
    with kasparro.start("config", "schema") as process:
        process.stdout.close()
        err = process.stderr.read()
        process.wait(PATIENCE)

    assert err == ""


def test_help_and_version_import_nothing_heavy(kasparro):
    code = (
        "import sys; from kasparro.cli.main import main; main([sys.argv[1]]); "
        "print(sorted({'sqlalchemy', 'psycopg', 'fastapi', 'pydantic', 'aiohttp', 'structlog'} & set(sys.modules)))"
    )
    for option in ("--help", "--version"):
        ended = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=True
        )
        assert ended.stdout.endswith("[]\n")
