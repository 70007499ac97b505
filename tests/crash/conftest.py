"""What crash tests ask for: the sources they read, and databases that hold the first generation already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from conftest import new_database
from crash import audit, points
from crash.oracle import Oracle, small
from crash.scene import Scene, Upstream, first_loaded, serving


def pytest_report_header() -> str:
    return f"crash points: {'all' if points.ALL else 'a sample'}, seed {points.SEED}"


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with serving() as api:
        yield api


@pytest.fixture(scope="session")
def planned() -> Oracle:
    return small()


@pytest.fixture(scope="session")
def first_generation(
    postgres_server: str,
    template: str,
    planned: Oracle,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    """Templates to clone, one for each type of source: migrated, audited, the first generation loaded."""
    folder = tmp_path_factory.mktemp("first")
    made = {
        kind: first_loaded(postgres_server, template, Scene("", kind, planned, folder, upstream))
        for kind in ("api", "csv")
    }
    yield made
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made.values():
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def scenes(
    postgres_server: str,
    first_generation: dict[str, str],
    planned: Oracle,
    upstream: Upstream,
    tmp_path: Path,
) -> Iterator[Any]:
    """Makes a `Scene` of a type of source: its database and files are this test's own."""
    opened = []

    def make(kind: str) -> Scene:
        database = new_database(postgres_server, first_generation[kind])
        opened.append(database)
        scene = Scene(next(database), kind, planned, tmp_path, upstream)
        scene.publish()
        return scene

    yield make
    for database in opened:
        next(database, None)


@pytest.fixture
def bare_scene(
    postgres_server: str, template: str, upstream: Upstream, tmp_path: Path, planned: Oracle
) -> Iterator[Any]:
    """A `Scene` whose database has only the schema and the audit."""
    database = new_database(postgres_server, template)
    scene = Scene(next(database), "stream", Oracle(planned.rows), tmp_path, upstream)
    with psycopg.connect(scene.url, autocommit=True) as connection:
        audit.install(connection)
    yield scene
    next(database, None)
