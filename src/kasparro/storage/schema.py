"""The database schema: bring it up to date, say which one it is. Alembic does the work.

Revisions are the numbers at the front of the files in `migrations/versions`; a test holds them against Alembic's own. Alembic and
SQLAlchemy are loaded only when there is something to migrate: they would take a third of the start of every command.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from kasparro.core.database_errors import translated
from kasparro.core.errors import SchemaMismatch

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x6B617370  # "kasp": one migrator at a time, whoever starts first
CURRENT = "SELECT version_num FROM alembic_version"
TABLE_EXISTS = "SELECT to_regclass('alembic_version') IS NOT NULL"


def revisions() -> list[str]:
    """The revisions this version knows, oldest first."""
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def newest_revision() -> str:
    known = revisions()
    if not known:
        raise SchemaMismatch("the installation holds no migrations", hint="Install Kasparro again")
    return known[-1]


async def upgrade(url: str) -> str:
    """Bring the database at *url* to the newest schema, in one transaction, and return its revision."""
    newest = newest_revision()
    if await current_revision(url) != newest:
        await asyncio.to_thread(_upgrade, url)
    return newest


def _upgrade(url: str) -> None:
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_engine("postgresql+psycopg://" + url.partition("://")[2], poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with translated():
        try:
            with engine.begin() as connection:
                driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
                driver.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                _refuse_newer(driver)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DBAPIError as error:
            raise error.orig or error from error


async def current_revision(url: str) -> str | None:
    """The revision the database is at; `None` when it has never been migrated."""

    def read() -> str | None:
        with translated(), psycopg.connect(url) as connection:
            return _revision(connection)

    return await asyncio.to_thread(read)


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    exists = connection.execute(TABLE_EXISTS).fetchone()
    row = connection.execute(CURRENT).fetchone() if exists and exists[0] else None
    return str(row[0]) if row else None


async def check(url: str) -> None:
    """Raise `SchemaMismatch` unless the database is at the newest revision."""
    current, newest = await current_revision(url), newest_revision()
    if current != newest:
        raise SchemaMismatch(
            f"the database is at revision {current or 'none'}, this version needs {newest}",
            hint="Run: kasparro db upgrade",
        )


def _refuse_newer(connection: psycopg.Connection[Any]) -> None:
    revision = _revision(connection)
    if revision is not None and revision not in revisions():
        raise SchemaMismatch(
            f"the database is at revision {revision}, which this version does not know",
            hint="A newer Kasparro has migrated it; use that version",
        )
