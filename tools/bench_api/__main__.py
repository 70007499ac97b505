"""The whole benchmark of the API: options in, tables and a file of JSON out."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench.__main__ import server_in
from bench.machine import machine
from bench.measuring import tell
from bench.options import at_least
from bench.report import aligned
from bench.server import MIGRATED

from bench_api import rows
from bench_api.asking import Asked, ask
from bench_api.contestants import Question, questions
from bench_api.probes import probes
from bench_api.results import Result
from bench_api.targets import TARGETS, Found, Probes, Race

HEADS: Final = ["", "answers/s", "slowest", "fastest", "p50 ms", "p99 ms", "cpu us", "bytes"]
FEWEST: Final = 1_000


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name, server_in(Path(name)) as server:
        facts = machine(server.url)
        print("\n".join(f"{fact}: {value}" for fact, value in facts.items()))
        with server.database("bench_api", MIGRATED) as url:
            folder = Path(name) / "api"
            folder.mkdir()
            tell(f"ingesting {options.rows:,} rows")
            rows.prepare(folder, url, options.rows, options.more)
            with questions(folder, url, peers=options.peers) as asked:
                race = raced(asked, options.runs, options.seconds)
                print(f"\n{race_table(race)}", flush=True)
                uncached = next(one.server for one in asked if one.name == "query-10")
                found = dict(probes(folder, url, uncached, options.rows, options.seconds))
    print(f"\n{probes_table(found)}\n\n{targets_table(race, found)}\n\nEvery measurement: {options.json}")
    document = {
        "machine": facts,
        "rows": options.rows,
        "race": {name: [asdict(one) for one in result.rounds] for name, result in race.items()},
        "probes": found,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=2) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-api", description="Measure the API on this machine")
    add = parser.add_argument
    add("--rows", type=at_least(FEWEST), default=1_000_000, help="records that are served (1000000)")
    add(
        "--more",
        type=at_least(FEWEST),
        default=300_000,
        help="records of the load that goes on while we ask (300000)",
    )
    add("--runs", type=at_least(1), default=5, help="rounds that are counted (5)")
    add("--seconds", type=float, default=3.0, help="how long each question is asked in a round (3)")
    add("--peers", action="store_true", help="other servers of the same rows, too: PostGraphile, Datasette")
    add(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("build/bench-api.json"),
        help="(build/bench-api.json)",
    )
    return parser.parse_args()


def raced(asked: Sequence[Question], runs: int, seconds: float) -> Race:
    """Round by round, each beginning with another; the round before them warms everybody up."""
    found: dict[str, list[Asked]] = {one.name: [] for one in asked}
    for number in range(runs + 1):
        at = number % len(asked)
        for one in [*asked[at:], *asked[:at]]:
            measured = ask(one, seconds if number else min(seconds, 1.0))
            tell(f"round {number}/{runs}  {one.name}: {measured.per_second:,.0f}/s")
            if number:
                found[one.name].append(measured)
    return {name: Result(tuple(rounds)) for name, rounds in found.items()}


def race_table(race: Race) -> str:
    return aligned([HEADS, *([name, *result.cells()] for name, result in race.items())])


def probes_table(found: Probes) -> str:
    return aligned([["", "measured"], *([name, f"{value:,.2f}"] for name, value in found.items())])


def targets_table(race: Race, found: Probes) -> str:
    lines = []
    for target in TARGETS:
        value = target.measured(Found(race, found))
        if value is not None:
            met = "met" if target.met(value) else "not met"
            lines.append([target.says, target.bound, f"{value:,.2f}", met])
    return aligned([["target", "", "measured", ""], *lines])


if __name__ == "__main__":
    main()
