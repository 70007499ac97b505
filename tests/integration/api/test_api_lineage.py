"""What a record was made from: fields, raw record, place, run, map."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kasparro.schemas.lineage import Lineage

pytestmark = pytest.mark.anyio

CSV = 'id,name,n,when,note\n1,"Zoë, ""the"" first",07,2024-01-31,x\n2,,8,2024-02-01,\n3,c,9,someday,y\n'
CATALOG = """
sources:
  table:
    type: csv
    path: table.csv
    key: id
    map:
      title: [name, id]
      author: {{path: n, as: text}}
      published_at: {{path: when, as: date}}
      category: const:row
      url: {{path: link, default: "https://example.org/"}}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text(CSV)
    path = tmp_path / "kasparro.yaml"
    path.write_text(CATALOG.replace("{{", "{").replace("}}", "}"))
    return path


@pytest.fixture
async def table(service):
    report = await service.runtime.ingestion.ingest("table")
    assert (report.counters.inserted, report.counters.failed) == (2, 1)
    return service


@asynccontextmanager
async def serve_bytes(body: bytes) -> AsyncIterator[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/items", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def lineage(client, number: int = 1) -> dict:
    answer = await client.get(f"/data/{number}/lineage")
    assert answer.status_code == 200, answer.text
    Lineage.model_validate_json(answer.content, strict=True)
    return answer.json()


async def test_each_field_is_led_back_to_the_raw_record(table):
    first, second = await lineage(table.client, 1), await lineage(table.client, 2)

    assert {name: (f["how"], f["path"], f["converted"]) for name, f in first["fields"].items()} == {
        "title": ("path", "name", False),
        "description": ("nothing", None, False),
        "content": ("nothing", None, False),
        "author": ("path", "n", False),
        "published_at": ("path", "when", True),
        "url": ("default", None, False),
        "category": ("constant", None, False),
        "metadata": ("rest", None, False),
    }
    assert first["fields"]["metadata"]["names"] == ["id", "when", "note"]
    assert second["fields"]["title"]["path"] == "id"


async def test_the_raw_record_its_place_and_its_run_are_named(table, seed):
    found = await lineage(table.client)
    stored = seed.connection.execute(
        "SELECT id, encode(payload_hash, 'hex'), run_id FROM raw_data_csv WHERE external_id = '1'"
    ).fetchone()

    assert (found["source"], found["source_id"], found["declared"], found["version"]) == (
        "table",
        "1",
        True,
        1,
    )
    raw = found["raw"]
    assert (raw["id"], raw["payload_hash"], raw["external_id"], raw["processed"]) == (*stored[:2], "1", True)
    assert raw["place"] == {"kind": "csv", "file": "table.csv", "line": 2, **place_of(CSV, 1)}
    assert (found["run"]["run_id"], found["run"]["status"]) == (stored[2], "partial")
    assert found["map"] == {"fingerprint": found["map"]["fingerprint"], "reproduces": True, "rejects": None}


def place_of(text: str, row: int) -> dict[str, int]:
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[:row]))
    return {"byte_start": start, "byte_end": start + len(lines[row])}


async def test_the_raw_record_is_served_as_it_was_received(table):
    answer = await table.client.get("/data/1/raw")

    assert answer.headers["content-type"] == "application/json"
    assert answer.text == '{"id":"1","name":"Zoë, \\"the\\" first","n":"07","when":"2024-01-31","note":"x"}'


async def test_a_record_of_an_api_leads_to_its_request_and_keeps_its_bytes(serve, catalog):
    text = b'{"b": 1.50, "id": 7, "id": 7, "a": {"deep": ["x"]},  "name": "\\u00e9"}'
    async with serve_bytes(b"[" + text + b"]") as url:
        catalog.write_text(
            "sources:\n  items:\n    type: api\n"
            f"    url: {url}/items\n    params: {{api_key: hunter2}}\n    key: id\n"
            "    map: {title: name, author: 'a.deep[0]', description: b}\n"
        )
        async with serve() as service:
            report = await service.runtime.ingestion.ingest("items")
            assert report.counters.inserted == 1
            found = await lineage(service.client)
            raw = await service.client.get("/data/1/raw")

    assert raw.content == text
    assert found["raw"]["place"]["kind"] == "api"
    assert found["raw"]["place"]["url"].startswith(f"{url}/items")
    assert "hunter2" not in json.dumps(found)
    assert {n: (f["path"], f["converted"]) for n, f in found["fields"].items() if f["how"] == "path"} == {
        "title": ("name", False),
        "author": ("a.deep[0]", False),
        "description": ("b", True),
    }


async def test_a_map_that_has_changed_since_is_told(table, serve, catalog):
    before = (await lineage(table.client))["map"]
    catalog.write_text(catalog.read_text().replace("[name, id]", "note"))

    async with serve() as service:
        after = await lineage(service.client)

    assert after["map"]["fingerprint"] != before["fingerprint"]
    assert after["map"]["reproduces"] is False
    assert after["fields"]["title"]["path"] == "note"


async def test_a_map_that_would_reject_the_record_says_why(table, serve, catalog):
    catalog.write_text(catalog.read_text().replace("{path: when, as: date}", "{path: when, as: '%d.%m.%Y'}"))

    async with serve() as service:
        found = await lineage(service.client)

    assert (found["fields"], found["map"]["reproduces"]) == (None, False)
    assert "when: is not written as %d.%m.%Y" in found["map"]["rejects"]


async def test_a_newer_raw_version_that_was_rejected_is_told(table, tmp_path):
    (tmp_path / "table.csv").write_text(CSV.replace("2024-01-31", "someday"))
    await table.runtime.ingestion.ingest("table")

    found = await lineage(table.client)

    assert found["raw"]["processed"] is False
    assert found["map"]["reproduces"] is False
    assert "2024-01-31" in (await table.client.get("/data/1")).text


async def test_of_a_source_that_is_no_longer_declared_the_rest_is_told(table, serve, catalog):
    catalog.write_text(catalog.read_text().replace("  table:", "  other:"))

    async with serve() as service:
        found = await lineage(service.client)
        raw = await service.client.get("/data/1/raw")

    assert (found["declared"], found["map"], found["fields"]) == (False, None, None)
    assert found["raw"]["place"]["line"] == 2
    assert found["run"]["status"] == "partial"
    assert raw.status_code == 200


async def test_a_record_whose_raw_record_or_run_is_gone_says_so(table, seed):
    seed.connection.execute("DELETE FROM etl_run")
    assert (await lineage(table.client))["run"] is None
    seed.connection.execute("DELETE FROM raw_data_csv")

    found = await lineage(table.client)

    assert (found["raw"], found["map"], found["fields"], found["declared"]) == (None, None, None, True)
    assert (await table.client.get("/data/1/raw")).json()["code"] == "not_found"


async def test_a_poisoned_record_has_a_lineage_too(table, seed):
    seed.connection.execute(f"UPDATE normalized_data SET data = '{'[' * 5000}{']' * 5000}' WHERE id = 1")

    assert (await lineage(table.client))["map"]["reproduces"] is False


@pytest.mark.parametrize("what", ["lineage", "raw"])
async def test_what_is_not_there_is_not_found(client, what):
    for number, status in (("7", 404), ("x", 422), ("0", 422)):
        answer = await client.get(f"/data/{number}/{what}")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get(f"/data/7/{what}?x=1")).status_code == 422
