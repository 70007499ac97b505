"""How long work has had the database to itself, or waited for it: told to who asked (`Server-Timing`).

`api.middleware` begins a `Meter` for each request; whatever that request does with a `core.database.Database` runs it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from kasparro.core import clock


class Meter:
    """A context that adds up its time, in `seconds`."""

    __slots__ = ("_began", "_depth", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            self._began = clock.monotonic()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.seconds += clock.monotonic() - self._began


UNREAD: Final = Meter()
"""Of work that nobody is told about."""

METER: Final[ContextVar[Meter]] = ContextVar("database_time", default=UNREAD)
