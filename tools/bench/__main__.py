"""The whole benchmark: options in; tables, a file of JSON and an exit code out."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import report
from bench.csv_section import flights_section, generated_section
from bench.machine import machine
from bench.measuring import measure_all, tell
from bench.sections import Place, Section
from bench.server import EMPTY, MIGRATED, Server
from kasparro.core.embedded import EmbeddedPostgres
from kasparro.storage import schema

SECTIONS: dict[str, Callable[[Place], Section | None]] = {
    "flights": flights_section,
    "generated": generated_section,
}


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name, server_in(Path(name)) as server:
        place = Place(server, Path(name), options.rows, lambda _: (), options.stream_gib)
        results = {"machine": machine(server.url), "runs": options.runs, "sections": {}}
        print("\n".join(f"{fact}: {value}" for fact, value in results["machine"].items()))
        for section in chosen(place, options.only):
            tell(f"{section.name}: {', '.join(s.name for c in section.chains for s in c.steps)}")
            rounds = measure_all(server, section.chains, options.runs)
            rows = report.summary(section, rounds)
            print(f"\n{report.table(section, rows)}", flush=True)
            results["sections"][section.name] = report.document(section, rounds, rows)
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nEvery measurement: {options.json}")


def chosen(place: Place, names: Collection[str]) -> Iterator[Section]:
    """Sections as they come up, so that the files of one are made when its turn comes, and removed after it."""
    steps = {name for name in names if name not in SECTIONS}
    sections = [name for name in SECTIONS if name in names] or list(SECTIONS)
    for name in sections:
        section = SECTIONS[name](place)
        if section is not None:
            yield section.only(steps)
            shutil.rmtree(place.folder / name, ignore_errors=True)


@contextmanager
def server_in(folder: Path) -> Iterator[Server]:
    """An embedded server as in production: what is committed is on the disk."""
    with EmbeddedPostgres(folder / "server", throwaway=False) as postgres:
        server = Server(postgres.url, folder / "server")
        with server.database(MIGRATED, EMPTY) as template:
            asyncio.run(schema.upgrade(template))
            yield server


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure ingestion on this machine")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NAME[,NAME]")
    parser.add_argument("--stream-gib", type=float, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("build/bench.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
