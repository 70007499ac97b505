"""The schema: models and migrations agree, and an upgrade can be repeated, raced, refused and killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from kasparro.core import deletion_models, search_models  # noqa: F401  # their tables are among those of Base
from kasparro.core.errors import SchemaMismatch, StorageError
from kasparro.core.models import Base
from kasparro.storage import schema

UPGRADE = """
import asyncio, sys
from kasparro.storage import schema
asyncio.run(schema.upgrade(sys.argv[1]))
"""

WAITING_FOR_THE_LOCK = """
FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted
"""


def differences(url: str) -> list[object]:
    """What Alembic would have to change to make the database what the models say."""
    engine = create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": is_ours}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def is_ours(name, kind, _parents):
    return not (kind == "table" and str(name).startswith(("procrastinate_", "alembic_")))


def relations(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {name for (name,) in found}


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


@contextmanager
def schema_lock_held(url: str) -> Iterator[psycopg.Connection]:
    """Whoever wants to migrate waits here, with its transaction open."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [schema.LOCK])
        yield connection


def wait_until(connection: psycopg.Connection, condition: str) -> None:
    deadline = time.monotonic() + 30
    while not connection.execute(f"SELECT {condition}").fetchone()[0]:
        assert time.monotonic() < deadline, condition
        threading.Event().wait(0.01)


def test_models_and_migrations_agree(database_url):
    assert differences(database_url) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE etl_run DROP COLUMN heartbeat",
        "ALTER TABLE normalized_data ALTER COLUMN version TYPE integer",
        "ALTER TABLE quarantine ALTER COLUMN place DROP NOT NULL",
        "DROP INDEX normalized_data_source_id_idx",
        "ALTER TABLE raw_data_csv DROP CONSTRAINT raw_data_csv_source_external_id_key",
        "CREATE TABLE left_behind (id int)",
    ],
)
def test_a_difference_between_models_and_migrations_is_found(database_url, change):
    execute(database_url, change)

    assert differences(database_url)


def test_every_check_of_the_models_is_in_the_database(database_url):
    """Alembic does not compare these."""
    declared = {
        c.name for t in Base.metadata.tables.values() for c in t.constraints if c.name.endswith("_check")
    }

    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid::regclass::text ~ '^(?!procrastinate_)' AND connamespace = 'public'::regnamespace"
        )
        assert {name for (name,) in found} == declared


def test_the_job_queue_has_the_tables_of_the_installed_version(database_url, empty_database_url):
    execute(empty_database_url, SchemaManager.get_schema())

    ours = {name for name in relations(database_url) if name.startswith("procrastinate_")}
    assert ours == {name for name in relations(empty_database_url) if name.startswith("procrastinate_")}
    assert "procrastinate_jobs" in ours


@pytest.mark.anyio
async def test_an_upgrade_makes_the_newest_schema_of_an_empty_database(empty_database_url):
    assert await schema.current_revision(empty_database_url) is None

    assert await schema.upgrade(empty_database_url) == schema.newest_revision()

    assert await schema.current_revision(empty_database_url) == schema.newest_revision()
    await schema.check(empty_database_url)


def test_revisions_are_those_of_alembic():
    scripts = ScriptDirectory(str(schema.MIGRATIONS))

    assert schema.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert schema.newest_revision() == scripts.get_current_head()


@pytest.mark.anyio
async def test_an_upgrade_that_was_done_changes_nothing(database_url):
    execute(database_url, "INSERT INTO etl_totals (source) VALUES ('kept')")
    before = relations(database_url)

    await schema.upgrade(database_url)

    assert relations(database_url) == before
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT source FROM etl_totals").fetchall() == [("kept",)]


def test_of_upgrades_at_once_all_succeed(empty_database_url):
    """Held back until all of them wait, in processes of their own."""
    with schema_lock_held(empty_database_url) as holder:
        migrators = [subprocess.Popen([sys.executable, "-c", UPGRADE, empty_database_url]) for _ in range(3)]
        wait_until(holder, f"3 = (SELECT count(*) {WAITING_FOR_THE_LOCK})")

    assert [migrator.wait() for migrator in migrators] == [0, 0, 0]
    assert differences(empty_database_url) == []


@pytest.mark.anyio
@pytest.mark.parametrize("call", [schema.upgrade, schema.check])
async def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_url, call):
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaMismatch, match="9999") as caught:
        await call(database_url)

    assert caught.value.hint
    assert await schema.current_revision(database_url) == "9999"


@pytest.mark.anyio
async def test_a_database_that_was_never_migrated_is_told_what_to_do(empty_database_url):
    with pytest.raises(SchemaMismatch, match="revision none") as caught:
        await schema.check(empty_database_url)

    assert "kasparro db upgrade" in str(caught.value)
    assert relations(empty_database_url) == set()


@pytest.mark.anyio
async def test_a_migration_that_fails_leaves_nothing_half_made(empty_database_url):
    """The last table of the first migration is in the way: everything before it has been made by then."""
    execute(empty_database_url, "CREATE TABLE normalized_data (in_the_way int)")

    with pytest.raises(StorageError, match="normalized_data"):
        await schema.upgrade(empty_database_url)

    assert relations(empty_database_url) == {"normalized_data"}
    execute(empty_database_url, "DROP TABLE normalized_data")
    await schema.upgrade(empty_database_url)
    assert differences(empty_database_url) == []


def test_a_migrator_that_is_killed_leaves_nothing_half_made(empty_database_url):
    """It is killed with its tables made and not committed: something else holds what the migration needs last."""
    with (
        psycopg.connect(empty_database_url) as blocker,
        psycopg.connect(empty_database_url, autocommit=True) as watcher,
    ):
        blocker.execute("CREATE TABLE procrastinate_jobs (in_the_way int)")
        migrator = subprocess.Popen([sys.executable, "-c", UPGRADE, empty_database_url])
        wait_until(
            watcher,
            "EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE a.datname = current_database() AND NOT l.granted AND l.locktype = 'transactionid')",
        )
        migrator.kill()
        migrator.wait()
        blocker.rollback()
        wait_until(
            watcher,
            "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            f" AND pid <> {blocker.info.backend_pid} AND backend_type = 'client backend')",
        )

    assert relations(empty_database_url) == set()
    asyncio.run(schema.upgrade(empty_database_url))
    assert differences(empty_database_url) == []
