"""What every command begins with: the settings read, logging configured, secrets known, the catalog read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from kasparro.core.config import Settings, load_settings
from kasparro.core.database import Database, PoolOptions
from kasparro.core.etl_config import Catalog, SourceDeclaration, load_catalog
from kasparro.core.logging_config import configure_logging
from kasparro.core.redaction import register_secret, register_secrets
from kasparro.runtime import Runtime, open_runtime
from kasparro.storage import schema


def begin(context: typer.Context, **overrides: object) -> Settings:
    """Read the settings; *overrides* are this command's options, which win where they were given.

    Raises ConfigurationError.
    """
    config: Path | None = context.obj
    settings = load_settings(kasparro_config=config, **overrides)
    configure_logging(settings.log_level, settings.log_format)
    register_secrets(settings)
    for key in settings.api_keys:
        register_secret(key)
    return settings


def read_catalog(settings: Settings, environ: Mapping[str, str] | None = None) -> Catalog:
    """The declared sources, their secrets known to the logs. Raises ConfigurationError."""
    catalog = load_catalog(settings.kasparro_config, environ)
    register_secrets(catalog)
    return catalog


def chosen(catalog: Catalog, names: list[str]) -> list[SourceDeclaration]:
    """The sources of these names, each once; without names all that are enabled.

    Raises ConfigurationError for a name that is not declared, with the nearest one that is.
    """
    if names:
        return [catalog.source(name) for name in dict.fromkeys(names)]
    return [source for source in catalog.sources.values() if source.enabled]


@asynccontextmanager
async def migrated(settings: Settings, url: str) -> AsyncIterator[Database]:
    """The database, for commands that need no catalog."""
    await (schema.upgrade(url) if is_embedded(settings) else schema.check(url))
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


def is_embedded(settings: Settings) -> bool:
    return settings.database_url is None
