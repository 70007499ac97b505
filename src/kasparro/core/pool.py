"""Connections kept for their next use: a way to connect in, connections out, a bounded number at a time. Made by `core.database`.

Whoever finds none free connects himself, and so hears at once why that fails. The one used last goes out first, and the others
come to rest.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from kasparro.core.clock import monotonic
from kasparro.core.errors import DatabaseUnavailable

Connection = psycopg.AsyncConnection[Any]

OLDEST: Final = 1800.0
"""Seconds after which a connection is replaced: what a server process has gathered meanwhile goes with it."""

END: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY(%s) AND pid <> pg_backend_pid() AND datname = current_database() AND usename = current_user
  AND application_name = current_setting('application_name')
"""
"""A number that the system has given to somebody else's process meanwhile does not bear the name of our connections."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection, the server process behind it, when it was made and when it was last used."""

    connection: Connection
    process: int
    made: float
    used: float


class Pool:
    """At most *size* connections at rest and *size* + *overflow* in use.

    One that rested for longer than *ping_after* seconds is asked for a sign of life before it goes out; of any other only a look
    at its socket says whether the server has hung up.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], size: int, overflow: int, ping_after: float
    ) -> None:
        self._connect = connect
        self._size = size
        self._ping_after = ping_after
        self._free = asyncio.Semaphore(size + overflow)
        self._kept: list[_Kept] = []
        self._left_behind: set[int] = set()
        self._closed = False
        self.limit = size + overflow
        self.in_use = 0
        self.waiting = 0

    @asynccontextmanager
    async def connection(self, patience: float) -> AsyncIterator[Connection]:
        """Lend a connection. Raises `DatabaseUnavailable` when none becomes free within *patience* seconds."""
        await self._turn(patience)
        self.in_use += 1
        try:
            lent = await self._lent()
            try:
                await self._end_left_behind(lent)
                yield lent.connection
            finally:
                await self._take_back(lent)
        finally:
            self.in_use -= 1
            self._free.release()

    async def close(self) -> None:
        """Close those at rest; those in use are closed when they come back."""
        self._closed = True
        while self._kept:
            await self._kept.pop().connection.close()

    async def _turn(self, patience: float) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(
                "every database connection is busy", hint="Try again in a moment"
            ) from error
        finally:
            self.waiting -= 1

    async def _lent(self) -> _Kept:
        while self._kept:
            kept = self._kept.pop()
            if await self._lives(kept):
                return kept
            await kept.connection.close()
        now = monotonic()
        connection = await self._connect()
        return _Kept(connection, connection.info.backend_pid, now, now)

    async def _lives(self, kept: _Kept) -> bool:
        if hung_up(kept.connection):
            return False
        if monotonic() - kept.used < self._ping_after:
            return True
        try:
            await kept.connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    async def _end_left_behind(self, lent: _Kept) -> None:
        self._left_behind.discard(lent.process)  # the system gives its numbers again
        if not self._left_behind:
            return
        processes = list(self._left_behind)
        await lent.connection.execute(END, (processes,))
        self._left_behind.difference_update(processes)

    async def _take_back(self, lent: _Kept) -> None:
        """Keep what is fit to be used again: no transaction is open, and nothing broke."""
        connection, now = lent.connection, monotonic()
        idle = connection.info.transaction_status is TransactionStatus.IDLE
        if idle and not self._closed and len(self._kept) < self._size and now - lent.made < OLDEST:
            self._kept.append(replace(lent, used=now))
            return
        if not idle:
            self._left_behind.add(lent.process)
        await connection.close()


def hung_up(connection: Connection) -> bool:
    """A server says nothing to a connection at rest, unless it ends it."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
