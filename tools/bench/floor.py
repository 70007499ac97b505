"""The floor: the same final rows put into the same tables with the same indexes, with nothing to parse, hash or validate."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.measuring import Ran

TABLES = ("raw_data_csv", "normalized_data")
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Floor:
    """The final rows of each table in a file, as a binary COPY wants them.

    In files, because what this process holds in memory would slow down the start of every other.
    """

    files: Sequence[Path]

    @classmethod
    def prepared(cls, url: str, folder: Path) -> Floor:
        """From a database where they were ingested."""
        with psycopg.connect(url) as connection:
            return cls([copied_out(connection, table, folder / f"{table}.copy") for table in TABLES])

    def run(self, url: str) -> Ran:
        """One COPY each, in one transaction."""
        with psycopg.connect(url) as connection:
            started, cpu = time.perf_counter(), cpu_seconds()
            with connection.transaction():
                for table, file in zip(TABLES, self.files, strict=True):
                    copy_in(connection, table, file)
            return Ran(time.perf_counter() - started, cpu_seconds() - cpu)


def copy_in(connection: psycopg.Connection, table: str, content: Path) -> None:
    command = statement(connection, table, "FROM STDIN")
    with connection.cursor() as cursor, content.open("rb") as rows, cursor.copy(command) as copy:
        while chunk := rows.read(CHUNK):
            copy.write(chunk)


def copied_out(connection: psycopg.Connection, table: str, target: Path) -> Path:
    with connection.cursor() as cursor, cursor.copy(statement(connection, table, "TO STDOUT")) as copy:
        with target.open("wb") as file:
            file.writelines(copy)
        return target


def statement(connection: psycopg.Connection, table: str, direction: str) -> sql.Composed:
    """COPY of every column but the id, which the sequence gives, as it does when Kasparro writes."""
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' AND attname <> 'id' ORDER BY attnum",
        [table],
    )
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
    template = "COPY {} ({}) " + direction + " (FORMAT binary)"
    return sql.SQL(template).format(sql.Identifier(table), columns)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
