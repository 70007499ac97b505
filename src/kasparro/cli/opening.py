"""What commands work on: the whole runtime, or the database alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from kasparro.cli.session import is_embedded
from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions
from kasparro.core.redaction import register_secrets
from kasparro.runtime import Runtime, open_runtime
from kasparro.storage import schema


def not_made_yet(settings: Settings) -> Path | None:
    """The embedded database's directory, when no command has made it yet: looking must not make it."""
    directory = settings.data_dir / "postgres" / "data"
    return directory if is_embedded(settings) and not (directory / "PG_VERSION").exists() else None


@asynccontextmanager
async def migrated(settings: Settings, url: str, *, migrate: bool | None = None) -> AsyncIterator[Database]:
    """The database, for commands that need no catalog. *migrate* as in `runtime_for`."""
    migrate = is_embedded(settings) if migrate is None else migrate
    await (schema.upgrade(url) if migrate else schema.check(url))
    database = Database(url, PoolOptions(size=1, overflow=3, name="kasparro-cli"))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def runtime_for(
    settings: Settings, url: str, *, migrate: bool | None = None, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Runtime]:
    """Everything there is. Unless *migrate* says otherwise, the schema of a server that others may be using is left alone.

    Raises ConfigurationError, SchemaMismatch, DatabaseUnavailable.
    """
    migrate = is_embedded(settings) if migrate is None else migrate
    async with open_runtime(settings, url, migrate=migrate, environ=environ) as runtime:
        register_secrets(runtime.catalog)
        yield runtime
