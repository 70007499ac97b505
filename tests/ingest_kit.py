"""A source in memory and what tests of the write path need around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kasparro.core.database import Database, PoolOptions
from kasparro.core.errors import KasparroError
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.batching import Pace
from kasparro.ingestion.runner import Job, run_etl_with_backoff
from kasparro.schemas.ingest import ApiOrigin, Cursor, Page, RawRecord, RunReport, new_run_id
from kasparro.storage.ingest_store import PostgresIngestStore

LEASE_SECONDS = 5.0


def payload(record: Any) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record).encode()


@dataclass
class MemorySource:
    """Pages of records; an exception in the place of a page is raised when its turn comes, once."""

    pages_: list[Sequence[Any] | KasparroError]
    asked_after: list[Cursor | None] = field(default_factory=list)

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        self.asked_after.append(after)
        start = 0 if after is None else int(after["page"])
        for index in range(start, len(self.pages_)):
            page = self.pages_[index]
            if isinstance(page, KasparroError):
                self.pages_[index] = []
                raise page
            last = index == len(self.pages_) - 1
            yield Page(
                [
                    RawRecord(payload(r), ApiOrigin("http://test/items", index + 1, i))
                    for i, r in enumerate(page)
                ],
                None if last else {"page": index + 1},
            )


def api_declaration(name: str = "things", **keys: Any) -> ApiSource:
    return ApiSource(name=name, url="http://test/items", **keys)


def job(source: Any, declaration: ApiSource | None = None, batch: int = 100, **more: Any) -> Job:
    declaration = declaration or api_declaration()
    return Job(new_run_id(declaration.name), declaration, source, Pace(batch, 60.0), **more)


async def ingest(
    database: Database, source: Any, declaration: ApiSource | None = None, **more: Any
) -> RunReport:
    store = PostgresIngestStore(database, LEASE_SECONDS)
    return await run_etl_with_backoff(job(source, declaration, **more), store, sleep=no_sleep)


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def writer(url: str) -> AsyncIterator[Database]:
    database = Database(url, PoolOptions(size=3, overflow=3, checkout=10, statement=20))
    try:
        yield database
    finally:
        await database.close()


async def rows(
    database: Database, statement: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    async with database.driver_transaction() as connection:
        return await (await connection.execute(statement, parameters)).fetchall()  # type: ignore[arg-type]


async def one(database: Database, statement: str, parameters: Mapping[str, Any] | None = None) -> Any:
    found = await rows(database, statement, parameters)
    assert len(found) == 1, found
    return found[0][0] if len(found[0]) == 1 else found[0]
