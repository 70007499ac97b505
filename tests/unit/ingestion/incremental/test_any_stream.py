"""Whatever a source shows and when, and wherever runs are killed: in the end the table holds the newest version of every record.

The upstream is in memory and heeds the bounds of a request as real ones do; the table goes through the steps of a real run.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from kasparro.core.etl_config import ApiSource
from kasparro.core.moments import as_datetime, format_named, of_datetime
from kasparro.ingestion.batching import Pace, hauls
from kasparro.ingestion.incremental.pages import IncrementalPages
from kasparro.ingestion.incremental.version import version_reader
from kasparro.ingestion.prepare import Recipe, identify, prepare
from kasparro.ingestion.sources.target import Target
from kasparro.schemas.ingest import ApiOrigin, Batch, Cursor, Known, Page, RawRecord

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ISO = format_named("iso8601")


def moment(half_hours: int) -> str:
    return str(ISO.write(of_datetime(START + half_hours * HOUR / 2)))


@dataclass
class Upstream:
    """Pages of *size* in an order of its own; `target` and `aimed` are those of `ApiPages`.

    Some of it lags behind: versions that were `replaced` come with every page.
    """

    size: int
    strictly: bool
    shuffled: int
    shown: dict[int, dict[str, Any]] = field(default_factory=dict)
    replaced: list[dict[str, Any]] = field(default_factory=list)
    target: Target = field(default_factory=lambda: Target(URL("http://test/things"), "GET", {}, None))

    def aimed(self, target: Target, concurrency: int | None = None) -> Upstream:
        other = copy.copy(self)
        other.target = target
        return other

    def bounds(self, record: dict[str, Any]) -> bool:
        at, query = record["at"], self.target.base.query
        if at is None:
            return True
        value, since, until = ISO.read(at), query.get("since"), query.get("until")
        later = since is None or value > ISO.read(since) or (not self.strictly and value == ISO.read(since))
        return later and (
            until is None or value < ISO.read(until) or (not self.strictly and value == ISO.read(until))
        )

    async def pages(self, after: Cursor | None) -> AsyncGenerator[Page]:
        token = -1 if after is None else after["behind"]
        while True:
            ranked = [
                (record["id"] * self.shuffled % 11, record)
                for record in self.shown.values()
                if self.bounds(record)
            ]
            found = sorted((rank, record) for rank, record in ranked if rank > token)
            records = [
                RawRecord(json.dumps(record).encode(), ApiOrigin("u", 1, rank))
                for rank, record in found[: self.size]
            ]
            more = len(found) > self.size
            token = found[self.size - 1][0] if more else token
            records += [
                RawRecord(json.dumps(record).encode(), ApiOrigin("u", 1, 99)) for record in self.replaced
            ]
            await asyncio.sleep(0)
            yield Page(records, {"behind": token} if more else None)
            if not more:
                return


class Table:
    """What storage keeps of a source: texts by key, and the cursor of the last batch."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.cursor: Cursor | None = None

    def commit(self, batch: Batch) -> None:
        for landed in (*batch.new, *batch.changed):
            self.stored[landed.keyed.external_id] = landed.keyed.raw.payload
        self.cursor = batch.cursor

    def known(self, records: Any) -> dict[int, Known | None]:
        found: dict[int, Known | None] = {}
        for at, keyed in enumerate(records):
            payload = self.stored.get(keyed.external_id)
            if payload is None:
                found[at] = None
            elif payload != keyed.raw.payload:
                found[at] = Known(b"", True, True, False, payload)
        return found


async def run(
    source: IncrementalPages, table: Table, recipe: Recipe, batch: int, killed_after: int | None
) -> None:
    """One run; *killed_after* so many batches, or never."""
    committed = 0
    stream = hauls(source.pages(table.cursor), table.cursor, Pace(batch, 60.0), asyncio.Event())
    async with aclosing(stream) as found:
        async for haul in found:
            if committed == killed_after:
                return
            identified = identify(recipe, haul)
            table.commit(prepare(recipe, haul, identified, table.known(identified.records)))
            committed += 1


def is_newer(at: str | None, than: str | None) -> bool:
    """Or of the same time, or without one as the other is."""
    if at is None or than is None:
        return at == than
    return ISO.read(at) >= ISO.read(than)


CHANGES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=8)
"""Which record changes, how many half hours it is dated back (the lookback is two hours), and whether without a time."""
RUNS = st.lists(
    st.tuples(CHANGES, st.one_of(st.none(), st.integers(0, 4)), st.integers(0, 8)), min_size=1, max_size=6
)
WAYS = st.sampled_from(
    [{}, {"initial": "2024-05-01"}, {"initial": "2024-05-01", "end_param": "until", "step": "5h"}]
)


@settings(deadline=None, max_examples=150)
@given(
    runs=RUNS,
    way=WAYS,
    size=st.integers(1, 4),
    batch=st.integers(1, 5),
    strictly=st.booleans(),
    shuffled=st.integers(1, 6),
    width=st.integers(1, 3),
    lookback=st.sampled_from(["2h", "0s"]),
    lags=st.booleans(),
)
def test_in_the_end_the_table_holds_the_newest_version_of_every_record(
    runs, way, size, batch, strictly, shuffled, width, lookback, lags
):
    """Each run may come at the very time of the one before, and be killed; the last two are not. Without lookback nothing is late."""
    incremental = {"field": "at", "param": "since", "lookback": lookback} | way
    declaration = ApiSource(
        name="things", url="http://test/things", incremental=incremental, rate_limit={"concurrency": width}
    )
    upstream = Upstream(size, strictly, shuffled)
    clock = START + 2 * HOUR
    reader = version_reader(declaration)
    assert declaration.incremental is not None
    assert reader is not None
    source = IncrementalPages(declaration, declaration.incremental, reader, upstream, lambda: clock)  # type: ignore[arg-type]
    table, recipe, number = Table(), Recipe.of(declaration), 0

    for changes, killed_after, half_hours in [*runs, ([], None, 1), ([], None, 1)]:
        for key, back, without_time in changes:
            number += 1
            late = back if lookback == "2h" else 0
            dated = None if without_time and key > 6 else str(ISO.write(of_datetime(clock - late * HOUR / 2)))
            before = upstream.shown.get(key)
            if before is not None and not is_newer(dated, before["at"]):
                continue  # sources do not date a change before the one before
            if before is not None and lags and dated != before["at"]:
                upstream.replaced = [*upstream.replaced[-2:], before]
            upstream.shown[key] = {"id": key, "at": dated, "number": number}
        asyncio.run(run(source, table, recipe, batch, killed_after))
        clock += half_hours * HOUR / 2

    assert {key: json.loads(text) for key, text in table.stored.items()} == {
        str(key): record for key, record in upstream.shown.items()
    }
    newest = [ISO.read(record["at"]) for record in upstream.shown.values() if record["at"] is not None]
    assert table.cursor == {"mark": max(newest, default=None)}
    assert table.cursor["mark"] is None or as_datetime(table.cursor["mark"]) <= clock


def test_what_changes_behind_the_back_of_a_long_fetch_is_not_passed_over():
    """Page 1 is read; then its record changes; hours later the rest comes, and is newer than that."""
    declaration = ApiSource(
        name="things",
        url="http://test/things",
        incremental={"field": "at", "param": "since", "lookback": "1h"},
    )
    upstream = Upstream(size=1, strictly=False, shuffled=1)
    upstream.shown = {key: {"id": key, "at": moment(0)} for key in (1, 2)}
    clock = START
    reader = version_reader(declaration)
    assert declaration.incremental is not None
    assert reader is not None
    source = IncrementalPages(declaration, declaration.incremental, reader, upstream, lambda: clock)  # type: ignore[arg-type]
    table, recipe = Table(), Recipe.of(declaration)

    asyncio.run(run(source, table, recipe, 1, killed_after=1))
    upstream.shown[1] = {"id": 1, "at": moment(1), "name": "changed"}
    upstream.shown[2] = {"id": 2, "at": moment(8), "name": "changed hours later"}
    clock += 5 * HOUR
    asyncio.run(run(source, table, recipe, 1, None))
    asyncio.run(run(source, table, recipe, 1, None))

    assert {key: json.loads(text) for key, text in table.stored.items()} == {
        str(key): record for key, record in upstream.shown.items()
    }
