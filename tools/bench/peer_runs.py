"""Other loaders on the same file and the same server: which there are, how each is run, and that it loaded what it should."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import psycopg

from bench.data import Dataset, write
from bench.measuring import Chain, Ran, Step, fresh, tell
from bench.peers_environment import PYTHON, sling
from bench.processes import run
from bench.server import EMPTY

SCRIPTS = Path(__file__).with_name("peers")
ENVIRONMENT = {"RUNTIME__DLTHUB_TELEMETRY": "false", "SLING_DISABLE_TELEMETRY": "true"}


STEPS = ("dlt-arrow", "dlt-arrow-rerun", "dlt-pydantic", "sling", "sling-rerun", "pandas", "orm")


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    command: Callable[[str, Path, Dataset], list[str]]
    """Takes the URL, the file and what it holds. It loads into the table `peer.loaded`."""
    most: int | None = None
    """So many rows of the file, where all of them would take too long."""
    merges: bool = True
    """Whether loading the same file again is a step of its own."""


def peers(dataset: Dataset) -> list[Chain]:
    return [chain(peer, dataset) for peer in known()]


def none(_dataset: Dataset) -> list[Chain]:
    return []


def known() -> Iterator[Peer]:
    yield Peer("dlt-arrow", partial(script, "dlt_arrow.py"))
    yield Peer("dlt-pydantic", partial(script, "dlt_pydantic.py"), merges=False)
    if binary := sling():
        yield Peer("sling", partial(sling_command, str(binary)))
    else:
        tell("sling is not there for this platform: left out")
    yield Peer("pandas", partial(script, "pandas_to_sql.py"), merges=False)
    yield Peer("orm", partial(script, "orm_in_batches.py"), most=10_000, merges=False)


def chain(peer: Peer, dataset: Dataset) -> Chain:
    count = min(dataset.count, peer.most or dataset.count)
    file = dataset.path if count == dataset.count else beginning(dataset, count)
    load = partial(loaded, peer, dataset, file, count)
    names = [peer.name, f"{peer.name}-rerun"] if peer.merges else [peer.name]
    return Chain(tuple(Step(name, count, load) for name in names), fresh(EMPTY))


def loaded(peer: Peer, dataset: Dataset, file: Path, count: int, url: str) -> Ran:
    dataset.show("original")
    finished = run(peer.command(url, file, dataset), dataset.folder, ENVIRONMENT)
    with psycopg.connect(url) as connection:
        (there,) = connection.execute("SELECT count(*) FROM peer.loaded").fetchone() or (0,)
    if there != count:
        sys.exit(f"bench: {peer.name} was to load {count} rows, and {there} are there\n{finished.output}")
    return Ran(finished.seconds, finished.cpu_seconds, finished.peak_mib)


def beginning(dataset: Dataset, count: int) -> Path:
    part = dataset.folder / f"first_{count}.csv"
    with dataset.path.open(newline="") as file:
        rows = csv.reader(file)
        write(part, next(rows), islice(rows, count))
    return part


def script(name: str, url: str, file: Path, dataset: Dataset) -> list[str]:
    # Python's URL parsers want a host and dlt a password; libpq goes by the socket all the same, and the server by trust.
    address = url.replace("://postgres@/", "://postgres:none@localhost/", 1)
    return [str(PYTHON), "-P", str(SCRIPTS / name), address, str(file), ",".join(dataset.key)]


def sling_command(binary: str, url: str, file: Path, dataset: Dataset) -> list[str]:
    source, target = ("--src-stream", f"file://{file}"), ("--tgt-conn", f"{url}&sslmode=disable")
    how = ("--mode", "incremental", "--primary-key", ",".join(dataset.key))
    return [binary, "run", *source, *target, "--tgt-object", "peer.loaded", *how]
