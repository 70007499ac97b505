"""`snapshot: true` and `--allow-deletions`, as somebody at the command line meets them."""

import psycopg
import pytest

from cli_process import CSV, Kasparro

SNAPSHOT = CSV.format(name="airports") + "    snapshot: true\n"


@pytest.fixture
def kasparro(tmp_path, database_url):
    kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5"})
    kasparro.catalog(SNAPSHOT)
    return kasparro


@pytest.fixture
def stored(database_url):
    """The keys in the dataset, which are as many as the checkpoint says."""

    def read():
        with psycopg.connect(database_url) as connection:
            keys = [int(key) for (key,) in connection.execute("SELECT source_id FROM normalized_data")]
            (count,) = connection.execute("SELECT record_count FROM etl_checkpoint").fetchone()
        assert count == len(keys)
        return sorted(keys)

    return read


def test_what_left_the_file_leaves_the_dataset(kasparro, stored):
    kasparro.csv("airports", 12)
    kasparro.json("ingest")
    kasparro.csv("airports", 9)

    (report,) = kasparro.json("ingest")

    assert (report["status"], report["records_unchanged"]) == ("success", 9)
    assert stored() == list(range(9))


def test_more_than_half_goes_only_when_that_is_allowed(kasparro, stored):
    kasparro.csv("airports", 30)
    kasparro.json("ingest")
    kasparro.csv("airports", 3)

    (withheld,) = kasparro.json("ingest")
    shown = kasparro.run("runs", "show", withheld["run_id"]).stdout

    assert withheld["status"] == "partial"
    assert stored() == list(range(30))
    assert "27 of 30 records are no longer in the source" in shown
    assert "kasparro ingest airports --full --allow-deletions" in shown

    (allowed,) = kasparro.json("ingest", "airports", "--full", "--allow-deletions")
    assert allowed["status"] == "success"
    assert stored() == [0, 1, 2]


def test_what_a_file_that_lacks_a_key_does_not_show_stays(kasparro, stored, tmp_path):
    kasparro.csv("airports", 12)
    kasparro.json("ingest")
    (tmp_path / "airports.csv").write_text("id,name\n1,one\n,none\n")

    (report,) = kasparro.json("ingest", "--allow-deletions")

    assert report["status"] == "partial"
    assert stored() == list(range(12))


def test_looking_deletes_nothing_and_neither_does_a_replay_bring_back(kasparro, stored):
    kasparro.csv("airports", 12)
    kasparro.json("ingest")
    kasparro.csv("airports", 9)
    kasparro.run("ingest", "--dry-run")
    kasparro.run("ingest", "--dry-run", "--limit", "2")
    assert stored() == list(range(12))

    kasparro.json("ingest")
    kasparro.run("normalize", "airports")
    assert stored() == list(range(9))
