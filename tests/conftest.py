"""Fixtures every test may ask for.

`database_url` is a fresh, migrated database of its own for each test, cloned from a template: on an embedded throwaway server shared
by all test processes, or on the real server named by KASPARRO_TEST_DATABASE_URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

from kasparro.core.embedded import EmbeddedPostgres, processes
from kasparro.storage import schema
from scratch import SCRATCH

TEMPLATE_LOCK = 0x6B617374
numbers = itertools.count(1)

hypothesis.settings.register_profile("kasparro", deadline=None, print_blob=True)
hypothesis.settings.load_profile("kasparro")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server on which the tests may make databases."""
    given = os.environ.get("KASPARRO_TEST_DATABASE_URL")
    if given:
        yield given
        return
    checkout = hashlib.sha256(f"{__file__} {os.getuid()}".encode()).hexdigest()[:10]
    with EmbeddedPostgres(SCRATCH / f"kasparro-tests-{checkout}", throwaway=True) as server:
        yield server.url


@pytest.fixture(scope="session")
def template(postgres_server: str) -> str:
    """The name of a migrated database to clone; made once for each state of the migrations."""
    files = sorted(schema.MIGRATIONS.rglob("*.[ps][yq]*"))
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:10]
    name = f"kasparro_template_{digest}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        drop_left_over_databases(connection)
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            half_made = f"{name}_half_made"
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(half_made)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(half_made)))
            asyncio.run(schema.upgrade(on_database(postgres_server, half_made)))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(half_made), sql.Identifier(name)
                )
            )
    return name


@pytest.fixture
def database_url(postgres_server: str, template: str) -> Iterator[str]:
    """A fresh, migrated database of this test's own."""
    yield from new_database(postgres_server, template)


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """A fresh database of this test's own, not migrated."""
    yield from new_database(postgres_server, "template0")


def new_database(server: str, template: str) -> Iterator[str]:
    name = sql.Identifier(f"kasparro_test_{os.getpid()}_{next(numbers)}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
    yield on_database(server, name.as_string().strip('"'))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def drop_left_over_databases(connection: psycopg.Connection) -> None:
    """Remove what test processes that were killed left behind."""
    for (name,) in connection.execute(
        "SELECT datname FROM pg_database WHERE datname LIKE 'kasparro\\_test\\_%'"
    ).fetchall():
        pid = int(name.split("_")[2])
        if not processes.exists(pid):
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def on_database(server: str, name: str) -> str:
    return urlsplit(server)._replace(path=f"/{name}").geturl()
