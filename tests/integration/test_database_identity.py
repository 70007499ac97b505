"""A database is told from all others."""

from __future__ import annotations

import os

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kasparro.core.database import Database, PoolOptions
from kasparro.storage.dataset import Dataset

pytestmark = pytest.mark.anyio


async def test_a_database_is_told_from_its_neighbours_also_where_little_may_be_asked(
    database_url, postgres_server
):
    role = f"plain_{os.getpid()}"
    urls = [database_url, postgres_server, make_conninfo(database_url, options=f"-c role={role}")]
    one, other, plain = databases = [Database(url, PoolOptions(size=1, overflow=0)) for url in urls]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public")
        try:
            names = [await Dataset(database).identity() for database in (one, other, plain, one)]
        finally:
            connection.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO public")
            for database in databases:
                await database.close()
            connection.execute(f"DROP ROLE {role}")

    assert len(set(names)) == 3
    assert names[0] == names[3]
