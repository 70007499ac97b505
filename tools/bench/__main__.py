"""The whole benchmark: options in, tables and a file of JSON out. Should a step fail, the file has the sections before it."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import contents, peer_runs, peers_environment, report
from bench.machine import machine
from bench.measuring import measure_all, tell
from bench.options import Options, parsed
from bench.results import Results
from bench.sections import Place
from bench.server import EMPTY, MIGRATED, Server
from kasparro.core.embedded import EmbeddedPostgres
from kasparro.storage import schema


def main() -> None:
    options = parsed(None, contents.NAMES)
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name, server_in(Path(name)) as server:
        facts = machine(server.url)
        print("\n".join(f"{fact}: {value}" for fact, value in facts.items()))
        results: dict[str, Results] = {}
        for result in measured(options, place_in(server, Path(name), options)):
            results[result.section.name] = result
            print(f"\n{report.section_table(result)}", flush=True)
            keep(options, facts, results)
    print(f"\n{report.targets_table(results)}\n\nEvery measurement: {options.json}")


def place_in(server: Server, folder: Path, options: Options) -> Place:
    peers = contents.wants_peers(options) and peers_environment.available()
    return Place(
        server, folder, options.rows, peer_runs.peers if peers else peer_runs.none, options.stream_gib or 1.0
    )


def measured(options: Options, place: Place) -> Iterator[Results]:
    """Section by section: the files of one are made when its turn comes, and removed after it."""
    for entry in contents.asked_for(options):
        tell(f"{entry.name}: preparing")
        with entry.open(place) as whole:
            section = whole.only(options.only & set(entry.steps))
            runs, cold = (1, True) if section.once else (options.runs, options.cold)
            yield Results(section, measure_all(place.server, section.chains, runs, warm_up=not cold))
        shutil.rmtree(place.folder / entry.name)


def keep(options: Options, facts: dict[str, Any], results: dict[str, Results]) -> None:
    options.json.parent.mkdir(parents=True, exist_ok=True)
    sections = {name: report.document(result) for name, result in results.items()}
    document = {"machine": facts, "runs": options.runs, "sections": sections}
    options.json.write_text(json.dumps(document, indent=2) + "\n")


@contextmanager
def server_in(folder: Path) -> Iterator[Server]:
    """An embedded server as in production: what is committed is on the disk."""
    with EmbeddedPostgres(folder / "server", throwaway=False) as postgres:
        server = Server(postgres.url, folder / "server")
        with server.database(MIGRATED, EMPTY) as template:
            asyncio.run(schema.upgrade(template))
            yield server


if __name__ == "__main__":
    main()
