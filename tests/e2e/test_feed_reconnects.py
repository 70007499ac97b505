"""Followers whose connections are cut again and again, at any byte, keep copies that are the dataset: against `kasparro serve` as a
process, while eight writers insert, change and delete.

KASPARRO_FEED_RECONNECTS=20000 cuts more often, KASPARRO_FEED_SEED draws other places.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httptools
import pytest

from cli_process import CSV, PATIENCE, Kasparro
from ingest_kit import MemorySource, api_declaration, ingest, rows, writer
from kasparro.core.database import Database
from kasparro.schemas.changes import Place
from kasparro.schemas.ingest import RunStatus
from kasparro.services.change_text import parse_stream
from kasparro.services.feed_cursor import read_position

pytestmark = pytest.mark.anyio

RECONNECTS = int(os.environ.get("KASPARRO_FEED_RECONNECTS", "1000"))
SEED = int(os.environ.get("KASPARRO_FEED_SEED", "1"))
SOURCES = [f"source_{letter}" for letter in "abcdefgh"]
KEYS = range(30)
FOLLOWED = ["", "", "", "", "title=same", "source=source_c"]
"""What each follower asks for."""
ANEW = 0.02
"""How often a follower begins from nothing."""
CHECKED = 0.3
"""How often a copy is held against the dataset while that goes on."""

Records = dict[tuple[str, str], tuple[int, str]]
"""Version and title by source and key."""


@pytest.fixture
def port(tmp_path: Path, database_url: str) -> Iterator[int]:
    kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url})
    kasparro.catalog(CSV.format(name="unused"))
    with kasparro.start("serve") as process:
        listening = next(
            entry for entry in map(json.loads, process.stderr) if entry["event"] == "api.listening"
        )
        log = threading.Thread(target=process.stderr.read)  # a full pipe would stop the server
        log.start()
        yield int(listening["url"].rpartition(":")[2])
        process.terminate()
        process.wait(PATIENCE)
        log.join()


@dataclass
class Copy:
    """What one follower has been told: it knows every rule of the feed, and objects to what breaks one."""

    asked: str
    records: Records = field(default_factory=dict)
    seen: set[tuple[str, int, int]] = field(default_factory=set)
    places: dict[str, Place] = field(default_factory=dict)
    last_id: str | None = None
    deleted: int = 0

    def begin_anew(self) -> None:
        self.records, self.seen, self.places, self.last_id = {}, set(), {}, None

    def take(self, block: str) -> None:
        """One event, or an id alone."""
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "id" not in fields:
            return
        query = parse_stream(parse_qsl(self.asked), None).query
        places = dict(read_position(fields["id"], query, "id").places)
        if "data" in fields:
            self._take_event(json.loads(fields["data"]), places)
        assert all(behind(place, self.places.get(source)) for source, place in places.items())
        self.places, self.last_id = places, fields["id"]

    def _take_event(self, event: dict, places: dict[str, Place]) -> None:
        source, version, number = event["source"], event["version"], event["id"]
        place = places[source]
        assert place.id == number
        assert version <= place.version if place.walking else version == place.version
        assert place != self.places.get(source), "told again"
        assert (source, number, version) not in self.seen, "told twice"
        self.seen.add((source, number, version))
        key = (source, event["source_id"])
        if event["op"] == "delete":
            self.deleted += self.records.pop(key, None) is not None
        else:
            assert event["op"] == "upsert"
            self.records[key] = (version, event["record"]["title"])

    def is_at(self, heads: dict[str, int]) -> bool:
        """Whether it has been told everything up to these versions."""
        return all(
            source in self.places and self.places[source] == Place(self.places[source].epoch, version)
            for source, version in heads.items()
            if self.asked in {"", "title=same", f"source={source}"}
        )


def behind(place: Place, other: Place | None) -> bool:
    """Whether *place* is where *other* was, or further in the order of commits."""
    return other is None or order(place) >= order(other)


def order(place: Place) -> tuple[int, bool, float]:
    """A walk through the records as of a version comes before what changed afterwards."""
    return place.version, not place.walking, float("inf") if place.id is None else place.id


@dataclass
class Connection:
    """One stream of *copy*."""

    copy: Copy
    body: bytes = b""

    async def follow(self, port: int, most: float, enough: Callable[[], bool]) -> None:
        """Until *enough*, or until *most* bytes have come, the head of the answer included."""
        parser = httptools.HttpResponseParser(self)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        resume = f"Last-Event-ID: {self.copy.last_id}\r\n" if self.copy.last_id else ""
        writer.write(
            f"GET /data/stream?{self.copy.asked} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode()
        )
        try:
            while most > 0 and not enough():
                data = await reader.read(int(min(most, 65536)))
                assert data, "the server hung up"
                most -= len(data)
                parser.feed_data(data)
                *blocks, self.body = self.body.split(b"\n\n")
                for block in blocks:
                    self.copy.take(block.decode())
        finally:
            writer.transport.abort()

    def on_body(self, data: bytes) -> None:
        self.body += data


@dataclass
class Cuts:
    """How many are left for all followers, and how many were within an event."""

    left: int
    within: int = 0


async def follow(port: int, db: Database, copy: Copy, cuts: Cuts, chance: random.Random) -> None:
    while cuts.left > 0:
        cuts.left -= 1
        if chance.random() < ANEW:
            copy.begin_anew()
        connection = Connection(copy)
        most = chance.randint(*chance.choice([(1, 1_500), (500, 8_000), (4_000, 24_000)]))
        await connection.follow(port, most, lambda: False)
        cuts.within += bool(connection.body)
        if chance.random() < CHECKED:
            check(copy, *await dataset(db))


async def write(db: Database, name: str, over: asyncio.Event) -> None:
    """Fetches of a few batches: what they show is inserted or changed, what they do not show is deleted."""
    chance = random.Random(f"{SEED} {name}")
    turn = 0
    while not over.is_set():
        turn += 1
        shown = chance.sample(KEYS, chance.randint(len(KEYS) * 2 // 3, len(KEYS)))
        await fetch(
            db, name, [{"id": key, "title": chance.choice(["same", "same", str(turn)])} for key in shown]
        )


async def fetch(db: Database, name: str, records: list[dict[str, Any]]) -> None:
    pages = [records[at : at + 7] for at in range(0, len(records), 7)]
    report = await ingest(db, MemorySource(pages), api_declaration(name, snapshot=True), batch=7)
    assert report.status is RunStatus.SUCCESS


async def dataset(db: Database) -> tuple[Records, dict[tuple[str, str], int]]:
    """The records, and the version at which each changed last or left."""
    found = await rows(
        db,
        "SELECT source, source_id, version, data ->> 'title', false FROM normalized_data UNION ALL "
        "SELECT source, source_id, version, NULL, true FROM tombstone",
    )
    moved: dict[tuple[str, str], int] = {}
    for source, key, version, _, _ in found:
        moved[source, key] = max(version, moved.get((source, key), 0))
    return {(one[0], one[1]): (one[2], one[3]) for one in found if not one[4]}, moved


def check(copy: Copy, records: Records, moved: dict[tuple[str, str], int]) -> None:
    """Of each source that is told up to a version, the copy has what did not change since; what else it has did."""
    for source, place in copy.places.items():
        if place.walking or place.id is not None:
            continue
        own = {key: record for key, record in copy.records.items() if key[0] == source}
        settled = {
            key: record
            for key, record in wanted(copy, records).items()
            if key[0] == source and record[0] <= place.version
        }
        assert settled.items() <= own.items(), "lost"
        assert all(moved[key] > place.version for key in own.keys() - settled.keys()), "not told that it left"


def wanted(copy: Copy, records: Records) -> Records:
    name, _, value = copy.asked.partition("=")
    if name == "source":
        return {key: record for key, record in records.items() if key[0] == value}
    if name == "title":
        return {key: record for key, record in records.items() if record[1] == value}
    return records


async def test_no_cut_loses_or_doubles_an_event_while_eight_write(port, database_url):
    copies = [Copy(asked) for asked in FOLLOWED]
    cuts, over = Cuts(RECONNECTS), asyncio.Event()
    async with writer(database_url) as one, writer(database_url) as other:
        for name in SOURCES:
            await fetch(one, name, [{"id": key, "title": "same"} for key in KEYS])
        async with asyncio.TaskGroup() as writing:
            for number, name in enumerate(SOURCES):
                writing.create_task(write([one, other][number % 2], name, over))
            chances = [random.Random(f"{SEED} {number}") for number in range(len(copies))]
            await asyncio.gather(
                *(follow(port, one, copy, cuts, chance) for copy, chance in zip(copies, chances, strict=True))
            )
            over.set()

        heads = dict(await rows(one, "SELECT source, version FROM etl_checkpoint"))
        records, _ = await dataset(one)
    for copy in copies:
        async with asyncio.timeout(PATIENCE):
            await Connection(copy).follow(port, float("inf"), partial(copy.is_at, heads))
        assert copy.records == wanted(copy, records)
    assert sum(copy.deleted for copy in copies) > 0
    assert cuts.within > RECONNECTS / 4
    assert min(heads.values()) > 10
