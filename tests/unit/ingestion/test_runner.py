"""What is told of a run while it goes on, and what it makes way for."""

from __future__ import annotations

import pytest

from ingest_kit import MemorySource, api_declaration, job
from kasparro.ingestion import runner
from kasparro.ingestion.prepare import Recipe
from kasparro.ingestion.runner import observed, run_etl
from kasparro.schemas.ingest import ApiOrigin, Page, Place, RawRecord, RunCounters

pytestmark = pytest.mark.anyio


class Session:
    """A store in memory that notes what it is asked to do."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, ...]] = []
        self.places = 0

    async def known(self, records):
        self.steps.append(("look up", *(one.external_id for one in records)))
        return dict.fromkeys(range(len(records)))

    def next_place(self):
        self.places += 1
        return Place(self.places - 1)

    async def commit(self, _place, batch):
        self.steps.append(("commit", *(one.keyed.external_id for one in batch.new)))
        return RunCounters()


async def test_in_a_crowd_a_run_commits_each_batch_before_it_looks_at_the_next(monkeypatch):
    session, asked = Session(), []

    def crowded():
        asked.append(session.places)
        return True

    monkeypatch.setattr(runner, "Crowding", lambda: crowded)
    request = job(MemorySource([[{"id": 1}], [{"id": 2}], [{"id": 3}]]), batch=1)

    await run_etl(request, session, Recipe.of(api_declaration()), None)

    assert session.steps == [
        (step, *ids) for ids in (("1",), ("2",), ("3",), ()) for step in ("look up", "commit")
    ]
    assert asked == [1, 2, 3, 4]


async def test_records_that_are_known_to_be_unchanged_are_told_as_found_like_those_that_were_read():
    told, no_notices = [], []

    async def pages():
        yield Page([], {"offset": 90}, unchanged=9, size=90)
        yield Page([RawRecord(b"{}", ApiOrigin("http://test", 1, 0))], None, size=10, last=True)

    _ = [page async for page in observed(job(None, observe=told.append), pages(), no_notices.append)]

    assert [event.records for event in told] == [9, 1]
