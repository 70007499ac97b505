"""What a snapshot source no longer shows, as everybody sees it who asks over HTTP: gone, told once, and new when it is back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from integration.api_server import serve as serve_upstream
from kasparro.schemas.ingest import RunStatus
from kasparro.services.ingestion import Request
from kasparro.storage import snapshots
from live_api import serving
from sse_client import stream

pytestmark = pytest.mark.anyio

CATALOG = """
sources:
  shop:
    type: api
    url: {url}/items
    pagination: {{type: page, param: page, start: 1}}
    retry: {{attempts: 1}}
    snapshot: true
    search: true
    map: {{title: name}}
"""
PAGE = 2
PATIENCE = 60


@dataclass
class Shop:
    """An API that shows records in pages of two; page `failing` is not shown."""

    shown: list[dict[str, Any]] = field(default_factory=list)
    failing: int | None = None

    def show(self, *numbers: int, name: str = "first") -> None:
        self.shown = [{"id": number, "name": f"{name} {number}"} for number in numbers]

    async def answer(self, request: web.Request) -> web.Response:
        page = int(request.query["page"])
        if page == self.failing:
            return web.Response(status=403)
        records = self.shown[(page - 1) * PAGE : page * PAGE]
        return web.Response(text=json.dumps(records), content_type="application/json")


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
async def catalog(shop, tmp_path: Path):
    path = tmp_path / "kasparro.yaml"
    async with serve_upstream(shop.answer) as api:
        path.write_text(CATALOG.format(url=api.url))
        yield path


@pytest.fixture
async def load(service, shop, monkeypatch):
    """Lets the shop show some records, and ingests it; deletions come two keys at a time."""
    monkeypatch.setattr(snapshots, "WINDOW", 2)

    async def run(*numbers, name="first", status=RunStatus.SUCCESS, **more):
        shop.show(*numbers, name=name)
        report = await service.runtime.ingestion.ingest_as("shop", Request(**more))
        assert report.status is status, report.error
        return report

    return run


async def follow(client, since=None, limit=2):
    """All that has changed since *since*, page by page: operation, key and name; and where to go on."""
    told = []
    while True:
        query = f"limit={limit}" + (f"&since={since}" if since else "")
        answer = await client.get(f"/data/changes?{query}")
        assert answer.status_code == 200, answer.text
        told += [
            (change["op"], change["source_id"], change.get("record", {}).get("title"))
            for change in answer.json()["changes"]
        ]
        since = answer.json()["next_since"]
        if not answer.json()["more"]:
            return told, since


async def ids(client):
    """The dataset's own id of each record, by its key."""
    answer = await client.get("/data?limit=100")
    assert answer.status_code == 200, answer.text
    data = answer.json()
    assert data["total_count"] == len(data["data"])
    return {record["source_id"]: record["id"] for record in data["data"]}


async def test_a_deletion_is_told_once_to_who_asks_for_changes(client, load):
    await load(1, 2, 3, 4, 5)
    told, since = await follow(client)
    assert told == [("upsert", str(number), f"first {number}") for number in range(1, 6)]

    await load(1, 4)
    told, since = await follow(client, since, limit=1)
    assert told == [("delete", "2", None), ("delete", "3", None), ("delete", "5", None)]
    assert await follow(client, since) == ([], since)

    told, _ = await follow(client)
    assert [key for op, key, _ in told if op == "upsert"] == ["1", "4"]


async def test_who_asks_again_from_the_same_place_is_told_the_same(client, load):
    await load(1, 2, 3)
    _, since = await follow(client)
    await load(1)
    assert await follow(client, since) == await follow(client, since, limit=1)


async def test_a_follower_who_has_not_seen_everything_yet_is_told_what_went_meanwhile(client, load):
    await load(1, 2, 3, 4)
    first = (await client.get("/data/changes?limit=3")).json()
    await load(2, 4)
    told, _ = await follow(client, first["next_since"])
    assert [change["source_id"] for change in first["changes"]] == ["1", "2", "3"]
    assert told == [("upsert", "4", "first 4"), ("delete", "1", None), ("delete", "3", None)]


async def test_a_stream_hears_of_deletions_as_they_happen(service, load):
    await load(1, 2, 3)
    async with serving(service) as port, stream(port, "/data/stream?since=now") as opened:
        await opened.opening()
        await load(2)
        with anyio.fail_after(PATIENCE):
            events = [await opened.event() for _ in range(2)]
    assert [(name, event["source"], event["source_id"]) for name, event in events] == [
        ("delete", "shop", "1"),
        ("delete", "shop", "3"),
    ]
    assert [event["version"] for _, event in events] == sorted(event["version"] for _, event in events)


async def test_a_stream_that_breaks_after_each_event_tells_each_deletion_once(service, load):
    await load(*range(1, 9))
    last_id, told = None, []
    async with serving(service) as port:

        async def hear(count):
            nonlocal last_id
            for _ in range(count):
                async with stream(port, last_id=last_id) as opened:
                    with anyio.fail_after(PATIENCE):
                        name, event = await opened.event()
                    told.append((name, event["source_id"]))
                    last_id = opened.last_id

        await hear(8)
        await load(2, 3, 7)
        await hear(5)
        await load(1, 2, 3, 7, 9)
        await hear(2)
        await load(2, 3, 7)
        await hear(2)
    assert told[8:13] == [("delete", key) for key in "14568"]
    assert sorted(told[13:15]) == [("upsert", "1"), ("upsert", "9")]
    assert sorted(told[15:]) == [("delete", "1"), ("delete", "9")]


async def test_a_deleted_record_is_found_nowhere(client, load):
    await load(1, 2, 3)
    before = await ids(client)
    gone = before["2"]
    assert (await client.get(f"/data/{gone}")).status_code == 200
    await load(1, 3)

    for path in (f"/data/{gone}", f"/data/{gone}/lineage"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert await ids(client) == {key: number for key, number in before.items() if key != "2"}
    for query in ("q=first", "title[in]=first%201,first%202,first%203"):
        answer = await client.get(f"/data?{query}")
        assert answer.status_code == 200, answer.text
        assert [record["source_id"] for record in answer.json()["data"]] == ["1", "3"], query
    exported = (await client.get("/data/export?format=ndjson")).text.splitlines()
    assert [json.loads(line)["source_id"] for line in exported] == ["1", "3"]


@pytest.mark.parametrize("name", ["first", "second"], ids=["as it was", "changed"])
async def test_a_record_that_comes_back_is_inserted_again(client, load, name):
    await load(1, 2)
    before = await ids(client)
    await load(1)
    _, since = await follow(client)
    report = await load(1, 2) if name == "first" else None
    if report is None:
        await load(1)
        report = await load(1, 2, name=name)
    now = await ids(client)

    assert report.counters.inserted == 1
    assert now["2"] > before["2"]
    assert ("upsert", "2", f"{name} 2") in (await follow(client, since))[0]
    assert (await client.get(f"/data/{before['2']}")).status_code == 404
    lineage = (await client.get(f"/data/{now['2']}/lineage")).json()
    assert lineage["fields"]["title"]["path"] == "name"


async def test_a_fetch_that_failed_is_told_to_nobody(client, load, shop):
    await load(1, 2, 3, 4)
    _, since = await follow(client)
    shop.failing = 2
    await load(1, 2, status=RunStatus.FAILED)
    assert await follow(client, since) == ([], since)
    assert len(await ids(client)) == 4

    shop.failing = None
    await load(1, 2, full=True)
    assert (await follow(client, since))[0] == [("delete", "3", None), ("delete", "4", None)]
