"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    rows: int
    runs: int
    cold: bool
    only: frozenset[str]
    peers: bool
    growth: bool
    stream_gib: float | None
    json: Path


def parsed(arguments: Sequence[str] | None, names: Collection[str]) -> Options:
    """`--only` may choose any of *names*."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure ingestion on this machine")
    add = parser.add_argument
    add("--rows", type=at_least(100), default=1_000_000, help="no file has more rows (default: 1000000)")
    add("--runs", type=at_least(1), default=5, help="rounds that are counted (default: 5)")
    add("--cold", action="store_true", help="no round to warm up: to try the benchmark, not to measure")
    add("--only", type=one_of(names), default=frozenset(), metavar="NAME[,NAME]", help=", ".join(names))
    add("--peers", action="store_true", help="other loaders too, on the flights")
    add("--growth", action="store_true", help="also loads into a table that is large already")
    add("--stream-gib", type=float, metavar="N", help="also a file of N GiB, for the memory that it takes")
    add("--json", type=Path, metavar="FILE", default=Path("build/bench.json"), help="(build/bench.json)")
    return Options(**vars(parser.parse_args(arguments)))


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def one_of(names: Collection[str]) -> Callable[[str], frozenset[str]]:
    def chosen(text: str) -> frozenset[str]:
        found = frozenset(text.split(","))
        if unknown := sorted(found - set(names)):
            raise argparse.ArgumentTypeError(
                f"there is no {', '.join(unknown)}; there are {', '.join(names)}"
            )
        return found

    return chosen
