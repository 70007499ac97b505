"""Tell when a job is queued: PostgreSQL's NOTIFY, to be fast. The workers poll as well, to be right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import sql

from kasparro.core.database_errors import translated
from kasparro.core.errors import DatabaseTimeout
from kasparro.storage.ingest_jobs import QUEUE

LIVENESS_SECONDS = 30.0
ANSWER_SECONDS = 5.0


async def listen(url: str, notify: Callable[[], None]) -> None:
    """Call *notify* for every job that is queued, until cancelled. Raises `DatabaseUnavailable` when the connection is lost."""
    await listen_to(url, f"procrastinate_queue_v1#{QUEUE}", lambda _payload: notify())


async def listen_to(url: str, channel: str, notify: Callable[[str], None]) -> None:
    """Call *notify* with what is told in *channel*; with nothing at the beginning and at times, in case something was missed."""
    with translated():
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=5, application_name="kasparro-listen"
        ) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            notify("")
            while True:
                async for notice in connection.notifies(timeout=LIVENESS_SECONDS):
                    notify(notice.payload)
                await _answers(connection)
                notify("")


async def _answers(connection: psycopg.AsyncConnection) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute("SELECT 1")
    except TimeoutError as error:
        raise DatabaseTimeout("the server stopped answering") from error
