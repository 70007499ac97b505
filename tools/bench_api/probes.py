"""What is not a race: deep pages, counts, searches, an export, idle streams, reads beside a load. Figures by name out."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg
from bench.processes import inherited

from bench_api.asking import Asked, ask
from bench_api.contestants import AUTH, LIMITS, Question, answer, http
from bench_api.servers import Running
from bench_api.statement import by_pgbench

Figures = dict[str, float]

DEEP: Final = 400_000
STREAMS: Final = 500
WORDS: Final = 10
FREQUENT: Final = "alpha"
"""One of three categories: in a third of all records."""
ONE_AT_A_TIME: Final = 1
FEW: Final = 4
CONNECTIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kasparro-%'"


def probes(folder: Path, url: str, server: Running, rows: int, seconds: float) -> Iterator[tuple[str, float]]:
    """Of a *server* that keeps no answers."""
    for limit in LIMITS:
        if (rate := by_pgbench(folder, url, limit, seconds)) is not None:
            yield f"the statement of query-{limit} by pgbench, a second", rate
    yield from _pages(server, rows, seconds).items()
    yield from _search(folder, server, seconds).items()
    yield from _export(server).items()
    yield from _streams(url, server).items()
    yield from _while_loading(folder, url, server, seconds).items()


def _asked(name: str, server: Running, path: str) -> Question:
    return Question(name, server, http(server.port, path, AUTH))


def _pages(server: Running, rows: int, seconds: float) -> Figures:
    deep = min(DEEP, rows // 2)
    first = "/data?source=records&limit=10&count=none"
    before = json.loads(answer(server.port, f"/data?source=records&limit=1&offset={deep}", AUTH))
    far = f"{first}&cursor={before['next_cursor']}"
    one = ask(_asked("first page", server, first), seconds, ONE_AT_A_TIME)
    other = ask(_asked("deep page", server, far), seconds, ONE_AT_A_TIME)
    count = ask(_asked("count", server, "/data?source=records&limit=1"), seconds, ONE_AT_A_TIME)
    return {
        "page 1, p50 ms": one.p50_ms,
        f"page at row {deep:,} by cursor, p50 ms": other.p50_ms,
        "deep page / page 1": other.p50_ms / one.p50_ms,
        "one record with the exact count of its source, p50 ms": count.p50_ms,
    }


def _search(folder: Path, server: Running, seconds: float) -> Figures:
    """Of words that are asked in turn, each for the first time as well; then how many records have them."""
    words = _words(folder)
    some = _searched(server, words, seconds)
    many = _searched(server, [FREQUENT], seconds)
    return {
        "ranked search, p50 ms": some.p50_ms,
        "ranked search, p95 ms": some.p95_ms,
        **{f"records with the word {word}": _hits(server, word) for word in words},
        f"ranked search for the word {FREQUENT}, p50 ms": many.p50_ms,
        f"ranked search for the word {FREQUENT}, p95 ms": many.p95_ms,
        f"records with the word {FREQUENT}": _hits(server, FREQUENT),
    }


def _words(folder: Path) -> list[str]:
    """The first words of the names in the first rows."""
    with (folder / "records.csv").open(newline="") as file:
        names = [row["name"] for row in islice(csv.DictReader(file), WORDS)]
    return list(dict.fromkeys(name.split()[0] for name in names))


def _searched(server: Running, words: Sequence[str], seconds: float) -> Asked:
    first, *others = [http(server.port, _search_of(word), AUTH) for word in words]
    return ask(Question("search", server, first, others=tuple(others)), seconds, ONE_AT_A_TIME)


def _hits(server: Running, word: str) -> float:
    return float(json.loads(answer(server.port, _search_of(word), AUTH))["total_count"])


def _search_of(word: str) -> str:
    return f"/data?source=records&q={word}&limit=10"


def _export(server: Running) -> Figures:
    before, start = server.peak_mib(), time.perf_counter()
    first, size = 0.0, 0
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        headers = AUTH | {"Connection": "close"}
        connection.sendall(http(server.port, "/data/export?format=ndjson", headers).encode())
        while data := connection.recv(1 << 20):
            first = first or time.perf_counter() - start
            size += len(data)
    return {
        "export, first byte ms": first * 1000,
        "export, seconds": time.perf_counter() - start,
        "export, MB": size / 1e6,
        "export, growth of the peak MiB": server.peak_mib() - before,
    }


def _streams(url: str, server: Running) -> Figures:
    _open_and_close(server)  # what the first of them make open stays so, at rest
    before = _connections(url)
    opened = [_stream(server) for _ in range(STREAMS)]
    during = _connections(url)
    for one in opened:
        one.close()
    return {f"connections that {STREAMS} idle streams hold": float(during - before)}


def _open_and_close(server: Running) -> None:
    for one in [_stream(server) for _ in range(STREAMS)]:
        one.close()


def _stream(server: Running) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(
        http(server.port, "/data/stream?since=now", AUTH | {"Accept": "text/event-stream"}).encode()
    )
    head = connection.recv(65536)
    if b" 200 " not in head.partition(b"\r\n")[0]:
        sys.exit(f"bench: a stream was answered with {head[:200]!r}")
    return connection


def _connections(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(CONNECTIONS).fetchone()
    return int(row[0]) if row else 0


def _while_loading(folder: Path, url: str, server: Running, seconds: float) -> Figures:
    question = _asked("beside a load", server, "/data?source=records&limit=10")
    idle = ask(question, seconds, FEW)
    with _loading(folder, url):
        loaded = ask(question, seconds, FEW)
    return {
        "p99 idle, ms": idle.p99_ms,
        "p99 while a load goes on, ms": loaded.p99_ms,
        "p99 while loading / idle": loaded.p99_ms / idle.p99_ms,
    }


@contextmanager
def _loading(folder: Path, url: str) -> Iterator[None]:
    """A load at full speed that goes on for longer than the block takes."""
    command = [sys.executable, "-m", "kasparro", "ingest", "--json", "more"]
    settings = {"DATABASE_URL": url, "KASPARRO_CONFIG": str(folder / "kasparro.yaml"), "LOG_LEVEL": "WARNING"}
    process = subprocess.Popen(  # noqa: S603  # our own command
        command, cwd=folder, env=inherited() | settings, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for_rows(url)
        yield
        if process.poll() is not None:
            sys.exit("bench: the load was over before its readers were")
    finally:
        process.terminate()
        process.wait()


def _wait_for_rows(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(
            "SELECT 1 FROM normalized_data WHERE source = 'more' LIMIT 1"
        ).fetchone():
            time.sleep(0.05)
