"""The database schema: bring it up to date, say which one it is. Alembic does the work."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from kasparro.core.database import translated
from kasparro.core.errors import SchemaMismatch

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x6B617370  # "kasp": one migrator at a time, whoever starts first


def newest_revision() -> str:
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if head is None:
        raise SchemaMismatch("the installation holds no migrations", hint="Install Kasparro again")
    return head


async def upgrade(url: str) -> str:
    """Bring the database at *url* to the newest schema, in one transaction, and return its revision."""
    return await asyncio.to_thread(_upgrade, url)


def _upgrade(url: str) -> str:
    with translated(), _engine(url).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        _refuse_newer(_current(connection))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return newest_revision()


async def current_revision(url: str) -> str | None:
    """The revision the database is at; `None` when it has never been migrated."""

    def read() -> str | None:
        with translated(), _engine(url).connect() as connection:
            return _current(connection)

    return await asyncio.to_thread(read)


async def check(url: str) -> None:
    """Raise `SchemaMismatch` unless the database is at the newest revision."""
    current, newest = await current_revision(url), newest_revision()
    if current != newest:
        raise SchemaMismatch(
            f"the database is at revision {current or 'none'}, this version needs {newest}",
            hint="Run: kasparro db upgrade",
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaMismatch(
            f"the database is at revision {revision}, which this version does not know",
            hint="A newer Kasparro has migrated it; use that version",
        )


def _engine(url: str) -> Engine:
    return create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
