"""What `doctor` looks at: each check takes what it needs and returns findings, which are values."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kasparro import __version__
from kasparro.cli.opening import not_made_yet
from kasparro.cli.session import is_embedded, read_catalog
from kasparro.core.config import Settings
from kasparro.core.database import Database, PoolOptions, database_url, shown_url
from kasparro.core.embedded.binaries import find_binaries
from kasparro.core.errors import ConfigurationError, KasparroError
from kasparro.core.etl_config import Catalog
from kasparro.core.http_server import base_url, listen
from kasparro.storage import schema
from kasparro.storage.diagnostics import Diagnostics, ServerFacts

GIBIBYTE: Final = 1 << 30
LITTLE_SPACE: Final = 1 * GIBIBYTE
MINIMUM_PYTHON: Final = (3, 11)
RESERVED: Final = 10
"""Connections beside the API's pool: those of ingestion, the queue and the server's own reserve."""


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `hint` says what to do unless all is well."""

    check: str
    verdict: Verdict
    detail: str
    hint: str | None = None


def failed(check: str, error: KasparroError) -> Finding:
    return Finding(check, Verdict.FAIL, error.message, error.hint)


def judged(check: str, detail: str, *, well: bool, hint: str, verdict: Verdict = Verdict.FAIL) -> Finding:
    return Finding(check, Verdict.OK, detail) if well else Finding(check, verdict, detail, hint)


def installation() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info >= MINIMUM_PYTHON
    yield judged(
        "python", f"{version}, Kasparro {__version__}", well=well, hint="Python 3.11 or newer is needed"
    )


def catalog(settings: Settings) -> Iterator[Finding]:
    """Whether it parses, and whether the variables of each source are there."""
    try:
        found = read_catalog(settings)
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("catalog", Verdict.FAIL, str(problem), error.hint)
        return
    enabled = sum(source.enabled for source in found.sources.values())
    yield Finding("catalog", Verdict.OK, f"{found.path}: {len(found.sources)} sources, {enabled} enabled")
    yield from _secrets(found)


def _secrets(found: Catalog) -> Iterator[Finding]:
    for name, problems in found.incomplete.items():
        for problem in problems:
            hint = "Set it before you enable the source"
            yield Finding("secrets", Verdict.WARN, f"source {name!r} is disabled: {problem}", hint)
    if not found.incomplete:
        yield Finding("secrets", Verdict.OK, "every variable the catalog names is set")


def data_directory(settings: Settings) -> Iterator[Finding]:
    """Where the embedded server keeps its data: nothing to check where another is used."""
    if not is_embedded(settings):
        return
    directory = settings.data_dir
    nearest = next(place for place in (directory, *directory.parents) if place.exists())
    yield judged(
        "data directory",
        str(directory),
        well=nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK),
        hint=f"{nearest} cannot be written: choose another with KASPARRO_DATA_DIR",
    )
    free = shutil.disk_usage(nearest).free
    yield judged(
        "disk",
        f"{free / GIBIBYTE:.1f} GiB free",
        well=free >= LITTLE_SPACE,
        hint="PostgreSQL stops when its disk is full: make room, or choose another KASPARRO_DATA_DIR",
        verdict=Verdict.WARN,
    )


def port(settings: Settings) -> Iterator[Finding]:
    try:
        with listen(settings.host, settings.port) as listener:
            yield Finding("port", Verdict.OK, f"{base_url(listener)} is free")
    except KasparroError as error:
        yield Finding(
            "port", Verdict.WARN, error.message, "If it is not Kasparro that uses it: " + str(error.hint)
        )


async def database(settings: Settings) -> list[Finding]:
    """Whether it can be reached, is at the right revision, and keeps what it confirms."""
    if not_made_yet(settings):
        found = find_binaries(os.environ)
        made = f"embedded PostgreSQL {found.major}, made by the first command that needs it"
        return [Finding("database", Verdict.OK, made)]
    with database_url(settings) as url:
        pool = Database(url, PoolOptions(size=1, overflow=0))
        try:
            facts = await Diagnostics(pool).server()
            revision = await schema.current_revision(url)
        finally:
            await pool.close()
    size = f"{facts.size / GIBIBYTE:.2f} GiB"
    reached = Finding("database", Verdict.OK, f"PostgreSQL {facts.version} at {shown_url(url)}, {size}")
    return [reached, _revision(settings, revision), *_promises(settings, facts)]


def _revision(settings: Settings, revision: str | None) -> Finding:
    newest = schema.newest_revision()
    return judged(
        "schema",
        f"at revision {revision or 'none'}, newest is {newest}",
        well=revision == newest,
        hint="Run: kasparro db upgrade",
        verdict=Verdict.WARN if is_embedded(settings) else Verdict.FAIL,
    )


def _promises(settings: Settings, facts: ServerFacts) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        on = bool(getattr(facts, name))
        hint = f"A crash of the machine can corrupt the database: set {name} = on"
        yield judged(
            "durability", f"{name} is {'on' if on else 'off'}", well=on, hint=hint, verdict=Verdict.WARN
        )
    yield judged(
        "durability",
        f"synchronous_commit is {facts.synchronous_commit}",
        well=facts.synchronous_commit != "off",
        hint="A crash can lose the last confirmed batches, which are then fetched again: set synchronous_commit = on",
        verdict=Verdict.WARN,
    )
    wanted = (settings.db_pool_size + settings.db_max_overflow + RESERVED) * settings.serve_workers
    who = "one process" if settings.serve_workers == 1 else f"{settings.serve_workers} workers"
    yield judged(
        "connections",
        f"max_connections is {facts.max_connections}, {who} may want {wanted}",
        well=facts.max_connections >= wanted,
        hint="Raise max_connections, or lower DB_POOL_SIZE, DB_MAX_OVERFLOW or SERVE_WORKERS",
        verdict=Verdict.WARN,
    )
    if facts.read_only:
        yield Finding("database", Verdict.FAIL, "it is read-only", "Point DATABASE_URL at the primary server")


Check = Callable[[Settings], Iterator[Finding]]
CHECKS: Final[tuple[Check, ...]] = (catalog, data_directory, port)
