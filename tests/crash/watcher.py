"""A reader of its own that checks the invariants of an instant, again and again, while something happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from crash.checker import check_instant
from crash.oracle import Oracle

PAUSE = 0.03


@dataclass
class Looked:
    """How often the reader has looked, and what it found broken."""

    times: int = 0
    broken: list[Exception] = field(default_factory=list)
    once: threading.Event = field(default_factory=threading.Event)


@contextmanager
def watched(url: str, oracle: Oracle) -> Iterator[Looked]:
    """Look for as long as the block lasts, then raise what was found. A database that is away is not looked at."""
    looked, over = Looked(), threading.Event()

    def look() -> None:
        while not over.wait(PAUSE) and not looked.broken:
            try:
                check_instant(url, oracle)
            except psycopg.OperationalError:
                continue
            except Exception as error:  # noqa: BLE001  # handed to whoever waits for this thread
                looked.broken.append(error)
            looked.times += 1
            looked.once.set()

    thread = threading.Thread(target=look, name="reader")
    thread.start()
    try:
        yield looked
    finally:
        over.set()
        thread.join()
    if looked.broken:
        raise looked.broken[0]
