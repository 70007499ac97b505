"""A process that ingests and that something happens to: orders in, an exit code out. Forked from a warmed-up server.

What it runs is the product: a declared source read from a real file or server, the runner, the store. Only the faults and, when
one is asked for, a mutant are planted from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from crash import mutants
from crash.failpoints import Failpoint, plant
from ingest_kit import job, no_sleep
from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions
from kasparro.core.errors import KasparroError, LeaseHeld
from kasparro.core.etl_config import ApiSource, CsvSource, SourceDeclaration, StreamSource
from kasparro.core.logging_config import configure_logging
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Source
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.replay import replay
from kasparro.ingestion.runner import run_etl_with_backoff, run_under_lease
from kasparro.ingestion.sources import stream
from kasparro.ingestion.sources.stream import StreamPages
from kasparro.runtime import open_runtime
from kasparro.schemas.events import BatchCommitted, RunEvent
from kasparro.schemas.ingest import RunReport, RunStatus, SourceKind
from kasparro.storage import ingest_store, snapshots
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.ingest_store import PostgresIngestStore
from kasparro.storage.patience import Patience, Waits
from kasparro.storage.raw_archive import PostgresRawArchive
from kasparro.worker.main import run_worker
from kasparro.worker.pace import Pace

log = structlog.get_logger(__name__)

Outcome = TypeVar("Outcome")

NAME = "things"
BATCH = 10
DONE, FAILED, NEVER_BEGUN = 0, 3, 4
NEVER_ENDED = NEVER_BEGUN
"""The run could be neither begun nor ended: there is no database."""

QUICK = Pace(heartbeat=0.1, silent_for=0.8, poll=0.1, maintenance=0.1, busy=0.1, backoff=0.2, grace=20.0)

QUICKLY = {"attempts": 2, "base": "10ms", "max": "10ms"}
INCREMENTAL = {"field": "version", "format": "integer"}
MAP = {"title": "name", "published_at": "when"}
SLICED = "sliced"
SLICES = {
    "incremental": {"field": "at", "format": "epoch_s", "param": "since", "initial": "1000", "step": "10s"}
    | {"end_param": "until", "end": "1060"},
    "pagination": {"type": "page", "param": "page", "start": 1},
    "rate_limit": {"concurrency": 2},
    "retry": QUICKLY,
}
ENTITY = {"match": [["title", "published_at"]]}
"""No two records agree in it: each has a title of its own, in each of its versions."""
COMMON = {"name": NAME, "map": MAP, "incremental": INCREMENTAL, "entity": ENTITY}
SNAPSHOT = {"name": NAME, "map": MAP, "snapshot": True}
FEW = {"WINDOW": 8, "SAMPLED": 2, "PART": 8, "GROUP": 1}
"""So few keys and marks are handled together that putting marks in order and deleting take several transactions."""


@dataclass(frozen=True)
class Orders:
    """What to ingest, where to, and what is to go wrong. `log` is a file for what the process has to say."""

    url: str
    kind: str
    place: str
    log: str
    faults: tuple[Failpoint, ...] = ()
    mutant: str | None = None
    work: str = "ingest"
    lease: float = 0.4
    batch: int = BATCH
    statement: float = 20.0
    idle: float | None = None
    clock_ahead: float = 0.0
    patient: bool = True
    fast: bool = True
    wait_for_lease: float = 0.0
    snapshot: bool = False


def declaration(orders: Orders) -> SourceDeclaration:
    common = SNAPSHOT if orders.snapshot else COMMON
    if orders.kind == SLICED:
        return ApiSource.model_validate(COMMON | SLICES | {"url": f"{orders.place}/slices"})
    if orders.kind == SourceKind.API:
        pages = {"type": "page", "param": "page", "start": 1}
        address = {"url": f"{orders.place}/items", "pagination": pages, "retry": QUICKLY}
        return ApiSource.model_validate(common | address)
    if orders.kind == SourceKind.CSV:
        return CsvSource.model_validate(common | {"path": orders.place, "key": ["id"]})
    return StreamSource.model_validate(COMMON | {"url": "https://stream.test/things"})


def run(orders: Orders) -> None:
    """The whole life of the process; called in the fork."""
    out = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    configure_logging("INFO", "json")
    if orders.mutant:
        mutants.MUTANTS[orders.mutant].apply(orders.clock_ahead)
    for fault in orders.faults:
        plant(fault)
    if not orders.patient:
        ingest_store.Patience = partial(Patience, waits=Waits(outage=(0.1, 0.1), moment=(0.1,)))
    stream.RECORDS_A_PAGE = orders.batch
    for name, few in FEW.items():
        setattr(snapshots, name, few)
    code = asyncio.run(_main(orders))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what an interpreter clears up at its end takes as long as the ingest itself


async def _main(orders: Orders) -> int:
    if orders.work == "worker":
        return await _worker(orders)
    options = PoolOptions(
        size=3,
        overflow=3,
        checkout=10,
        statement=orders.statement,
        lock=orders.statement / 2,
        idle=orders.idle,
    )
    database = Database(orders.url, options)
    try:
        return await _work(orders, database)
    except KasparroError as error:
        log.warning("never begun", code=error.code, reason=str(error))
        return NEVER_BEGUN
    finally:
        await database.close()


async def _worker(orders: Orders) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(
        _env_file=None, kasparro_config=Path(orders.place), etl_batch_size=orders.batch, etl_lease_seconds=1.0
    )
    async with open_runtime(settings, orders.url, migrate=False, environ={}) as runtime:
        await run_worker(runtime, stop=stop, pace=QUICK)
    return DONE


async def _work(orders: Orders, database: Database) -> int:
    store = PostgresIngestStore(database, orders.lease)
    declared = declaration(orders)
    if orders.work == "reset":
        await when_free(lambda: Checkpoints(database).move(NAME, None), orders.wait_for_lease)
        return DONE
    if orders.work == "replay":
        request = job(open_source(declared, orders.batch), declared, orders.batch)
        recipe, archive = Recipe.of(declared), PostgresRawArchive(database)
        report = await when_free(
            lambda: run_under_lease(request, store, lambda s: replay(request, s, archive, recipe)),
            orders.wait_for_lease,
        )
        return FAILED if report.status is RunStatus.FAILED else DONE
    return await _ingest(orders, declared, store)


async def _ingest(orders: Orders, declared: SourceDeclaration, store: PostgresIngestStore) -> int:
    broker = Broker(Path(orders.place)) if orders.kind == SourceKind.STREAM else None
    source: Source = broker.source(orders.mutant) if broker else open_source(declared, orders.batch)
    source = mutants.source(orders.mutant, source)
    sleep = no_sleep if orders.fast else asyncio.sleep

    async def one_run() -> RunReport:
        observe = broker.observe if broker else lambda _: None
        request = job(source, declared, orders.batch, observe=observe, allow_deletions=orders.snapshot)
        return await run_etl_with_backoff(request, store, sleep=sleep)

    report = await when_free(one_run, orders.wait_for_lease)
    log.info("run.ended", code=report.error_code, reason=report.error)
    return FAILED if report.status is RunStatus.FAILED else DONE


async def when_free(work: Callable[[], Awaitable[Outcome]], seconds: float) -> Outcome:
    """Do *work* once the lease of the dead is over, which it is by itself."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await work()
        except LeaseHeld:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.02)


class Broker:
    """A broker in a folder: a log of messages, and how many of them are acknowledged, which it will not deliver again."""

    def __init__(self, folder: Path) -> None:
        self._messages = (folder / "messages").read_bytes().splitlines()
        self._acknowledged = folder / "acknowledged"
        self._start = int(self._acknowledged.read_text()) if self._acknowledged.exists() else 0
        self._count = self._start

    def source(self, mutant: str | None) -> Source:
        return StreamPages(NAME, self._deliver(early=mutant == "M11"))

    async def _deliver(self, *, early: bool) -> AsyncIterator[bytes]:
        for index in range(self._start, len(self._messages)):
            if early:
                self.acknowledge(index + 1)
            yield self._messages[index]

    def observe(self, event: RunEvent) -> None:
        """A message is acknowledged once the batch it is in is committed, and not before."""
        if isinstance(event, BatchCommitted):
            self.acknowledge(self._start + event.counters.processed)

    def acknowledge(self, count: int) -> None:
        """Of messages up to *count*; what is acknowledged stays so."""
        self._count = max(self._count, count)
        self._acknowledged.write_text(str(self._count))


def messages(pages: list[list[dict[str, object]]]) -> bytes:
    return b"\n".join(json.dumps(record).encode() for page in pages for record in page)
