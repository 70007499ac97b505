"""Steps in, measurements out: every step of every chain, as often as asked, in an order that changes from round to round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.server import Server


@dataclass(frozen=True, slots=True)
class Ran:
    """What a step can say of itself. `run_seconds` is the run by Kasparro's own clock, without the start of the process."""

    seconds: float
    cpu_seconds: float
    peak_mib: float | None = None
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Measured(Ran):
    server_cpu_seconds: float = 0.0
    wal_bytes: int = 0
    tuples: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Something to measure. It raises or exits when it did not do what it claims."""

    name: str
    records: int
    run: Callable[[str], Ran]
    """Takes the URL of the database."""
    tables: str = ""
    """Of which tables written rows are counted: a regular expression. Empty: of all."""
    writes_nothing: bool = False


Database = Callable[[Server], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps that build on each other in one database."""

    steps: tuple[Step, ...]
    database: Database


Round = dict[str, Measured]


def fresh(template: str) -> Database:
    """A database of the chain's own, every time."""
    return lambda server: server.database("bench", template)


def measure_all(server: Server, chains: Sequence[Chain], runs: int, *, warm_up: bool) -> list[Round]:
    """*runs* rounds, and one before them that is not counted."""
    first = 0 if warm_up else 1
    rounds = [one_round(server, rotated(chains, number), number, runs) for number in range(first, runs + 1)]
    return rounds[1 - first :]


def rotated(chains: Sequence[Chain], by: int) -> list[Chain]:
    start = by % max(len(chains), 1)
    return [*chains[start:], *chains[:start]]


def one_round(server: Server, chains: Sequence[Chain], number: int, runs: int) -> Round:
    measured: Round = {}
    for chain in chains:
        with chain.database(server) as url:
            for step in chain.steps:
                measured[step.name] = measure(server, url, step)
                tell(f"round {number}/{runs}  {step.name}: {measured[step.name].seconds:.2f} s")
    return measured


def measure(server: Server, url: str, step: Step) -> Measured:
    server.settle(url)
    before = server.account(url, step.tables)
    ran = step.run(url)
    server.wait_until_left(url)
    after = server.account(url, step.tables)
    tuples = after.tuples - before.tuples
    if step.writes_nothing and tuples:
        sys.exit(f"bench: {step.name} was to write nothing and wrote {tuples} rows")
    return Measured(
        ran.seconds,
        ran.cpu_seconds,
        ran.peak_mib,
        ran.run_seconds,
        server_cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        wal_bytes=after.wal_bytes - before.wal_bytes,
        tuples=tuples,
    )


def tell(what: str) -> None:
    """Progress, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)
