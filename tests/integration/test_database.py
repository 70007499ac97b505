"""The connection: deadlines that hold against a frozen server, and errors by what to do about them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager

import pytest

from ingest_kit import rows
from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions, plain_url, shown_url
from kasparro.core.database import database_url as database_url_of
from kasparro.core.errors import (
    ConfigurationError,
    DatabaseTimeout,
    DatabaseUnavailable,
    RecordRefused,
    SchemaMismatch,
    StorageError,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url):
    found = Database(database_url, PoolOptions(size=1, overflow=0, checkout=0.2, statement=0.5, lock=0.3))
    yield found
    await found.close()


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT pg_sleep(30)", DatabaseTimeout),
        ('SELECT \'{"a": "\\u0000"}\'::jsonb', RecordRefused),
        ("SELECT 1 FROM there_is_no_such_table", SchemaMismatch),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseUnavailable),
        ("SELECT 1/0", RecordRefused),
        ("SELEC", StorageError),
    ],
)
async def test_errors_are_sorted_by_what_to_do_about_them(database, statement, error):
    with pytest.raises(error):
        await rows(database, statement)
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_a_busy_pool_is_refused_at_the_checkout_deadline(database):
    async with database.driver_transaction():
        with pytest.raises(DatabaseUnavailable, match="busy"):
            await rows(database, "SELECT 1")


@contextmanager
def frozen(pid: int):
    """Stop a server process. `statement_timeout` is the server's promise, and a stopped one does not keep it."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except OSError:
        pytest.skip("the server's processes are not ours to stop")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_server_that_freezes_in_a_transaction_ends_at_our_own_deadline(database):
    async def ask_a_frozen_server():
        async with database.driver_transaction() as connection:
            cursor = await connection.execute("SELECT pg_backend_pid()")
            ((pid,),) = await cursor.fetchall()
            with frozen(pid):
                await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable, match="no answer"):
        await ask_a_frozen_server()
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_a_connection_that_froze_in_the_pool_is_replaced_at_the_deadline(database_url):
    database = Database(database_url, PoolOptions(size=1, overflow=0, statement=0.5, ping_after=0.0))
    ((pid,),) = await rows(database, "SELECT pg_backend_pid()")
    with frozen(pid):
        assert await rows(database, "SELECT pg_backend_pid()") != [(pid,)]
    await database.close()


async def test_the_connection_used_last_goes_out_first_and_the_rest_is_closed_beyond_the_size(database_url):
    database = Database(database_url, PoolOptions(size=1, overflow=1))
    async with database.driver_transaction() as first, database.driver_transaction() as second:
        assert first is not second
        assert database.pool.in_use == database.pool.limit == 2
    assert not second.closed  # it came back first and is the one that is kept
    assert first.closed
    async with database.driver_transaction() as again:
        assert again is second
    await database.close()
    assert second.closed
    assert database.pool.in_use == 0


async def test_a_connection_left_in_a_transaction_is_not_used_again(database):
    ((pid,),) = await rows(database, "SELECT pg_backend_pid()")
    async with database.pool.connection(1.0) as connection:
        await connection.execute("BEGIN")
    assert connection.closed
    assert await rows(database, "SELECT pg_backend_pid()") != [(pid,)]


async def test_who_waits_for_a_connection_gets_the_next_that_is_free(database):
    waiting = None
    async with database.driver_transaction():
        waiting = asyncio.create_task(rows(database, "SELECT 1"))
        await asyncio.sleep(0)
        assert database.pool.waiting == 1
    assert await waiting == [(1,)]
    assert database.pool.waiting == 0


async def test_one_that_is_cancelled_while_waiting_takes_no_place(database):
    async with database.driver_transaction():
        waiting = asyncio.create_task(rows(database, "SELECT 1"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await rows(database, "SELECT 1") == [(1,)]
    assert (database.pool.in_use, database.pool.waiting) == (0, 0)


async def test_a_connection_that_died_in_the_pool_is_replaced_unseen(database, database_url):
    ((pid,),) = await rows(database, "SELECT pg_backend_pid()")
    other = Database(database_url, PoolOptions(size=1))
    await rows(other, f"SELECT pg_terminate_backend({pid}, 5000)")
    await other.close()
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_every_connection_has_its_timeouts_and_utc_and_compiles_nothing(database):
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone", "jit")
    assert await rows(database, "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)) == [
        ("500ms", "300ms", "1s", "UTC", "off")
    ]


async def test_an_address_nobody_listens_on_is_unavailable():
    database = Database("postgresql://nobody@127.0.0.1:1/none", PoolOptions(size=1))
    with pytest.raises(DatabaseUnavailable):
        await rows(database, "SELECT 1")
    await database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_usual_spelling_of_the_url_is_understood(scheme):
    assert plain_url(f"{scheme}://u:p@h/d?sslmode=require") == "postgresql://u:p@h/d?sslmode=require"


@pytest.mark.parametrize("url", ["mysql://h/d", "h/d", ""])
def test_another_url_is_refused(url):
    with pytest.raises(ConfigurationError):
        plain_url(url)


def test_a_shown_url_has_no_password():
    assert shown_url("postgresql://u:secret@h:5/d") == "postgresql://u:***@h:5/d"
    assert shown_url("postgresql://u@/d?host=/run") == "postgresql://u@/d?host=/run"


def test_the_embedded_database_lives_beside_the_catalog(tmp_path):
    settings = Settings(_env_file=None, kasparro_config=tmp_path / "kasparro.yaml")

    assert settings.data_dir == tmp_path / ".kasparro"
    with pytest.raises(ConfigurationError, match="does not exist"), database_url_of(settings):
        pass
    assert not settings.data_dir.exists()
