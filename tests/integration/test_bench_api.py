"""`make bench-api`, small: everybody is asked, and a wrong answer ends the benchmark."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import psycopg
import pytest
from bench_api import rows
from bench_api.asking import Asked
from bench_api.contestants import http
from bench_api.load import Asking, Tally
from bench_api.results import Result
from bench_api.targets import TARGETS, Found

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)  # a dozen processes, one after the other
def test_everybody_is_asked_and_everything_measured(tmp_path, monkeypatch):
    target = tmp_path / "bench-api.json"
    size = ("--rows", "1000", "--runs", "1", "--seconds", "0.2", "--more", "60000")
    done = subprocess.run(
        [sys.executable, "-m", "bench_api", *size, "--json", str(target)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(target.read_text())
    named = {"query", "cached", "bare", "orm"}
    assert set(found["race"]) == {f"{name}-{limit}" for name in named for limit in (10, 100)} | {
        "not-modified"
    }
    for name, rounds in found["race"].items():
        assert rounds[0]["per_second"] > 0, name
        assert (rounds[0]["bytes"] > 0) == (name != "not-modified"), name
    assert found["probes"]["connections that 500 idle streams hold"] == 0
    hits = [value for name, value in found["probes"].items() if name.startswith("records with the word ")]
    assert len(hits) > 2
    assert min(hits) >= 1
    assert 100 < max(hits) < 1000
    measured = [target.measured(Found({}, found["probes"])) for target in TARGETS]
    assert sum(value is not None for value in measured) == 7
    assert "cached-10 / bare-10" in done.stdout


def asked(per_second: float) -> Asked:
    return Asked(per_second, 1.0, 1.0, 1.0, 1.0, 1)


def test_ratios_are_taken_round_by_round():
    slow_hour = Result((asked(10), asked(20), asked(400)))
    other = Result((asked(5), asked(5), asked(100)))

    assert slow_hour.ratio_to(other) == 4
    assert slow_hour.per_second == 20


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


ANSWERS = {
    "a length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
    "chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "no body": b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
}


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [1, 2, 1000], ids=lambda n: f"in {n}")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_one_however_it_arrives(answer, pieces):
    tally, transport = Tally(until=float("inf")), Transport()
    asking = Asking(cycle([b"one", b"other"]), tally)
    asking.connection_made(transport)
    size = -(-len(answer) // min(pieces, len(answer)))
    for _ in range(2):
        for start in range(0, len(answer), size):
            asking.data_received(answer[start : start + size])

    assert len(tally.seconds) == 2
    assert sum(tally.statuses.values()) == 2
    assert transport.written == [b"one", b"other", b"one"]


def test_requests_are_whole():
    assert http(1, "/x", {"A": "b"}) == "GET /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nA: b\r\n\r\n"
    posted = http(1, "/x", None, "POST", "{}")
    assert posted.endswith("\r\nContent-Length: 2\r\n\r\n{}")


def test_the_rows_of_another_server_are_ours(database_url, tmp_path):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO normalized_data (source, source_id, data, version)"
            """ VALUES ('records', '7', '{"title": "one", "metadata": {"n": 0.10}}', 1)"""
        )
    rows.to_sqlite(database_url, tmp_path / "bench.db")

    with sqlite3.connect(tmp_path / "bench.db") as found:
        assert found.execute("SELECT source, source_id, title, metadata FROM records").fetchall() == [
            ("records", "7", "one", '{"n": 0.10}')
        ]
