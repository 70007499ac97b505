"""Commands that only look, at upstreams that misbehave: they write nothing, say what is wrong, and show no secret."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cli_process import Kasparro
from integration.hostile.house import source, things
from integration.hostile.test_hostile_answers import BOMB, body, status
from integration.hostile.test_hostile_secrets import CANARY, SPELLINGS, echoes
from integration.hostile.upstream import Answer, Raw, Script, said, serving

LOOKING = {
    "check": ("sources", "check", "things"),
    "preview": ("sources", "preview", "things", "-n", "5"),
    "dry run": ("ingest", "things", "--dry-run"),
}
BAD: dict[str, tuple[Script, str]] = {
    "HTML": (lambda _: body("<html>Log in</html>", "text/html"), "not"),
    "an error with 200": (lambda _: body('{"error": "no"}'), "complains"),
    "no answer": (lambda _: Raw(reset=True), "connection"),
    "500": (lambda _: status(500), "500"),
    "404": (lambda _: status(404), "404"),
    "a bomb": (lambda _: body(BOMB, "application/json", ("Content-Encoding", "gzip")), "expands"),
    "cut": (lambda _: said({"items": things(1)}).but(cut=8), "cut off"),
    "a redirect away": (lambda _: status(302, ("Location", "http://169.254.169.254/")), "not the declared origin"),
    "the credential in a 401": (echoes(401), "401"),
    "the credential in a 400": (echoes(400), "400"),
    "the credential in HTML": (lambda a: Answer(a.headers["authorization"].encode(), kind="text/html"), "text/html"),
    "a next link away": (lambda _: said({"items": things(1), "next": "http://evil.invalid/"}), "evil.invalid"),
}  # fmt: skip


def written(url: str) -> list[tuple[str, str]]:
    """All rows there are."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return [
            (table, str(row))
            for (table,) in tables.fetchall()
            for row in connection.execute(
                sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
            ).fetchall()
        ]


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("how", LOOKING)
def test_looking_at_what_is_broken(database_url: str, tmp_path: Path, how: str, what: str):
    script, says = BAD[what]
    kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url, "SECRET": CANARY})
    before = written(database_url)
    with serving(script) as upstream:
        keys_ = 'auth: {type: bearer, token: "${SECRET}"}\npagination: {type: next_url, path: next}'
        kasparro.catalog(source(f"{upstream.url}/things", keys_))
        ended = kasparro.run(*LOOKING[how])
    shown = ended.stdout + ended.stderr

    assert (ended.returncode, says in shown) == (1, True), shown
    assert upstream.asked
    assert "Traceback" not in shown
    assert [spelling for spelling in SPELLINGS if spelling in shown] == []
    assert written(database_url) == before
