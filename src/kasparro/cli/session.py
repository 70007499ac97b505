"""What every command begins with: the settings read, logging configured, secrets known, the catalog read.

Nothing here imports the database: commands that need none start in half the time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import typer

from kasparro.core.config import Settings, load_settings
from kasparro.core.etl_config import Catalog, SourceDeclaration, load_catalog
from kasparro.core.logging_config import configure_logging
from kasparro.core.redaction import register_secret, register_secrets


def begin(context: typer.Context, **overrides: object) -> Settings:
    """Read the settings; *overrides* are this command's options, which win where they were given.

    Raises ConfigurationError.
    """
    config: Path | None = context.obj
    settings = load_settings(kasparro_config=config, **overrides)
    set_up(settings)
    return settings


def set_up(settings: Settings) -> None:
    """Configure the logs of this process, which never show a secret of *settings*."""
    configure_logging(settings.log_level, settings.log_format)
    register_secrets(settings)
    for key in settings.api_keys:
        register_secret(key)


def give_way(settings: Settings) -> None:
    """Let others have the processor first: who reads waits for milliseconds, who loads for minutes.

    It holds for the threads and processes that are started from now on, so the embedded database has to be there already.
    """
    os.nice(settings.etl_nice)


def read_catalog(settings: Settings, environ: Mapping[str, str] | None = None) -> Catalog:
    """The declared sources, their secrets known to the logs. Raises ConfigurationError."""
    catalog = load_catalog(settings.kasparro_config, environ).with_timeout(settings.api_timeout)
    register_secrets(catalog)
    return catalog


def chosen(catalog: Catalog, names: list[str]) -> list[SourceDeclaration]:
    """The sources of these names, each once; without names all that are enabled.

    Raises ConfigurationError for a name that is not declared, with the nearest one that is.
    """
    if names:
        return [catalog.source(name) for name in dict.fromkeys(names)]
    return [source for source in catalog.sources.values() if source.enabled]


def is_embedded(settings: Settings) -> bool:
    return settings.database_url is None
