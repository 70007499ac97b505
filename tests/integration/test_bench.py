"""`make bench`, small: every step does what it claims, and a step that does not ends the benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest
from bench.floor import Floor
from bench.measuring import Chain, Ran, Step, measure_all
from bench.processes import run
from bench.server import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(postgres_server, tmp_path):
    return Server(postgres_server, tmp_path)


def only(server, url, step, **more):
    (one,) = measure_all(server, [Chain((step,), lambda _: nullcontext(url))], 1, warm_up=False, **more)
    return one[step.name]


def written(statement):
    def write(url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)
        return Ran(0.0, 0.0)

    return write


@pytest.mark.timeout(400)  # a dozen processes, one after the other
def test_every_step_of_a_file_and_of_an_api_is_measured(tmp_path):
    target = tmp_path / "bench.json"
    size = ("--rows", "2000", "--runs", "1", "--cold")
    names = "generated,start,ingest,rerun,full,append,changed,pages-0ms"
    done = subprocess.run(
        [sys.executable, "-m", "bench", *size, "--only", names, "--json", str(target)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    sections = json.loads(target.read_text())["sections"]
    steps = sections["generated"]["steps"]
    assert set(steps) == {"floor", "start", "ingest", "rerun", "full", "append", "changed"}
    assert steps["ingest"]["tuples"] == steps["floor"]["tuples"] == 4000
    assert steps["rerun"]["tuples"] == steps["full"]["tuples"] == 0
    assert (steps["append"]["records"], steps["append"]["tuples"]) == (20, 40)
    assert steps["ingest"]["server_cpu_s"] > 0
    assert sections["rest"]["steps"]["pages-0ms"]["records"] == 2000
    assert "generated: first load / floor" in done.stdout


def test_written_rows_and_wal_are_the_servers_own_count(server, database_url):
    one = only(
        server, database_url, Step("write", 1, written("CREATE TABLE t AS SELECT generate_series(1, 7)"))
    )

    assert one.tuples == 7
    assert one.wal_bytes > 0


def test_a_step_that_was_to_write_nothing_and_did_ends_the_benchmark(server, database_url):
    step = Step("rerun", 1, written("CREATE TABLE t AS SELECT 1"), writes_nothing=True)

    with pytest.raises(SystemExit, match="rerun was to write nothing and wrote 1 rows"):
        only(server, database_url, step)


def test_a_program_that_fails_ends_the_benchmark_with_its_last_words(tmp_path):
    program = [sys.executable, "-c", "import sys; sys.exit('no such table')"]

    with pytest.raises(SystemExit, match=r"ended with 1\nno such table"):
        run(program, tmp_path, {})


def test_the_peak_is_that_of_the_program_and_not_of_whoever_started_it(tmp_path):
    held = bytearray(b"x" * (200 << 20))
    finished = run([sys.executable, "-S", "-c", "print(1)"], tmp_path, {})

    assert finished.output == "1\n"
    assert finished.peak_mib < 100
    assert len(held) > 100 << 20


def test_the_floor_puts_back_the_rows_it_was_made_of(database_url, tmp_path):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO normalized_data (source, source_id, data, version)"
            " SELECT 'things', n::text, jsonb_build_object('n', n), 1 FROM generate_series(1, 50) n"
        )
        floor = Floor.prepared(database_url, tmp_path)
        before = connection.execute("SELECT source_id, data FROM normalized_data ORDER BY id").fetchall()
        connection.execute("TRUNCATE normalized_data CASCADE")

        floor.run(database_url)

        assert (
            connection.execute("SELECT source_id, data FROM normalized_data ORDER BY id").fetchall() == before
        )
