"""The connection to PostgreSQL: one URL, one pool, a deadline on every call, one place that names its errors.

`Database` is made by `runtime`, used by `storage`. Foreign errors leave it translated by `core.database_errors`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg
from psycopg.abc import PQGen

from kasparro.core.config import Settings
from kasparro.core.database_errors import translated
from kasparro.core.database_time import METER
from kasparro.core.embedded import EmbeddedPostgres, Keeper
from kasparro.core.errors import ConfigurationError, SchemaMismatch
from kasparro.core.pool import Pool
from kasparro.core.this_process import process_name

RV = TypeVar("RV")

MINIMUM_SERVER = 150000
"""PostgreSQL 15, as libpq numbers versions."""

CONNECT_SECONDS = 5
SEND_BUFFER = 1 << 20
"""With the 208 kB that are usual, a server that is given rows has nothing to do whenever we are late by a millisecond."""
GRACE_SECONDS = 2.0
"""How much longer than the server's statement timeout we wait before we hang up ourselves."""


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database: DATABASE_URL, else the embedded server, kept running as long as the context lasts."""
    if settings.database_url is not None:
        yield plain_url(settings.database_url.get_secret_value())
        return
    if settings.kasparro_data_dir is None and not settings.kasparro_config.expanduser().exists():
        raise ConfigurationError(
            f"{settings.kasparro_config} does not exist, and the embedded database lives beside it",
            hint="Run this in the folder of your catalog, or set KASPARRO_CONFIG, KASPARRO_DATA_DIR or DATABASE_URL",
        )
    with EmbeddedPostgres(settings.data_dir) as server, Keeper(server):
        yield server.url


def plain_url(url: str) -> str:
    """Strip a driver (`postgresql+asyncpg://`), so that every spelling in use reaches libpq."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError("DATABASE_URL: must start with postgresql://")
    return f"postgresql://{rest}"


def shown_url(url: str) -> str:
    """The URL without its password, for people."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections of one kind of work behave; times in seconds."""

    size: int = 20
    overflow: int = 10
    checkout: float = 2.0
    statement: float = 10.0
    lock: float = 5.0
    idle: float | None = None
    """How long a transaction may wait for its client; as long as two statements when left out."""
    name: str = "kasparro"
    ping_after: float = 1.0
    """A connection that rested for longer is asked for a sign of life before it is used."""
    send_buffer: int | None = None
    """Bytes the kernel may hold for the server; left out, as many as it likes."""

    @classmethod
    def for_reading(cls, settings: Settings) -> PoolOptions:
        return cls(
            size=settings.db_pool_size,
            overflow=settings.db_max_overflow,
            checkout=settings.db_pool_timeout_seconds,
            statement=settings.db_statement_timeout_seconds,
            lock=settings.db_lock_timeout_seconds,
            name="kasparro-api",
        )

    @classmethod
    def for_versions(cls, settings: Settings) -> PoolOptions:
        """One, for a question that every read begins with: answers that are kept need no other."""
        return cls(
            size=1,
            overflow=0,
            checkout=settings.db_pool_timeout_seconds,
            statement=settings.db_statement_timeout_seconds,
            lock=settings.db_lock_timeout_seconds,
            name="kasparro-versions",
        )

    @classmethod
    def for_exporting(cls, settings: Settings) -> PoolOptions:
        """A few, and whoever comes when they are busy is told at once; each may take its time."""
        return cls(
            size=0,
            overflow=settings.export_concurrency,
            checkout=0.1,
            statement=settings.export_timeout_seconds,
            lock=settings.db_lock_timeout_seconds,
            name="kasparro-export",
        )

    @classmethod
    def for_ingesting(cls, settings: Settings) -> PoolOptions:
        """A pool of its own: slow reads cannot starve a load, nor a load the reads."""
        return cls(
            size=4,
            overflow=settings.db_max_overflow,
            checkout=30.0,
            statement=max(60.0, settings.db_statement_timeout_seconds),
            lock=settings.db_lock_timeout_seconds,
            idle=30.0,  # a frozen process must not keep others from the lease of its source for longer than that
            name="kasparro-ingest",
            send_buffer=SEND_BUFFER,
        )


class DeadlineConnection(psycopg.AsyncConnection[Any]):
    """A connection that hangs up when the server does not answer in time.

    `statement_timeout` is the server's promise, and a frozen server does not keep it (nor do TCP keepalives notice): every
    wait for it, pre-ping and rollback included, ends at our own deadline.
    """

    deadline: float = 15.0

    async def wait(  # the signature is psycopg's
        self,
        gen: PQGen[RV],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109  # likewise
    ) -> RV:
        try:
            return await super().wait(gen, interval, self.deadline if timeout is None else timeout)
        except pg._WaitTimeout as error:  # noqa: SLF001  # psycopg raises no public equivalent
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise pg.OperationalError(f"no answer from the server within {self.deadline:g} s") from error


class Database:
    """A pool of connections to one database."""

    def __init__(self, url: str, options: PoolOptions | None = None) -> None:
        self.url = url
        self.options = options or PoolOptions()
        self.deadline = self.options.statement + GRACE_SECONDS
        """Seconds after which we hang up on a server that does not answer."""
        self.pool = Pool(self._connect, self.options.size, self.options.overflow, self.options.ping_after)

    async def _connect(self) -> DeadlineConnection:
        connection = await DeadlineConnection.connect(
            self.url,
            autocommit=True,  # transactions are begun by `driver_transaction`; a read of one statement needs none
            connect_timeout=CONNECT_SECONDS,
            application_name=f"{self.options.name} {process_name()}",
        )
        connection.deadline = self.deadline
        if self.options.send_buffer is not None:
            with socket.socket(fileno=os.dup(connection.fileno())) as found:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
        try:
            await self._configure(connection)
        except BaseException:  # cancelled as well: nobody else knows of this connection yet
            await connection.close()
            raise
        return connection

    async def _configure(self, connection: DeadlineConnection) -> None:
        if connection.info.server_version < MINIMUM_SERVER:
            raise SchemaMismatch(
                f"the server is PostgreSQL {connection.info.server_version // 10000}",
                hint="Kasparro needs PostgreSQL 15 or newer",
            )
        milliseconds = {
            "statement_timeout": self.options.statement,
            "lock_timeout": self.options.lock,
            "idle_in_transaction_session_timeout": self.options.idle or self.options.statement * 2,
        }
        settings = {name: f"{int(value * 1000)}ms" for name, value in milliseconds.items()} | {
            "timezone": "UTC",
            "jit": "off",  # what is asked here takes milliseconds, and compiling it takes tens of them
        }
        await connection.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS u (name, value)",
            (list(settings), list(settings.values())),
        )

    @asynccontextmanager
    async def driver_transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection inside a transaction; commits when the block ends well."""
        with translated(), METER.get():
            async with self.pool.connection(self.options.checkout) as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection on which each statement stands for itself: one round trip where a transaction takes three."""
        with translated(), METER.get():
            async with self.pool.connection(self.options.checkout) as connection:
                yield connection

    async def close(self) -> None:
        await self.pool.close()
