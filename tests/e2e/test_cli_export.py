"""`kasparro export`: a whole file or none, on stdout nothing but the export."""

import json

import psycopg
import pyarrow.parquet as pq
import pytest

from cli_process import Kasparro


@pytest.fixture
def kasparro(tmp_path, database_url):
    opened = Kasparro(tmp_path, {"DATABASE_URL": database_url})
    opened.catalog("sources: {things: {type: csv, path: things.csv, key: id}}\n")
    return opened


@pytest.fixture
def loaded(kasparro, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("""
            INSERT INTO normalized_data (source, source_id, data, version)
            SELECT CASE WHEN g > 300 THEN 'other' ELSE 'things' END, g,
                jsonb_build_object('title', 'thing ' || g, 'metadata', jsonb_build_object('n', g)), 1
            FROM generate_series(1, 310) AS g
        """)
    return kasparro


def test_stdout_is_the_export(loaded):
    result = loaded.process("export", "--source", "things", "--filter", "metadata.n[gt]=290", "--sort", "-id")
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["title"] for line in result.stdout.splitlines()] == [
        f"thing {n}" for n in range(300, 290, -1)
    ]


def test_a_file_is_whole_and_the_report_says_how_large(loaded, tmp_path):
    file = tmp_path / "things.parquet"
    result = loaded.run("export", "--format", "parquet", "-o", str(file), "--fields", "id,title", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report == {
        "output": str(file),
        "format": "parquet",
        "records": 310,
        "bytes": file.stat().st_size,
    }
    assert pq.read_table(file).column_names == ["id", "title"]
    assert not list(tmp_path.glob("*.part"))


def test_an_export_that_fails_leaves_the_old_file_and_no_other(loaded, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text("old")
    result = loaded.run("export", "-o", str(file), "--format", "csv", EXPORT_TIMEOUT_SECONDS="0.001")
    assert result.returncode == 1
    assert file.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--filter", "nonsense"],
        ["--filter", "titel=x"],
        ["--sort", "titel"],
        ["--json"],
        ["-o", "no/such/folder/file"],
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(loaded, tmp_path, arguments):
    before = set(tmp_path.iterdir())
    result = loaded.run("export", *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "error: " in result.stderr
    assert set(tmp_path.iterdir()) == before
