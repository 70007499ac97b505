"""Tell when a job is queued: PostgreSQL's NOTIFY, to be fast. The workers poll as well, to be right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg

from kasparro.core.database_errors import translated
from kasparro.core.errors import DatabaseTimeout
from kasparro.storage.ingest_jobs import QUEUE

LIVENESS_SECONDS = 30.0
ANSWER_SECONDS = 5.0


async def listen(url: str, notify: Callable[[], None]) -> None:
    """Call *notify* for every job that is queued, until cancelled. Raises `DatabaseUnavailable` when the connection is lost."""
    with translated():
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=5, application_name="kasparro-listen"
        ) as connection:
            await connection.execute(f'LISTEN "procrastinate_queue_v1#{QUEUE}"')
            notify()
            while True:
                async for _ in connection.notifies(timeout=LIVENESS_SECONDS):
                    notify()
                await _answers(connection)


async def _answers(connection: psycopg.AsyncConnection) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute("SELECT 1")
    except TimeoutError as error:
        raise DatabaseTimeout("the server stopped answering") from error
