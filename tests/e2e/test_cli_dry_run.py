"""`ingest --dry-run`: what it says comes true, and it leaves no trace."""

import json

import psycopg
import pytest

from cli_process import CSV, Kasparro, gated_api


@pytest.fixture
def kasparro(tmp_path, database_url):
    made = Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5"})
    made.catalog(CSV.format(name="airports"))
    return made


@pytest.fixture
def everything(database_url):
    """All rows of all tables with the transactions that wrote them, and where all sequences stand."""

    def read():
        with psycopg.connect(database_url) as connection:
            tables = connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            rows = {
                table: connection.execute(f"SELECT xmin::text, ctid::text, t::text FROM {table} t").fetchall()
                for (table,) in tables
            }
            return rows, connection.execute("SELECT * FROM pg_sequences ORDER BY 1, 2").fetchall()

    return read


def write(kasparro, *lines):
    (kasparro.folder / "airports.csv").write_text("\n".join(["id,name", *lines, ""]))


def told(document):
    names = ("would_insert", "would_update", "unchanged", "would_reject", "duplicates")
    return tuple(document[name] for name in names)


def done(document):
    names = ("inserted", "updated", "unchanged", "failed", "duplicates")
    return tuple(document[f"records_{name}"] for name in names)


def test_a_dry_run_tells_what_the_run_then_does_and_writes_nothing(kasparro, everything):
    write(kasparro, *(f"{n},airport {n}" for n in range(12)))
    kasparro.run("ingest")
    changed = [f"{n},airport {n}{'!' * (n in {3, 7})}" for n in range(14)]
    write(kasparro, *changed, "1,twice", "13,twice", "14,a,b", ",nobody")
    before = everything()

    (dry,) = kasparro.json("ingest", "--dry-run")
    after = everything()
    (wet,) = kasparro.json("ingest")

    assert before == after
    assert told(dry) == done(wet)
    assert told(dry) == (2, 3, 10, 2, 1)
    assert {one["reason"]: one["records"] for one in dry["rejects"]} == {"ragged_row": 1, "no_identity": 1}
    assert dry["rejects"][0]["place"].startswith("airports.csv:")


def test_a_dry_run_of_a_source_never_ingested_inserts_all_and_leaves_no_trace(kasparro, everything):
    write(kasparro, "1,a", "2,b", "1,c")
    before = everything()

    (dry,) = kasparro.json("ingest", "--dry-run", "airports")

    assert everything() == before
    assert told(dry) == (2, 0, 0, 0, 1)
    assert (dry["resumed"], dry["status"], dry["limited"]) == (False, "success", False)


def test_it_begins_at_the_checkpoint_unless_it_is_to_be_full(kasparro):
    write(kasparro, *(f"{n},airport {n}" for n in range(6)))
    kasparro.run("ingest")

    (resumed,) = kasparro.json("ingest", "--dry-run")
    (full,) = kasparro.json("ingest", "--dry-run", "--full")

    assert (resumed["resumed"], full["resumed"]) == (True, False)
    assert resumed["schema"] == full["schema"] == {"compared": True, "changes": []}
    assert told(full) == (0, 0, 6, 0, 0)


def test_a_limit_ends_the_fetching(kasparro):
    with gated_api() as api:
        api.allow(3)
        kasparro.catalog(api.source + "    rate_limit: {concurrency: 1}\n")

        (dry,) = kasparro.json("ingest", "--dry-run", "--limit", "7")

    assert (dry["would_insert"], dry["limited"]) == (7, True)
    assert max(api.asked) <= 4


def test_changes_of_shape_are_told_and_come_true(kasparro):
    (kasparro.folder / "airports.csv").write_text("id,name,iata\n1,a,x\n2,b,y\n")
    (first,) = kasparro.json("ingest", "--dry-run")
    kasparro.run("ingest")
    (kasparro.folder / "airports.csv").write_text("id,name,iata_code,lat\n1,a,x,1\n3,c,z,2\n")

    (dry,) = kasparro.json("ingest", "--dry-run")
    shown = kasparro.run("ingest", "--dry-run").stdout
    done = kasparro.run("ingest").stdout

    assert first["schema"] == {"compared": False, "changes": []}
    assert [
        (one["field"], one["kind"]) for one in sorted(dry["schema"]["changes"], key=lambda one: one["kind"])
    ] == [
        ("lat", "added"),
        ("iata", "renamed"),
    ]
    assert "airports: the shape of the records has changed: iata seems to be called iata_code now" in shown
    assert "airports: the shape of the records has changed: iata seems to be called iata_code now" in done
    assert [(one["field_path"], one["decision"]) for one in kasparro.json("drift", "list")][::-1] == [
        (one["field"], "evolved") for one in dry["schema"]["changes"]
    ]


def test_a_source_that_fails_is_exit_code_1_and_leaves_no_trace(kasparro, everything):
    before = everything()

    (dry,) = kasparro.json("ingest", "--dry-run", code=1)

    assert (dry["status"], dry["error_code"]) == ("failed", "source_refused")
    assert everything() == before


def test_without_a_database_everything_would_be_new_and_none_is_made(tmp_path):
    kasparro = Kasparro(tmp_path, {"KASPARRO_DATA_DIR": str(tmp_path / "data")})
    kasparro.catalog(CSV.format(name="airports"))
    kasparro.csv("airports", 3)

    ended = kasparro.process("ingest", "--dry-run", "--json")

    assert ended.returncode == 0, ended.stderr
    assert told(json.loads(ended.stdout)[0]) == (3, 0, 0, 0, 0)
    assert not (tmp_path / "data").exists()


def test_a_server_behind_is_left_as_it_is(kasparro, empty_database_url):
    kasparro.csv("airports", 3)

    ended = kasparro.run("ingest", "--dry-run", DATABASE_URL=empty_database_url)

    assert ended.returncode == 1
    assert "kasparro db upgrade" in ended.stderr


def test_a_limit_without_a_dry_run_is_wrong_usage(kasparro):
    assert kasparro.run("ingest", "--limit", "5").returncode == 2
