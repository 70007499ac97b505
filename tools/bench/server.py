"""The PostgreSQL that everything is written into: databases to clone and drop, and its own accounts of what was done."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.processes import read_postmaster_file

EMPTY = "template0"
MIGRATED = "bench_template"
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01
PROC = Path("/proc")
# proc_pid_stat(5), counted from the state, which is the first field behind the name in brackets.
PARENT, USER, SYSTEM, USER_OF_DEAD, SYSTEM_OF_DEAD = 1, 11, 12, 13, 14


@dataclass(frozen=True, slots=True)
class Account:
    """What the server has done so far; two of them are a step."""

    cpu_seconds: float
    wal_bytes: int
    tuples: int
    """Inserted, updated and deleted rows of the tables that were asked about."""


class Server:
    def __init__(self, url: str, data_dir: Path) -> None:
        self.url = url
        self.data = Layout.within(data_dir).data

    @contextmanager
    def database(self, name: str, template: str) -> Iterator[str]:
        """A database of its own, dropped afterwards."""
        identifier = sql.Identifier(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template))
            )
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))

    def settle(self, url: str) -> None:
        """Leave the next step nothing to do that the one before has left over.

        Vacuumed and analysed is what autovacuum makes of the tables within a minute. A step that came in that minute would
        sometimes share the machine with it, and would write the hint bits of the step before.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            filled = connection.execute("SELECT 1 FROM pg_stat_user_tables WHERE n_tup_ins > 1000 LIMIT 1")
            if filled.fetchone():
                connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    def wait_until_left(self, url: str) -> None:
        """Until no client is connected to the database: only then everything it did is in the accounts."""
        name = urlsplit(url).path[1:]
        deadline = time.monotonic() + PATIENCE_SECONDS
        with psycopg.connect(self.url, autocommit=True) as connection:
            while connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' LIMIT 1",
                [name],
            ).fetchone():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"something is still connected to {name}")
                time.sleep(POLL_SECONDS)

    def account(self, url: str, tables: str) -> Account:
        """Of all tables of the database whose names match *tables*, a regular expression."""
        cpu_seconds = self.cpu_seconds()
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,"
                " coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint"
                " FROM pg_stat_user_tables WHERE relname ~ %s",
                [tables],
            ).fetchone()
        if row is None:
            raise LookupError("an aggregate without a row")
        return Account(cpu_seconds, *row)

    def cpu_seconds(self) -> float:
        """User and system time of every process of the server, those that have ended included. Without /proc, not a number."""
        postmaster = read_postmaster_file(self.data)
        if postmaster is None or not PROC.exists():
            return math.nan
        while True:
            dead, living = ended(postmaster.pid), alive(postmaster.pid)
            # One that ended in between is in neither.
            if ended(postmaster.pid) == dead:
                return (dead + living) / os.sysconf("SC_CLK_TCK")


def ended(parent: int) -> int:
    """Clock ticks of the children that have ended and were waited for."""
    fields = stat(parent) or []
    return sum(map(int, fields[USER_OF_DEAD : SYSTEM_OF_DEAD + 1]))


def alive(parent: int) -> int:
    """Clock ticks of a process and its children, those included that nobody has waited for yet."""
    ticks = 0
    for pid in [int(entry.name) for entry in PROC.glob("[0-9]*")]:
        fields = stat(pid)
        if fields and (pid == parent or int(fields[PARENT]) == parent):
            ticks += int(fields[USER]) + int(fields[SYSTEM])
    return ticks


def stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat behind the name; None when there is no such process any more."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
