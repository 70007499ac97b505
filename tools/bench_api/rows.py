"""The rows that are served: a seeded CSV file, ingested as users would, with search; a second one to be loaded meanwhile."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from bench import product
from bench.generated import COLUMNS, generated

SOURCE: Final = """  {name}:
    type: csv
    path: {name}.csv
    key: id
    search: {search}
    map: {{title: name, author: owner, published_at: created_at, category: kind, description: tags}}
"""
FIELDS: Final = ("title", "description", "content", "author", "published_at", "url", "category")


def prepare(folder: Path, url: str, rows: int, more: int) -> None:
    """Fill the database at *url* with *rows* records of the source `records`. `more`: another, not loaded yet."""
    write(folder / "records.csv", generated(rows))
    write(folder / "more.csv", generated(more, start=rows))
    sources = SOURCE.format(name="records", search="true") + SOURCE.format(name="more", search="false")
    (folder / "kasparro.yaml").write_text(f"sources:\n{sources}")
    product.ingest(folder, url, {"inserted": rows}, "records")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def write(path: Path, rows: Iterator[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def to_sqlite(url: str, path: Path) -> None:
    """The same rows as Datasette serves them: a column for each field, indexed as ours are."""
    columns = ("id", "source", "source_id", *FIELDS, "metadata", "created_at", "updated_at")
    fields = ", ".join(f"data->>'{name}'" for name in (*FIELDS, "metadata"))
    query = f"SELECT id, source, source_id, {fields}, created_at::text, updated_at::text FROM normalized_data"
    with sqlite3.connect(path) as target, psycopg.connect(url) as source:
        target.execute(f"CREATE TABLE records (id INTEGER PRIMARY KEY, {', '.join(columns[1:])})")
        marks = ", ".join("?" * len(columns))
        with source.cursor(name="rows") as cursor:
            cursor.itersize = 20_000
            target.executemany(f"INSERT INTO records VALUES ({marks})", _rows(cursor, query))
        target.execute("CREATE INDEX records_source_id ON records (source, id)")
        target.execute("ANALYZE")


def _rows(cursor: Any, query: str) -> Iterator[tuple[Any, ...]]:
    cursor.execute(query)
    yield from cursor
