"""The examples of docs/api.md for GET /data are what somebody will try first: every one of them works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from kasparro.services.query_text import parse_query
from kasparro.storage.query_page import page_statement

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SECTION = PAGE.split("\n## GET /data\n")[1].split("\n## GET ")[0]
COMMANDS = re.findall(r"^(?:\$ )?(curl .*)$", SECTION, re.MULTILINE)
INDEXES = re.findall(r"^CREATE INDEX CONCURRENTLY .*;$", SECTION, re.MULTILINE)
CATALOG = """
sources:
  faa_airports: {type: csv, path: airports.csv, key: faa, search: true, map: {title: name, category: "const:airport"}}
"""
AIRPORTS = """faa,name,alt,tz
06C,Schaumburg Regional,801,-6
06N,Randall Airport,523,-5
SIT,Sitka Rocky Gutierrez International,21,-9
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "airports.csv").write_text(AIRPORTS)
    path = tmp_path / "kasparro.yaml"
    path.write_text(CATALOG)
    return path


def request_of(command: str) -> str:
    """The address that a curl command asks."""
    words = shlex.split(command)[1:]
    address, parameters = "", []
    while words:
        word = words.pop(0)
        if word == "--data-urlencode":
            name, _, value = words.pop(0).partition("=")
            parameters.append(f"{name}={quote(value)}")
        elif word == "-d":
            parameters.append(words.pop(0))
        elif not word.startswith("-"):
            address = word
    asked = urlsplit(address)
    return f"{asked.path}?{'&'.join([asked.query, *parameters]).strip('&')}"


async def test_every_command_of_the_documentation_works(service):
    await service.runtime.ingestion.ingest("faa_airports")

    assert len(COMMANDS) > 12
    for command in COMMANDS:
        answer = await service.client.get(request_of(command))
        assert answer.status_code == 200, (command, answer.text)


async def test_what_the_documentation_says_is_found_is_found(service):
    await service.runtime.ingestion.ingest("faa_airports")
    client = service.client

    async def titles(query: str) -> list[str]:
        return [record["title"] for record in (await client.get(f"/data?{query}")).json()["data"]]

    assert await titles("metadata.alt[between]=500,1000") == ["Schaumburg Regional", "Randall Airport"]
    assert await titles("sort=-metadata.alt&limit=1") == ["Schaumburg Regional"]
    assert await titles("q=Schaumberg") == ["Schaumburg Regional"]
    found = (await client.get("/data?q=schaumburg&fields=title")).json()["data"]
    assert found == [
        {"title": "Schaumburg Regional", "highlight": {"title": "<mark>Schaumburg</mark> Regional"}}
    ]
    sparse = (await client.get("/data?fields=id,title,metadata.alt&limit=1")).json()["data"]
    assert sparse == [{"id": 1, "title": "Schaumburg Regional", "metadata.alt": "801"}]


async def test_the_indexes_of_the_documentation_are_used(service, seed):
    seed.connection.execute(
        """
        INSERT INTO normalized_data (source, source_id, data, version)
        SELECT 'many', n, jsonb_build_object('category', 'c' || n % 500, 'published_at', '2024-01-01T00:00:' || lpad((n % 60)::text, 2, '0') || 'Z'), 1
        FROM generate_series(1, 20000) AS n
        """
    )
    assert len(INDEXES) == 2
    for statement in INDEXES:
        seed.connection.execute(statement)
    seed.connection.execute("ANALYZE")

    for query, index in (
        ("sort=-published_at", "normalized_data_coalesce_id_idx"),
        ("published_at[gt]=2024-01-01T00:00:58Z", "normalized_data_coalesce_id_idx"),
        ("category=c7", "normalized_data_expr_id_idx"),
    ):
        statement = page_statement(parse_query([tuple(query.split("=", 1))]))
        cursor = psycopg.ClientCursor(seed.connection)
        plan = cursor.execute(f"EXPLAIN {statement.text}", statement.values).fetchall()
        assert any(index in line for (line,) in plan), (query, plan)
        assert (await service.client.get(f"/data?{query}")).json()["data"]
