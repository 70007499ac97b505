"""Values that somebody would send who wants a statement to mean something else, and PostgreSQL's log as the witness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

HOSTILE = [
    *(
        "'",
        '"',
        "''",
        "\\",
        "\\'",
        "`",
        ";",
        "--",
        "/*",
        "*/",
        "$$",
        "$1",
        "%",
        "%%",
        "%s",
        "%(v0)s",
        "{}",
        "{0}",
        "()",
        "(",
        ")",
    ),
    *(
        "' OR 1=1--",
        "'; DROP TABLE normalized_data;--",
        "1; SELECT pg_sleep(5)",
        "') UNION SELECT * FROM etl_run--",
    ),
    *(
        "E'\\x41'",
        "U&'\\0041'",
        "\\x27",
        "%27",
        "%00",
        "\u2019",
        "\uff07",
        "\u02bc",
        "\u02bc OR 1=1",
        "\u0000",
        "\U0001f600",
    ),
    *(
        "__regex",
        "$where",
        "$ne",
        '{"$gt":""}',
        "a->>'b'",
        "a' #>> '{b}",
        "{a,b}",
        '{"a"}',
        "NULL",
        "null",
        "true",
        "NaN",
        "Infinity",
    ),
    *(
        "(a+)+$",
        "a" * 900 + "!",
        "_" * 50,
        "*",
        "a:*",
        "a & b | !c",
        "<->",
        "'a' <-> 'b'",
        ":*",
        "!",
        '"',
        '""',
        'a" or "b',
        "-",
    ),
    *(
        "1e309",
        "-0",
        "9" * 300,
        "0x41",
        "1_000",
        "\u0661",
        "2024-13-45",
        "now()",
        "'infinity'::timestamptz",
        "epoch",
        "today",
    ),
    *(
        "\r\nX-Injected: 1",
        "\u2028",
        "\x1b[31m",
        "\x02mark\x03",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "${HOME}",
        "{{7*7}}",
    ),
]


def server_log(connection: psycopg.Connection) -> Path | None:
    """The log of the embedded test server; there is none to read when the tests run on a real one."""
    (data,) = connection.execute("SHOW data_directory").fetchone()
    log = Path(data).with_name("server.log")
    return log if log.exists() else None


@contextmanager
def errors_in_the_log(connection: psycopg.Connection) -> Iterator[list[str]]:
    """What the backends of this database had to complain about meanwhile; filled at the end."""
    log = server_log(connection)
    start = log.stat().st_size if log else 0
    errors: list[str] = []
    yield errors
    if log is None:
        return
    pids = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    ).fetchall()
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    errors += [line for line in lines if " ERROR: " in line and any(f"[{pid}]" in line for (pid,) in pids)]
