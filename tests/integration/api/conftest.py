"""The API over a real database: a small catalog, rows put in by SQL, and a network that can fail."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.conninfo import conninfo_to_dict

from kasparro.api.main import create_app
from kasparro.core.config import Settings
from kasparro.core.uuid7 import uuid7
from kasparro.runtime import Runtime, open_runtime

CATALOG = """
sources:
  alpha:
    type: csv
    description: The first
    path: alpha.csv
    key: id
  beta:
    type: csv
    path: beta.csv
    key: id
    schedule: "0 6 * * *"
  gamma:
    type: csv
    enabled: false
    path: gamma.csv
    key: id
"""


@dataclass(frozen=True)
class Service:
    runtime: Runtime
    app: FastAPI
    client: httpx2.AsyncClient

    def client_from(self, address: str, base_url: str = "http://localhost:8000") -> httpx2.AsyncClient:
        """A client that seems to connect from *address*."""
        transport = httpx2.ASGITransport(app=self.app, client=(address, 50000))
        return httpx2.AsyncClient(transport=transport, base_url=base_url)


Serve = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "kasparro.yaml"
    path.write_text(CATALOG)
    return path


@pytest.fixture
def serve(database_url: str, catalog: Path) -> Serve:
    """Opens the API with settings of one's own."""

    @asynccontextmanager
    async def opened(url: str = database_url, **given: Any) -> AsyncIterator[Service]:
        settings = Settings(_env_file=None, **{"kasparro_config": catalog, **given})
        async with open_runtime(settings, url, migrate=False) as runtime:
            app = create_app(runtime)
            transport = httpx2.ASGITransport(app=app)
            async with (
                app.router.lifespan_context(app),
                httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client,
            ):
                yield Service(runtime, app, client)

    return opened


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    async with serve() as opened:
        yield opened


@pytest.fixture
async def client(service: Service) -> httpx2.AsyncClient:
    return service.client


@dataclass
class Seed:
    """Puts rows into the tables as ingestion would leave them."""

    connection: psycopg.Connection
    numbers: dict[str, int] = field(default_factory=dict)

    def records(self, source: str, count: int) -> list[int]:
        return [
            self.record(source, {"title": f"{source} {number}", "metadata": {"number": number}})
            for number in range(count)
        ]

    def record(self, source: str, data: dict[str, Any] | str, source_id: str | None = None) -> int:
        """*data* is the DataRecord, without identity, or its JSON text as it is."""
        number = self.numbers[source] = self.numbers.get(source, 0) + 1
        identity = source_id or str(number)
        whole = (
            data if isinstance(data, str) else json.dumps({"source": source, "source_id": identity, **data})
        )
        row = self.connection.execute(
            "INSERT INTO normalized_data (source, source_id, data, version) VALUES (%s, %s, %s, 1) RETURNING id",
            (source, identity, whole),
        ).fetchone()
        self.connection.execute(
            """
            INSERT INTO etl_checkpoint (source, record_count, version) VALUES (%s, 1, 1)
            ON CONFLICT (source) DO UPDATE SET record_count = etl_checkpoint.record_count + 1
            """,
            (source,),
        )
        return row[0]

    def run(self, source: str, status: str = "success", *, hours_ago: float = 1, **columns: Any) -> str:
        """A run that began *hours_ago* and, unless it is in progress, ended a minute later."""
        number = self.numbers["runs"] = self.numbers.get("runs", 0) + 1
        given = {
            "run_id": f"run_{source}_{number:08x}",
            "source": source,
            "status": status,
            "error_message": "the source refuses" if status == "failed" else None,
            **columns,
        }
        names = ", ".join(given)
        values = ", ".join(f"%({name})s" for name in given)
        began = "clock_timestamp() - make_interval(secs => %(seconds)s)"
        end = "NULL" if status == "in_progress" else f"{began} + interval '1 minute'"
        self.connection.execute(
            f"INSERT INTO etl_run ({names}, start_time, heartbeat, end_time) VALUES ({values}, {began}, {began}, {end})",
            {**given, "seconds": hours_ago * 3600},
        )
        return given["run_id"]

    def lease(self, source: str, run_id: str, seconds: float = 60) -> None:
        self.connection.execute(
            """
            INSERT INTO source_lease (source, token, holder, run_id, expires_at)
            VALUES (%s, 1, 'db-host-7:4711:abc', %s, clock_timestamp() + make_interval(secs => %s))
            """,
            (source, run_id, seconds),
        )

    def totals(self, source: str, **columns: Any) -> None:
        given = {"source": source, **columns}
        values = ", ".join(f"%({name})s" for name in given)
        self.connection.execute(f"INSERT INTO etl_totals ({', '.join(given)}) VALUES ({values})", given)

    def drift(self, source: str, **columns: Any) -> int:
        defaults = {
            "field_path": "full_name",
            "kind": "added",
            "after": '{"types": ["text"]}',
            "first_seen_run": "run_1",
            "example": "{}",
        }
        given = {"source": source, "fingerprint": os.urandom(16), **defaults, **columns}
        values = ", ".join(f"%({name})s" for name in given)
        statement = f"INSERT INTO schema_drift ({', '.join(given)}) VALUES ({values}) RETURNING id"
        (found,) = self.connection.execute(statement, given).fetchone()
        return found

    def entity(self, *records: str, **columns: Any) -> str:
        """One that these records, each `source:source_id`, speak of."""
        entity = uuid7()
        self.connection.execute("INSERT INTO entity (id, records) VALUES (%s, %s)", (entity, len(records)))
        for record in records:
            source, _, source_id = record.partition(":")
            defaults = {"method": "url", "confidence": 0.95, "keys": b"", "decided_by": "rule"}
            given = {"source": source, "source_id": source_id, "entity_id": entity, **defaults, **columns}
            values = ", ".join(f"%({name})s" for name in given)
            self.connection.execute(f"INSERT INTO entity_link ({', '.join(given)}) VALUES ({values})", given)
        return entity


@pytest.fixture
def seed(database_url: str) -> Seed:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Seed(connection)


SELECTED = re.compile(rb"C\x00\x00\x00.SELECT [0-9]+\x00", re.DOTALL)
"""What PostgreSQL says at the end of a SELECT."""


class Wire:
    """Stands between us and the server: carries bytes, until it is frozen (accepts, never answers) or cut.

    `selects` is how many SELECTs were answered.
    """

    def __init__(self, url: str) -> None:
        given = conninfo_to_dict(url)
        self.host = str(given.get("host", "localhost"))
        self.port_there = str(given.get("port", 5432))
        self.login = f"{quote(str(given.get('user', 'postgres')))}:{quote(str(given.get('password', '')))}"
        self.database = given["dbname"]
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.selects = 0

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def url(self) -> str:
        port = self.server.sockets[0].getsockname()[1]
        return f"postgresql://{self.login}@127.0.0.1:{port}/{self.database}"

    def freeze(self) -> None:
        self.flowing.clear()

    async def cut(self) -> None:
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if self.host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.port_there}")
        else:
            there = await asyncio.open_connection(self.host, int(self.port_there))
        try:
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            there[1].close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self.flowing.wait()
            self.selects += len(SELECTED.findall(chunk))
            writer.write(chunk)
            await writer.drain()
        writer.close()


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with Wire(database_url) as opened:
        yield opened
