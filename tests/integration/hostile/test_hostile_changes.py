"""Sources that change while they are read, by runs that are stopped anywhere: once all is quiet, the tables are those of the source."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integration.hostile.house import House, source, things
from integration.hostile.upstream import Answer, Asked, said, serve
from kasparro.core import clock
from kasparro.schemas.events import BatchCommitted
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

SIZE = 3
START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(minute: float) -> str:
    return (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def minute_of(text: str | None) -> float | None:
    return None if text is None else (datetime.fromisoformat(text) - START) / timedelta(minutes=1)


def now_minute() -> float:
    """The moment, as sources date what changes while they are read."""
    return (clock.now() - START) / timedelta(minutes=1)


@dataclass
class Changing:
    """Records with the minute of their last change, asked for by time and by page.

    *sort*: by which the pages are cut. *inclusive*: whether `since` takes the very moment in. *meanwhile* is called before each
    answer with the number of the request, and may change what there is.
    """

    minutes: dict[int, float]
    sort: str = "id"
    inclusive: bool = True
    way: str = "page"
    meanwhile: Callable[[Changing, int], None] = lambda _one, _number: None
    requests: int = 0
    versions: dict[int, int] = field(default_factory=dict)

    def change(self, id_: int, minute: float) -> None:
        self.minutes[id_] = minute
        self.versions[id_] = self.versions.get(id_, 0) + 1

    def record(self, id_: int) -> dict[str, Any]:
        return {"id": id_, "updated_at": moment(self.minutes[id_]), "version": self.versions.get(id_, 0)}

    @property
    def shown(self) -> dict[str, int]:
        return {str(id_): self.versions.get(id_, 0) for id_ in self.minutes}

    def __call__(self, asked: Asked) -> Answer:
        self.requests += 1
        self.meanwhile(self, self.requests)
        found = [self.record(id_) for id_ in self._sorted() if self._wanted(id_, asked)]
        if self.way == "after":
            behind = asked.query.get("after")
            at = (
                0
                if behind is None
                else next((n + 1 for n, r in enumerate(found) if str(r["id"]) == behind), 0)
            )
        else:
            at = (asked.number("page", 1) - 1) * SIZE
        page = found[at : at + SIZE]
        more = at + SIZE < len(found)
        return said({"items": page, "next": str(page[-1]["id"]) if page and more else None})

    def _sorted(self) -> list[int]:
        match self.sort:
            case "id":
                return sorted(self.minutes)
            case "oldest":
                return sorted(self.minutes, key=lambda id_: (self.minutes[id_], id_))
            case _:
                return sorted(self.minutes, key=lambda id_: (-self.minutes[id_], id_))

    def _wanted(self, id_: int, asked: Asked) -> bool:
        since, until = minute_of(asked.query.get("since")), minute_of(asked.query.get("until"))
        at = self.minutes[id_]
        late_enough = since is None or (at >= since if self.inclusive else at > since)
        return late_enough and (until is None or at < until)


WAYS = {
    "page": "pagination: {type: page, size_param: size, size: 3}",
    "after": "pagination: {type: cursor, param: after, next: next}",
}


def declared(url: str, way: str, incremental: str) -> str:
    return source(
        f"{url}/things", f"{WAYS[way]}\nincremental: {{field: updated_at, param: since{incremental}}}"
    )


async def stored(house: House) -> dict[str, int]:
    return {key: json.loads(text)["version"] for key, text in (await house.raw()).items()}


async def in_pieces(house: House, catalog: str, upstream: Changing, commits: int) -> int:
    """Runs that stop after so many commits each, until one comes to its end. Returns how many they were."""
    for number in itertools.count(1):
        assert number < 60, "it never ends"
        stop, left = asyncio.Event(), itertools.count(1)

        def observe(event: Any, stop: asyncio.Event = stop, left: Any = left) -> None:
            if isinstance(event, BatchCommitted) and next(left) >= commits:
                stop.set()

        report = await house.ingest(catalog, stop=stop, observe=observe)
        if report.error is None:
            return number
        assert report.error_code == "interrupted", report.error
    raise AssertionError


def update_what_was_read(upstream: Changing, number: int) -> None:
    """The first record changes while the second page is read, another appears behind all, and one in the middle is touched."""
    if number == 2:
        upstream.change(0, now_minute())
        upstream.change(50, now_minute())
    if number == 4:
        upstream.change(5, now_minute())


SLICES = ", initial: '2025-12-31T23:00:00Z', end: '2026-01-01T06:00:00Z', step: 1h, end_param: until"
SORTED = [(sort, incremental) for sort in ("id", "oldest", "newest") for incremental in ("", SLICES)]


@pytest.mark.parametrize(("sort", "incremental"), [*SORTED, ("oldest", ", order: ascending")])
@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_lost_however_often_a_fetch_of_changes_is_stopped(
    house: House, way: str, sort: str, incremental: str
):
    """Equal times across the edge of a page, exclusive bounds, and a batch for each page."""
    house.batch = 1
    upstream = Changing({id_: id_ // 4 * 30 for id_ in range(14)}, sort, inclusive=False, way=way)
    async with serve(upstream) as served:
        catalog = declared(served.url, way, incremental)
        runs = await in_pieces(house, catalog, upstream, 1)
        assert (runs > 1, await stored(house)) == (True, upstream.shown)
        for id_, minute in ((3, 91), (20, 90), (21, 90), (22, 91)):
            upstream.change(id_, minute)
        await in_pieces(house, catalog, upstream, 1)
        assert await stored(house) == upstream.shown


@pytest.mark.parametrize("sort", ["id", "newest"])
@pytest.mark.parametrize("way", WAYS)
async def test_what_changes_while_it_is_read_comes_with_the_next_run(house: House, way: str, sort: str):
    upstream = Changing({id_: id_ for id_ in range(14)}, sort, way=way, meanwhile=update_what_was_read)
    async with serve(upstream) as served:
        catalog = declared(served.url, way, "")
        await in_pieces(house, catalog, upstream, 1)
        await house.ingest(catalog)
        await house.ingest(catalog)
    assert await stored(house) == upstream.shown


async def test_a_late_record_within_the_lookback_comes_and_is_told(house: House):
    upstream = Changing({id_: 100 + id_ for id_ in range(5)})
    async with serve(upstream) as served:
        catalog = declared(served.url, "page", ", lookback: 30m")
        await house.ingest(catalog)
        upstream.change(9, 90)
        await house.ingest(catalog)
        assert await stored(house) == upstream.shown
        assert (await house.notices())["late_records"]["details"]["records"] == 1


async def test_a_clock_that_goes_back_is_told_and_loses_nothing_that_is_there(house: House):
    upstream = Changing({id_: 100 + id_ for id_ in range(5)})
    async with serve(upstream) as served:
        catalog = declared(served.url, "page", ", lookback: 2h")
        await house.ingest(catalog)
        upstream.minutes = {id_: id_ for id_ in range(5)}
        for id_ in range(5):
            upstream.change(id_, id_)
        report = await house.ingest(catalog)
        assert report.error is None
        assert "cursor_regression" in await house.notices()
        assert await stored(house) == dict.fromkeys(
            upstream.shown, 0
        )  # older versions do not take the place of newer ones


async def test_runs_that_are_killed_at_any_request_lose_nothing(house: House):
    """The task is cancelled while a request is under way: what a process that dies leaves behind, but for its lease."""
    house.batch = 1
    upstream = Changing({id_: id_ for id_ in range(14)})
    killed: list[asyncio.Task[Any]] = []

    def kill(_one: Changing, number: int) -> None:
        if number in {2, 3, 5, 9, 10}:
            killed[-1].cancel()

    upstream.meanwhile = kill
    async with serve(upstream) as served:
        catalog = declared(served.url, "page", "")
        for _ in range(8):
            killed.append(asyncio.create_task(house.ingest(catalog)))
            with contextlib.suppress(asyncio.CancelledError):
                await killed[-1]
    assert await stored(house) == upstream.shown
    assert killed[-1].result().status is RunStatus.SUCCESS


EXPIRING = {
    "token": "pagination: {type: cursor, param: after, next: next}",
    "link": "pagination: {type: next_url, path: link}",
    "token in a slice": "pagination: {type: cursor, param: after, next: next}\nincremental: {field: at, param: since}",
}


@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("kind", EXPIRING)
async def test_a_token_that_expired_between_runs_leads_back_to_the_beginning(
    house: House, kind: str, status: int
):
    house.batch = 1
    day = 1

    def script(asked: Asked) -> Answer:
        told, _, at = asked.query.get("after", f"{day}-1").partition("-")
        if told != str(day):
            return said({"error": "the token has expired"}, status)
        number = int(at)
        if day == 1 and number == 3:
            return said({}, 403)
        more = {} if number == 4 else {"next": f"{day}-{number + 1}", "link": f"?after={day}-{number + 1}"}
        return said({"items": things(number, at="2026-01-01T00:00:00Z"), **more})

    async with serve(script) as upstream:
        catalog = source(f"{upstream.url}/things", EXPIRING[kind])
        first = await house.ingest(catalog)
        assert (first.error_code, await house.ids()) == ("auth_failed", ["1", "2"])
        day = 2
        second = await house.ingest(catalog)
        assert (second.error, await house.ids()) == (None, ["1", "2", "3", "4"])
        assert "place_expired" in await house.notices()


async def test_a_source_that_refuses_its_first_page_too_is_refused_after_one_more_request(house: House):
    refused = {"3"}

    def script(asked: Asked) -> Answer:
        at = asked.query.get("after", "1")
        if at in refused:
            return said({}, 404)
        return said({"items": things(int(at)), "next": str(int(at) + 1)})

    async with serve(script) as upstream:
        catalog = source(f"{upstream.url}/things", WAYS["after"])
        assert (await house.ingest(catalog)).error_code == "source_refused"
        refused.add("1")
        before = len(upstream.asked)
        report = await house.ingest(catalog)
        assert (report.error_code, len(upstream.asked) - before) == ("source_refused", 2)


@dataclass
class Tagged:
    """One answer with an ETag, which may tell nothing, or lie."""

    records: list[dict[str, Any]]
    tag: str | None = '"1"'
    always_304: bool = False

    def __call__(self, asked: Asked) -> Answer:
        if self.always_304 or (self.tag is not None and asked.headers.get("if-none-match") == self.tag):
            return Answer(b"", 304, kind="")
        return said({"items": self.records}, **({} if self.tag is None else {"ETag": self.tag}))


async def test_a_304_is_no_work_and_a_new_tag_of_the_same_records_writes_nothing(house: House):
    upstream = Tagged(things(1, 2))
    async with serve(upstream) as served:
        catalog = source(f"{served.url}/things")
        reports = [await house.ingest(catalog), await house.ingest(catalog)]
        upstream.tag = 'W/"2"'
        reports.append(await house.ingest(catalog))
        upstream.records, upstream.tag = things(1, 2, 3), '"3"'
        reports.append(await house.ingest(catalog))
        reports.append(await house.ingest(catalog, full=True))
    counted = [(r.counters.inserted, r.counters.unchanged) for r in reports]
    assert counted == [(2, 0), (0, 2), (0, 2), (1, 2), (0, 3)]
    assert [asked.headers.get("if-none-match") for asked in served.asked] == [
        None,
        '"1"',
        '"1"',
        'W/"2"',
        None,
    ]


async def test_a_304_that_nobody_asked_for_is_no_answer(house: House):
    async with serve(Tagged([], always_304=True)) as served:
        report = await house.ingest(source(f"{served.url}/things"))
    assert report.error_code == "unexpected_content"


CHILDREN = """sources:
  orders:
    type: api
    url: {url}/orders
    {quick}
    pagination: {{type: page, size_param: size, size: 3}}
  lines:
    type: api
    url: {url}/orders/{{order}}/lines
    parent: {{source: orders, params: {{order: id}}}}
    {quick}
{more}
"""


def parents_of(
    lines: Callable[[int, Asked], Answer], gone: tuple[int, ...] = ()
) -> Callable[[Asked], Answer]:
    def script(asked: Asked) -> Answer:
        parts = asked.path.strip("/").split("/")
        if len(parts) == 1:
            number = asked.number("page", 1)
            return said({"items": things(*range((number - 1) * 3, min(number * 3, 7)))})
        return said({}, 404) if int(parts[1]) in gone else lines(int(parts[1]), asked)

    return script


def clamped(order: int, asked: Asked) -> Answer:
    """Two full pages for each order; from then on the last one again, for ever."""
    number = min(asked.number("page", 1), 2)
    return said({"items": things(*range((number - 1) * 3, number * 3))})


def chained(order: int, asked: Asked) -> Answer:
    number = asked.number("at", 1)
    return said({"items": things(number), "links": {"next": None if number == 3 else f"?at={number + 1}"}})


async def of_children(house: House, script: Callable[[Asked], Answer], more: str) -> tuple[Any, Any]:
    async with serve(script) as upstream:
        catalog = CHILDREN.format(
            url=upstream.url, quick="retry: {attempts: 3, base: 1ms, max: 2ms}", more=f"    {more}"
        )
        assert (await house.ingest(catalog, "orders")).error is None
        return await house.ingest(catalog, "lines"), upstream


@pytest.mark.parametrize("more", ["pagination: auto", "pagination: {type: next_url, path: links.next}"])
async def test_children_by_links_with_parents_that_vanish(house: House, more: str):
    report, upstream = await of_children(house, parents_of(chained, gone=(2, 6)), more)
    assert report.error is None
    expected = sorted(f"{order}|{line}" for order in (0, 1, 3, 4, 5) for line in (1, 2, 3))
    assert sorted(await house.ids("lines")) == expected
    assert (await house.notices())["parent_gone"]["count"] == 2
    assert len([a for a in upstream.asked if "lines" in a.path]) == 17


async def test_children_in_circles_end_and_keep_what_came(house: House):
    report, upstream = await of_children(
        house, parents_of(clamped), "pagination: {type: page, size_param: size, size: 3}"
    )
    assert report.error_code == "pagination_loop"
    assert [key for key in await house.ids("lines") if key.startswith("0|")] == [f"0|{n}" for n in range(6)]
    first = [a for a in upstream.asked if a.path == "/orders/0/lines"]
    assert len(first) <= 4


async def test_the_same_records_for_every_parent_are_no_circle(house: House):
    same = parents_of(lambda _order, _asked: said({"items": things(1, 2)}))
    report, _ = await of_children(house, same, "pagination: none")
    assert (report.error, len(await house.ids("lines"))) == (None, 14)


async def test_a_large_answer_that_is_cut_is_asked_for_again_and_nothing_is_missing_or_doubled(house: House):
    body = json.dumps({"items": things(*range(1_500), text="y" * 8_000)}).encode()
    whole = Answer(body)
    answers = iter([whole.but(cut=len(body) - 5_000), whole.but(cut=9_000_000, reset=True)])
    async with serve(lambda _: next(answers, whole)) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things"))
    assert (report.error, len(await house.ids()), len(upstream.asked)) == (None, 1_500, 3)
    assert report.counters.inserted == 1_500
