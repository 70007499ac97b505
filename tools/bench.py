"""Measure ingestion on this machine, beside what PostgreSQL itself can do with the same rows: `make bench`.

    .venv/bin/python tools/bench.py --rows 200000 --runs 5 --json bench.json

A CSV file is generated from a seed and ingested by the real command, `kasparro ingest`, into a database of its own on an embedded
server of its own, with durability as in production. Three things are timed, one after the other, as often as --runs says:

    ingest   the whole command on an empty, migrated database, start of Python included
    rerun    the same command again; nothing has changed
    floor    the same final rows, ready in files just read, put by one COPY each, in one transaction, into the same tables
             with the same indexes in another empty database: no parsing, no hashing, no validation

A first round warms up and is not counted. Every round is checked: all rows inserted, then all unchanged.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from kasparro.core.embedded import EmbeddedPostgres
from kasparro.storage import schema

SEED = 2026
COLUMNS = 20
TEMPLATE = "bench_template"
TABLES = ("raw_data_csv", "normalized_data")
CHUNK = 1 << 20
KIBIBYTE = 1024 if sys.platform != "darwin" else 1

CATALOG = """
sources:
  bench:
    type: csv
    path: rows.csv
    key: id
    map: {title: name, author: owner, published_at: created_at, category: kind}
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One command or COPY. `run_ms` is what the run itself took by its own clock, without the start of the process."""

    seconds: float
    run_ms: int | None = None
    peak_mib: float | None = None


Row = tuple[str, ...]


def rows(count: int) -> Iterator[Row]:
    """Made-up rows: ids, names, a time, numbers of several widths, texts of which some need quotes, empty cells."""
    random_ = random.Random(SEED)  # noqa: S311  # the same file every time
    words = [
        "".join(random_.choices("abcdefghijklmnopqrstuvwxyz", k=random_.randint(3, 9))) for _ in range(2000)
    ]
    for number in range(count):
        yield (
            str(number),
            " ".join(random_.choices(words, k=3)),
            random_.choice(words),
            f"20{number % 25:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:00:00Z",
            random_.choice(("alpha", "beta", "gamma")),
            ", ".join(random_.choices(words, k=4)),
            *(str(random_.randint(0, 10**width)) for width in (2, 3, 4, 5, 6, 9)),
            *(f"{random_.uniform(-180, 180):.6f}" for _ in range(4)),
            *("" if random_.random() < 0.5 else random_.choice(words) for _ in range(4)),  # noqa: PLR2004
        )


def write_csv(path: Path, count: int) -> None:
    names = ["id", "name", "owner", "created_at", "kind", "tags", *(f"value_{n}" for n in range(COLUMNS - 6))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows(count))


@dataclass(frozen=True, slots=True)
class Bench:
    """An embedded server, the folder of the catalog, and how many rows there are."""

    server: str
    folder: Path
    count: int

    def warm_up(self) -> list[Path]:
        """Ingest once, and return what the floor will write: the final rows of each table, as COPY wants them.

        They are kept in files: a child of this process starts with its memory, which would count as the child's own peak.
        """
        with self.database("bench_ingest") as url:
            self.ingest(url, "inserted")
            with psycopg.connect(url) as connection:
                return [copied(connection, table, self.folder / table) for table in TABLES]

    def round(self, payload: list[Path], *, floor_first: bool) -> dict[str, Measured]:
        with self.database("bench_floor") as floor, self.database("bench_ingest") as product:
            steps: dict[str, Callable[[], Measured]] = {
                "ingest": lambda: self.ingest(product, "inserted"),
                "rerun": lambda: self.ingest(product, "unchanged"),
                "floor": lambda: self.floor(floor, payload),
            }
            names = sorted(steps, key=lambda name: (name == "floor") is not floor_first)
            return {name: steps[name]() for name in names}

    def ingest(self, url: str, outcome: str) -> Measured:
        """Run the command, and make sure that every row had *outcome*."""
        self.settle()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "HOME"} or name[:4] == "ETL_"
        }
        environment |= {
            "DATABASE_URL": url,
            "KASPARRO_CONFIG": str(self.folder / "kasparro.yaml"),
            "LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "kasparro", "ingest", "--json"]
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=subprocess.PIPE)  # noqa: S603  # our own
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.stdout:
            process.stdout.close()
        report = json.loads(output)[0] if process.returncode == 0 else {}
        if report.get(f"records_{outcome}") != self.count:
            sys.exit(f"not every row was {outcome}: exit code {process.returncode}, {report}")
        return Measured(seconds, report["duration_ms"], usage.ru_maxrss * KIBIBYTE / 2**20)

    def floor(self, url: str, payload: list[Path]) -> Measured:
        self.settle()
        with psycopg.connect(url) as connection:
            started = time.perf_counter()
            with connection.transaction(), connection.cursor() as cursor:
                for table, content in zip(TABLES, payload, strict=True):
                    with (
                        cursor.copy(statement(connection, table, "FROM STDIN")) as copy,
                        content.open("rb") as rows,
                    ):
                        while chunk := rows.read(CHUNK):
                            copy.write(chunk)
            return Measured(time.perf_counter() - started)

    def settle(self) -> None:
        """Start every step with nothing left to write from the one before."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    @contextmanager
    def database(self, name: str, template: str = TEMPLATE) -> Iterator[str]:
        identifier = sql.Identifier(name)
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template))
            )
            yield urlsplit(self.server)._replace(path=f"/{name}").geturl()
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def statement(connection: psycopg.Connection, table: str, direction: str) -> sql.Composed:
    """COPY of every column but the id, which the sequence gives, as it does when Kasparro writes."""
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'id' ORDER BY attnum",
        [table],
    )
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
    template = "COPY {} ({}) " + direction + " (FORMAT binary)"
    return sql.SQL(template).format(sql.Identifier(table), columns)


def copied(connection: psycopg.Connection, table: str, target: Path) -> Path:
    with connection.cursor() as cursor, cursor.copy(statement(connection, table, "TO STDOUT")) as copy:
        with target.open("wb") as file:
            file.writelines(copy)
        return target


def machine(server: str) -> dict[str, object]:
    with psycopg.connect(server) as connection:
        version, fsync, buffers = connection.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('shared_buffers')"
        ).fetchone() or ("", "", "")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": f"{version} (embedded, fsync {fsync}, shared_buffers {buffers})",
    }


def summary(count: int, rounds: list[dict[str, Measured]]) -> dict[str, dict[str, float]]:
    """Of each step: median, fastest and slowest in seconds, rows per second, and how many times the floor it takes."""
    seconds = {name: [measured[name].seconds for measured in rounds] for name in ("ingest", "rerun", "floor")}
    result = {}
    for name, values in seconds.items():
        median = statistics.median(values)
        ratios = [value / floor for value, floor in zip(values, seconds["floor"], strict=True)]
        result[name] = {
            "median_s": median,
            "fastest_s": min(values),
            "slowest_s": max(values),
            "rows_per_s": count / median,
            "times_the_floor": statistics.median(ratios),
        }
        own = [
            (m.run_ms, m.peak_mib) for m in (measured[name] for measured in rounds) if m.run_ms and m.peak_mib
        ]
        if own:
            result[name]["run_median_s"] = statistics.median(run for run, _ in own) / 1000
            result[name]["peak_rss_mib"] = max(peak for _, peak in own)
    return result


def show(document: dict[str, object], result: dict[str, dict[str, float]]) -> None:
    print("\n".join(f"{name}: {value}" for name, value in document.items() if isinstance(value, str | int)))
    heads = ("step", "median s", "fastest", "slowest", "rows/s", "x floor", "run s", "peak MiB")
    print(("{:<8}" + "{:>10}" * 7).format(*heads))
    for name, of in result.items():
        cells = (
            f"{of['median_s']:.2f}",
            f"{of['fastest_s']:.2f}",
            f"{of['slowest_s']:.2f}",
            f"{of['rows_per_s']:,.0f}",
        )
        run, peak = of.get("run_median_s"), of.get("peak_rss_mib")
        own = (f"{run:.2f}" if run else "-", f"{peak:.0f}" if peak else "-")
        print(("{:<8}" + "{:>10}" * 7).format(name, *cells, f"{of['times_the_floor']:.2f}", *own))


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        folder = Path(name)
        write_csv(folder / "rows.csv", options.rows)
        (folder / "kasparro.yaml").write_text(CATALOG)
        with EmbeddedPostgres(folder / "server", throwaway=False) as server:
            bench = Bench(server.url, folder, options.rows)
            with bench.database(TEMPLATE, "template0") as template:
                asyncio.run(schema.upgrade(template))
                payload = bench.warm_up()
                rounds = [bench.round(payload, floor_first=n % 2 == 1) for n in range(options.runs)]
            size = (folder / "rows.csv").stat().st_size
            document = {
                **machine(server.url),
                "rows": options.rows,
                "columns": COLUMNS,
                "file_mib": f"{size / 2**20:.1f}",
                "rounds": options.runs,
            }
    result = summary(options.rows, rounds)
    show(document, result)
    if options.json:
        measured = [{step: asdict(value) for step, value in one.items()} for one in rounds]
        options.json.write_text(
            json.dumps({**document, "steps": result, "measured": measured}, indent=2) + "\n"
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure ingestion beside what PostgreSQL itself can do")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
