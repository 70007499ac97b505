"""What PostgreSQL itself can do with the statement of a page: asked by pgbench, on as many connections as the API is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg
from bench.measuring import tell

from kasparro.core.embedded.binaries import find_binaries
from kasparro.schemas.query import SearchMode
from kasparro.services.query_text import parse_query
from kasparro.storage.query_page import page_statement

RATE: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
CONNECTIONS: Final = 16
SCRIPT: Final = """\\if :prepared = 0
PREPARE page AS {statement};
\\set prepared 1
\\endif
EXECUTE page;
"""
"""pgbench would take a colon within a text for a variable, were it to prepare the statement itself."""


def by_pgbench(folder: Path, url: str, limit: int, seconds: float) -> float | None:
    """How often a second the server answers the statement behind `/data?source=records&limit=`; None without pgbench."""
    program = find_binaries(os.environ).directory / "pgbench"
    if not program.exists():
        tell(f"there is no {program}: the statement by itself is left out")
        return None
    script = folder / "page.sql"
    statement = page_statement(parse_query([("source", "records"), ("limit", str(limit))]), SearchMode.WORDS)
    with psycopg.connect(url) as connection:
        text = psycopg.ClientCursor(connection).mogrify(statement.text, statement.values)
    script.write_text(SCRIPT.format(statement=" ".join(text.split())))
    options = ["-n", "-D", "prepared=0", "-c", str(CONNECTIONS), "-T", str(max(1, round(seconds)))]
    done = subprocess.run(  # noqa: S603  # the server's own
        [str(program), *options, "-f", str(script), url], capture_output=True, text=True, check=False
    )
    rate = RATE.search(done.stdout)
    if done.returncode or rate is None:
        sys.exit(f"bench: pgbench cannot ask\n{done.stderr[-2000:]}")
    return float(rate[1])
