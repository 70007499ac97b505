"""One statement asked again and again on one connection: what it costs beside its round trip is next to nothing.

A cursor of psycopg prepares, adapts and describes each time what is the same every time; here is the libpq below it
(https://www.postgresql.org/docs/current/libpq-async.html).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from kasparro.core.pool import hung_up

NAME: Final = "kasparro_round_trip"


class RoundTrips:
    """A context: within it, the connection is for nothing but `ask`. Made by `prepared`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], deadline: float) -> None:
        self.connection = connection
        self._deadline = deadline
        self._pg = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._socket: int | None = None
        """Where it listens."""

    @classmethod
    async def prepared(
        cls, connection: psycopg.AsyncConnection[Any], statement: str, deadline: float
    ) -> RoundTrips:
        """*statement* has no parameters; an answer may take *deadline* seconds. Raises `psycopg.Error`."""
        await connection.execute(f"PREPARE {NAME} AS {statement}".encode())
        return cls(connection, deadline)

    def __enter__(self) -> Self:
        self._socket = self._pg.socket
        self._loop.add_reader(self._socket, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._listen_no_more()

    @property
    def over(self) -> bool:
        """Whether the server has hung up since the last answer."""
        return hung_up(self.connection)

    async def ask(self) -> PGresult:
        """The rows, as text. Raises `psycopg.Error`."""
        self._pg.send_query_prepared(NAME.encode(), None)
        if self._pg.flush():  # so few bytes, and the server has answered all before
            raise psycopg.OperationalError("the server takes no more questions")
        self._answer = self._loop.create_future()
        late = self._loop.call_later(self._deadline, self._give_up)
        try:
            result = await self._answer
        finally:
            late.cancel()
            self._answer = self._result = None
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        return result

    def _read(self) -> None:
        try:
            self._pg.consume_input()
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:  # the server is ready for the next
                    break
                self._result = result
            else:
                return
        except psycopg.Error as error:
            self._end(error)
        else:
            self._end(self._result)

    def _give_up(self) -> None:
        self._end(psycopg.OperationalError(f"no answer from the server within {self._deadline:g} s"))

    def _end(self, outcome: PGresult | psycopg.Error | None) -> None:
        if isinstance(outcome, psycopg.Error):
            self._listen_no_more()
            self._pg.finish()
        answer = self._answer
        if answer is None or answer.done() or outcome is None:
            return
        if isinstance(outcome, psycopg.Error):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _listen_no_more(self) -> None:
        """Once: when the connection is closed, the next one to be opened may have its number."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket = None
