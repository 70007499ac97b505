"""Faults at the named steps of a run: before or after the n-th call of one, in the process that is to suffer them.

The steps are functions of the product; a step that is renamed there has to be renamed here, or its points fail.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from kasparro.core.errors import DatabaseUnavailable
from kasparro.storage import drift, leases, ledger, raw_archive, snapshots, writes
from kasparro.storage.checkpoints import Checkpoints
from kasparro.storage.commit_order import CommitOrder
from kasparro.storage.entities import linking
from kasparro.storage.ingest_store import PostgresIngestStore, PostgresSession

STEPS: dict[str, tuple[Any, str]] = {
    "take": (leases, "take"),
    "begin_run": (ledger, "begin_run"),
    "resume": (PostgresSession, "resume"),
    "known": (PostgresSession, "known"),
    "commit": (PostgresSession, "_commit"),
    "advance": (leases, "advance"),
    "is_free": (leases, "is_free"),
    "write_rows": (writes, "write_rows"),
    "copy_dataset": (writes, "copy_dataset"),
    "upsert_dataset": (writes, "upsert_dataset"),
    "copy_raw": (writes, "copy_raw"),
    "copy_piece": (psycopg.AsyncCopy, "write"),
    "upsert_raw": (writes, "upsert_raw"),
    "quarantine": (writes, "quarantine"),
    "resolve": (writes, "resolve_rejects"),
    "write_progress": (writes, "write_progress"),
    "turn": (CommitOrder, "turn"),
    "move_checkpoint": (writes, "move_checkpoint"),
    "drift": (drift, "write"),
    "link": (linking, "link"),
    "link_records": (linking, "_count_records"),
    "link_keys": (linking, "_count_keys"),
    "count": (ledger, "count"),
    "renew": (leases, "renew"),
    "end_run": (ledger, "end_run"),
    "release": (leases, "release"),
    "session": (PostgresIngestStore, "_begin"),
    "archive_read": (raw_archive.PostgresRawArchive, "read"),
    "archive_differing": (raw_archive.PostgresRawArchive, "differing"),
    "mark_raw": (writes, "mark_raw"),
    "reset": (Checkpoints, "move"),
    "begin_snapshot": (PostgresSession, "_begin_snapshot"),
    "mark": (snapshots, "mark"),
    "absence": (PostgresSession, "absence"),
    "bounds": (snapshots, "bounds"),
    "arrange": (PostgresSession, "_arrange"),
    "window": (snapshots, "window"),
    "delete_absent": (PostgresSession, "delete_absent"),
    "bury": (snapshots, "bury"),
    "count_deleted": (writes, "count_deleted"),
    "forget_seen": (PostgresSession, "forget_seen"),
    "forget": (snapshots, "forget"),
}


class Action(StrEnum):
    """What happens there. `stop` freezes the process until somebody wakes it; `hang` only this task."""

    KILL = "kill"
    RAISE = "raise"
    STOP = "stop"
    HANG = "hang"


@dataclass(frozen=True)
class Failpoint:
    """`after` the step with `raise` is what is executed and reported as failed."""

    step: str
    when: str = "before"
    nth: int = 1
    action: Action = Action.KILL

    def __str__(self) -> str:
        return f"{self.action}-{self.when}-{self.step}-{self.nth}"


def plant(point: Failpoint) -> None:
    place, attribute = STEPS[point.step]
    setattr(place, attribute, _wrapped(getattr(place, attribute), point))


def _wrapped(step: Callable[..., Awaitable[Any]], point: Failpoint) -> Callable[..., Awaitable[Any]]:
    calls = 0

    async def wrapped(*args: Any, **keys: Any) -> Any:
        nonlocal calls
        calls += 1
        now = calls == point.nth
        if now and point.when == "before":
            await strike(point)
        result = await step(*args, **keys)
        if now and point.when == "after":
            await strike(point)
        return result

    return wrapped


async def strike(point: Failpoint) -> None:
    match point.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.RAISE:
            raise DatabaseUnavailable(f"made up: {point}")
        case Action.HANG:
            await asyncio.Event().wait()
