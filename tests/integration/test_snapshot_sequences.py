"""Any sequence of fetches of a snapshot source, whole ones and others, against a model of what may be there after each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from ingest_kit import MemorySource, api_declaration, ingest, one, rows, writer
from kasparro.core.database import Database
from kasparro.core.errors import PermanentSourceError, TransientSourceError
from kasparro.schemas.changes import ChangeOp, FeedPosition
from kasparro.schemas.ingest import RunReport, RunStatus
from kasparro.schemas.query import RecordQuery
from kasparro.storage import snapshots
from kasparro.storage.changes import Changes

pytestmark = pytest.mark.anyio

DECLARATION = api_declaration(snapshot=True, map={"title": "title"})
KEYS = range(1, 19)
"""Fewer than the guard against large deletions looks at."""
ROUNDS = 10
INVALID = ["a title is a text"]


@dataclass
class Fetch:
    """What one fetch shows: *valid* records, *invalid* ones that are rejected, and what else happens at a page."""

    valid: list[int]
    invalid: list[int]
    size: int
    event: str
    at: int
    titles: str

    @classmethod
    def drawn(cls, chance: random.Random) -> Fetch:
        shown = chance.sample(KEYS, chance.randint(0, len(KEYS)))
        invalid = [key for key in shown if chance.random() < 0.1]
        return cls(
            [key for key in shown if key not in invalid],
            invalid,
            chance.randint(1, 6),
            chance.choice(["whole", "whole", "whole", "hiccup", "broken", "nameless"]),
            chance.randint(0, 4),
            chance.choice("ab"),
        )

    def source(self) -> MemorySource:
        records = [{"id": key, "title": self.titles} for key in self.valid]
        records += [{"id": key, "title": INVALID} for key in self.invalid]
        pages: list[object] = [
            records[at : at + self.size] for at in range(0, max(1, len(records)), self.size)
        ]
        event = {
            "broken": PermanentSourceError("it broke"),
            "hiccup": TransientSourceError("a moment"),
            "nameless": [{"title": "which one?"}],
        }.get(self.event)
        if event is not None:
            pages.insert(min(self.at, len(pages) - 1), event)
        return MemorySource(pages)

    def proves(self, source: MemorySource, report: RunReport) -> bool:
        """Whether it saw all there is, from the beginning, and each record said which it is."""
        whole = source.asked_after[0] is None and self.event in {"whole", "hiccup"}
        return whole and report.status is not RunStatus.FAILED


@dataclass
class World:
    """The dataset, a model of it, and a follower of its feed."""

    db: Database
    model: set[int] = field(default_factory=set)
    followed: set[int] = field(default_factory=set)
    position: FeedPosition = field(default_factory=FeedPosition)
    proved: int = 0

    async def see(self, fetch: Fetch, chance: random.Random, *, full: bool) -> None:
        source = fetch.source()
        report = await ingest(self.db, source, DECLARATION, batch=chance.randint(1, 9), full=full)
        stored = await self.stored()
        if fetch.proves(source, report):
            assert stored == set(fetch.valid) | self.model & set(fetch.invalid)
            self.proved += 1
        else:
            assert self.model <= stored <= self.model | set(fetch.valid), (
                "it deleted what it did not prove absent"
            )
        self.model = stored
        await self.follow()
        assert self.followed == stored

    async def stored(self) -> set[int]:
        keys = {int(key) for (key,) in await rows(self.db, "SELECT source_id FROM normalized_data")}
        raw = "SELECT external_id FROM raw_data_api WHERE deleted_at IS NULL"
        assert keys <= {int(key) for (key,) in await rows(self.db, raw)}
        assert await one(self.db, "SELECT record_count FROM etl_checkpoint") == len(keys)
        return keys

    async def follow(self) -> None:
        changes, more, version = Changes(self.db), True, 0
        while more:
            changed = await changes.read(RecordQuery(), self.position, 4)
            for change in changed.changes:
                assert change.version >= version, "not in the order of the commits"
                key, version = int(change.source_id), change.version
                if change.op is ChangeOp.DELETE:
                    assert key in self.followed, "told again"
                    self.followed.remove(key)
                else:
                    self.followed.add(key)
            self.position, more = changed.after, changed.more


@pytest.fixture
async def world(database_url, monkeypatch):
    for name, few in {"WINDOW": 3, "SAMPLED": 2, "PART": 4, "GROUP": 1}.items():
        monkeypatch.setattr(snapshots, name, few)
    async with writer(database_url) as database:
        yield World(database)


@pytest.mark.parametrize("seed", range(2))
async def test_after_any_fetches_the_dataset_is_the_last_complete_one(world, seed):
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        await world.see(Fetch.drawn(chance), chance, full=chance.random() < 0.3)
    last = Fetch(chance.sample(KEYS, 9), [], 4, "whole", 0, "c")
    await world.see(last, chance, full=True)
    assert world.model == set(last.valid)
    assert world.proved > 1
