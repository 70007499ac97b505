"""A process that ingests and kills itself at one point: `python victim.py URL POINT NTH`.

POINT is `<function>:<before|after>`; the functions are the steps of a session and of the transaction of a batch.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ingest_kit import MemorySource, api_declaration, job, writer
from kasparro.ingestion.runner import Job, run_etl_with_backoff
from kasparro.storage import ingest_store, leases, ledger, writes
from kasparro.storage.ingest_store import PostgresIngestStore

LEASE_SECONDS = 1.0
PAGES = [[{"id": page * 7 + i, "name": f"record {page * 7 + i}"} for i in range(7)] for page in range(6)]
PAGES[2][3] = {"id": 17, "name": {"not": "a text"}}
PAGES[4][0] = {"id": 3, "name": "record 3, later"}
BATCH = 10

STEPS: dict[str, tuple[Any, str]] = {
    "take": (leases, "take"),
    "begin_run": (ledger, "begin_run"),
    "resume": (ingest_store.PostgresSession, "resume"),
    "known": (ingest_store.PostgresSession, "known"),
    "commit": (ingest_store.PostgresSession, "_commit"),
    "advance": (leases, "advance"),
    "copy_dataset": (writes, "copy_dataset"),
    "copy_raw": (writes, "copy_raw"),
    "quarantine": (writes, "quarantine"),
    "move_checkpoint": (writes, "move_checkpoint"),
    "count": (ledger, "count"),
    "end_run": (ledger, "end_run"),
    "release": (leases, "release"),
}


def plant(point: str, nth: int) -> None:
    """Wrap one step so that its *nth* call ends the process, without a word to anybody."""
    name, when = point.split(":")
    place, attribute = STEPS[name]
    setattr(place, attribute, deadly(getattr(place, attribute), when, nth))


def deadly(step: Callable[..., Awaitable[Any]], when: str, nth: int) -> Callable[..., Awaitable[Any]]:
    calls = 0

    async def wrapped(*args: Any, **keys: Any) -> Any:
        nonlocal calls
        calls += 1
        this = calls
        if when == "before" and this == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await step(*args, **keys)
        if when == "after" and this == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def request() -> Job:
    return job(MemorySource(list(PAGES)), api_declaration(map={"title": "name"}), batch=BATCH)


async def main(url: str) -> None:
    async with writer(url) as database:
        await run_etl_with_backoff(request(), PostgresIngestStore(database, LEASE_SECONDS))


if __name__ == "__main__":
    plant(sys.argv[2], int(sys.argv[3]))
    asyncio.run(main(sys.argv[1]))
