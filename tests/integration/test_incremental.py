"""APIs that are asked only for what changed: a real upstream that filters, a real database, and what is in it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest_kit import ingest, one, rows, writer
from integration.api_server import Api, Naps, declare, serve
from integration.changing_api import FIELD, Changing
from kasparro.core.database import Database
from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.opening import open_source
from kasparro.schemas.ingest import RunCounters, RunReport, RunStatus

pytestmark = pytest.mark.anyio

SINCE = {"field": FIELD, "param": "since"}
PAGES = {"type": "page", "size_param": "size", "size": 3}
NOW = datetime(2024, 5, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


@pytest.fixture
async def upstream():
    return Changing()


@pytest.fixture
async def api(upstream):
    async with serve(upstream.answer) as served:
        yield served


def record(number: int, at: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, FIELD: at, "name": f"{number} at {at}", **more}


def day(number: int, time: str = "00:00:00Z") -> str:
    return f"2024-05-{number:02}T{time}"


def declared(api: Api, incremental: dict[str, Any] | None = None, **keys: Any) -> ApiSource:
    retry = {"attempts": 1, "base": "1ms", "max": "1ms"}
    return declare(f"{api.url}/things", incremental=SINCE | (incremental or {}), retry=retry, **keys)


async def run(
    db: Database, declaration: ApiSource, at: Callable[[], datetime] = lambda: NOW, **more: Any
) -> RunReport:
    source = open_source(declaration, 100, waiting=Naps().waiting(now=at))
    return await ingest(db, source, declaration, **more)


async def table(db: Database) -> dict[str, str]:
    return dict(await rows(db, "SELECT source_id, data->>'title' FROM normalized_data"))


async def mark(db: Database) -> int | None:
    cursor = await one(db, "SELECT cursor FROM etl_checkpoint")
    return cursor["after"]["mark"]


async def notices(db: Database) -> dict[str, Any]:
    found = await one(db, "SELECT metadata->'notices' FROM etl_run ORDER BY id DESC LIMIT 1")
    return {notice["code"]: notice for notice in found or []}


def shown(upstream: Changing) -> dict[str, str]:
    return {str(r["id"]): r["name"] for r in upstream.records}


def since(api: Api) -> list[str | None]:
    return [request.query.get("since") for request in api.requests]


async def test_the_second_run_asks_from_the_newest_record_and_finds_what_changed(db, upstream, api):
    upstream.put(record(1, day(1)), record(2, day(3)), record(3, day(2)))
    first = await run(db, declared(api, {"initial": "2024-01-01"}))
    upstream.put(record(1, day(4)), record(4, day(5)))
    second = await run(db, declared(api, {"initial": "2024-01-01"}))

    assert since(api) == ["2024-01-01T00:00:00Z", "2024-05-02T23:59:59Z"]
    assert (first.counters, second.counters) == (
        RunCounters(inserted=3),
        RunCounters(inserted=1, updated=1, unchanged=1),
    )
    assert await table(db) == shown(upstream)
    assert await one(db, "SELECT status, last_processed_timestamp FROM etl_checkpoint") == (
        "complete",
        datetime(2024, 5, 5, tzinfo=UTC),
    )


async def test_without_initial_the_first_run_asks_for_everything(db, upstream, api):
    upstream.put(record(1, day(1)))
    await run(db, declared(api))

    assert api.paths == ["/things"]


@pytest.mark.parametrize("strictly", [False, True])
async def test_records_of_the_very_moment_of_the_mark_are_neither_lost_nor_doubled(
    db, upstream, api, strictly
):
    upstream.strictly = strictly
    upstream.put(record(1, day(1)), record(2, day(1)))
    await run(db, declared(api))
    upstream.put(record(3, day(1)), record(2, day(1), more="later, at the same moment"))
    report = await run(db, declared(api))

    assert report.counters == RunCounters(inserted=1, updated=1, unchanged=1)
    assert await table(db) == shown(upstream)


async def test_a_fraction_of_a_second_is_not_rounded(db, upstream, api):
    upstream.put(record(1, day(1, "10:00:00.123456789Z")))
    await run(db, declared(api))

    assert await mark(db) == 1714557600_123456789
    await run(db, declared(api))
    assert since(api)[-1] == "2024-05-01T09:59:59.123456789Z"


async def test_an_offset_is_kept_exactly_and_a_time_without_one_is_utc(db, upstream, api):
    upstream.put(record(1, day(1, "02:00:00+05:30")), record(2, day(1, "00:00:00")))
    await run(db, declared(api))

    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("incremental", "value", "sent"),
    [
        ({"format": "epoch_s"}, 1714521600, "1714521599"),
        ({"format": "epoch_ms"}, 1714521600123, "1714521600122"),
        ({"format": "epoch_us"}, 1714521600123456, "1714521600123455"),
        ({"format": "epoch_s", "field_format": "iso8601"}, "2024-05-01T00:00:00Z", "1714521599"),
        ({"format": "date"}, "2024-05-01", "2024-04-30"),
        ({"format": "%d.%m.%Y"}, "01.05.2024", "30.04.2024"),
        ({"format": "integer"}, 17, "16"),
        ({"lookback": "1h"}, "2024-05-01T00:00:00Z", "2024-04-30T22:59:59Z"),
    ],
)
async def test_times_are_written_as_the_source_wants_them(db, upstream, api, incremental, value, sent):
    upstream.heeds = False
    upstream.put(record(1, value))
    await run(db, declared(api, incremental))
    await run(db, declared(api, incremental))

    assert since(api) == [None, sent]


@pytest.mark.parametrize(
    ("place", "keys", "incremental"),
    [
        ("query", {}, {"param": "q", "template": "stars:>5 updated:>={since}"}),
        ("header", {}, {"in": "header", "param": "X-Since"}),
        (
            "body",
            {"method": "POST", "body": {"filter": {"open": True}}},
            {"in": "body", "param": "filter.since"},
        ),
    ],
)
async def test_the_time_goes_into_a_template_a_header_or_the_body(db, upstream, place, keys, incremental):
    upstream.heeds = False
    upstream.put(record(1, day(1)))
    asked = []

    async def answer(request):
        asked.append((dict(request.query), request.headers.get("X-Since"), await request.text()))
        return await upstream.answer(request)

    async with serve(answer) as served:
        declaration = declare(f"{served.url}/things", incremental={"field": FIELD} | incremental, **keys)
        await run(db, declaration)
        await run(db, declaration)

    (_, _, before), (query, header, body) = asked
    time = "2024-04-30T23:59:59Z"
    match place:
        case "query":
            assert query == {"q": f"stars:>5 updated:>={time}"}
        case "header":
            assert header == time
        case _:
            assert json.loads(before) == {"filter": {"open": True}}
            assert json.loads(body) == {"filter": {"open": True, "since": time}}


async def test_late_records_within_the_lookback_are_found_counted_and_their_lateness_told(db, upstream, api):
    upstream.put(record(1, day(5)), record(2, day(4, "23:30:00Z")))
    await run(db, declared(api, {"lookback": "1d"}))
    upstream.put(record(3, day(4, "22:00:00Z")), record(4, day(4, "23:00:00Z")), record(5, day(6)))
    report = await run(db, declared(api, {"lookback": "1d"}))

    assert report.counters == RunCounters(inserted=3, unchanged=2)
    found = (await notices(db))["late_records"]
    assert found["details"] == {"records": 2, "max_lateness_seconds": 7200, "lookback_seconds": 86400}
    assert found["message"] == "2 records came late, by up to 2h; the lookback is 1d"


async def test_a_lookback_that_is_too_short_is_named_with_one_that_is_not(db, upstream, api):
    upstream.put(record(1, day(5)))
    await run(db, declared(api, {"lookback": "1h"}))
    upstream.put(record(2, day(4, "23:15:00Z")))
    await run(db, declared(api, {"lookback": "1h"}))

    assert (await notices(db))["late_records"]["message"].endswith(
        "1h30m would find such records with some room"
    )


async def test_a_run_that_finds_nothing_late_says_nothing(db, upstream, api):
    upstream.put(record(1, day(5)))
    await run(db, declared(api, {"lookback": "1d"}))
    upstream.put(record(2, day(6)))
    await run(db, declared(api, {"lookback": "1d"}))

    assert await notices(db) == {}


async def test_a_source_that_goes_back_is_told_and_the_mark_stays(db, upstream, api):
    upstream.put(record(1, day(5)))
    await run(db, declared(api))
    before = await mark(db)
    upstream.records = [record(1, day(2))]
    upstream.heeds = False
    report = await run(db, declared(api))

    assert (await notices(db))["cursor_regression"]["details"] == {
        "field": FIELD,
        "mark": "2024-05-05T00:00:00Z",
    }
    assert await mark(db) == before
    assert report.counters == RunCounters(unchanged=1)


async def test_the_mark_does_not_follow_a_clock_that_is_wrong(db, upstream, api):
    upstream.put(record(1, day(9)), record(2, "2199-01-01T00:00:00Z"))
    await run(db, declared(api))
    upstream.put(record(3, day(10)))
    report = await run(db, declared(api))

    assert (await notices(db))["cursor_in_future"]["details"] == {"records": 1, "field": FIELD}
    assert await table(db) == shown(upstream)
    assert report.counters == RunCounters(inserted=1, unchanged=2)
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 10, tzinfo=UTC
    )


async def test_what_is_dated_after_the_fetch_began_is_taken_and_comes_again(db, upstream, api):
    """It may have changed while pages were read, as others may have on pages that were read already."""
    upstream.put(record(1, day(10, "11:00:00Z")), record(2, day(10, "12:04:00Z")))
    await run(db, declared(api))
    report = await run(db, declared(api), lambda: NOW + timedelta(hours=1))

    assert await notices(db) == {}
    assert since(api) == [None, "2024-05-10T10:59:59Z"]
    assert report.counters == RunCounters(unchanged=2)
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == NOW + timedelta(minutes=4)


async def test_records_without_a_time_are_taken_and_counted(db, upstream, api):
    upstream.put(record(1, day(1)), record(2, None), {"id": 3, "name": "3 at nothing"})
    report = await run(db, declared(api))
    again = await run(db, declared(api))

    assert (report.counters, again.counters) == (RunCounters(inserted=3), RunCounters(unchanged=3))
    assert (await notices(db))["cursor_unusable"]["details"] == {"records": 2, "field": FIELD}


async def test_records_without_a_time_are_rejected_where_that_is_declared(db, upstream, api):
    upstream.put(record(1, day(1)), record(2, None))
    report = await run(db, declared(api, {"nulls": "reject"}))
    upstream.put(record(2, day(2)))
    mended = await run(db, declared(api, {"nulls": "reject"}))

    assert report.counters == RunCounters(inserted=1, failed=1)
    assert await rows(db, "SELECT external_id, reason, field, resolved_at IS NULL FROM quarantine") == [
        ("2", "no_version", FIELD, False)
    ]
    assert mended.counters == RunCounters(inserted=1, unchanged=1)


async def test_a_reject_does_not_send_the_source_back_to_its_beginning(db, upstream, api):
    upstream.put(record(1, day(1)), record(2, day(2)), {FIELD: day(3), "name": "without identity"})
    first = await run(db, declared(api))
    second = await run(db, declared(api))

    assert (first.status, first.counters.failed, second.counters.failed) == (RunStatus.PARTIAL, 1, 1)
    assert since(api) == [None, "2024-05-02T23:59:59Z"]


def page_is(number: str) -> Callable[[Any], bool]:
    return lambda request: request.query.get("page") == number


async def test_a_fetch_that_was_cut_short_goes_on_where_it_was_and_moves_the_mark_at_its_end(
    db, upstream, api
):
    upstream.size = 3
    upstream.put(*(record(n, day(28 - n)) for n in range(9)))
    declaration = declared(api, {"initial": "2024-01-01"}, pagination=PAGES)
    upstream.failing = page_is("3")
    failed = await run(db, declaration, lambda: NOW + timedelta(days=30), batch=3)
    upstream.failing = lambda _: False
    upstream.put(record(9, day(29)))  # newer than all, and first in the order of nobody

    assert (failed.status, failed.counters.inserted) == (RunStatus.FAILED, 6)
    assert await mark(db) is None
    del api.requests[:]
    await run(db, declaration, lambda: NOW + timedelta(days=30), batch=3)
    assert [(r.query["page"], r.query["since"]) for r in api.requests][:1] == [("3", "2024-01-01T00:00:00Z")]
    assert await table(db) == shown(upstream)


async def test_of_a_sorted_source_each_page_moves_the_mark(db, upstream, api):
    upstream.size = 3
    upstream.put(*(record(n, day(1 + n)) for n in range(9)))
    declaration = declared(api, {"order": "ascending"}, pagination=PAGES)
    upstream.failing = page_is("3")
    await run(db, declaration, batch=3)
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 6, tzinfo=UTC
    )

    upstream.failing = lambda _: False
    del api.requests[:]
    report = await run(db, declaration, batch=3)
    assert since(api)[0] == "2024-05-05T23:59:59Z"
    assert report.counters == RunCounters(inserted=3, unchanged=1)
    assert await table(db) == shown(upstream)


async def test_a_source_that_is_not_sorted_as_declared_is_told_and_loses_nothing(db, upstream, api):
    upstream.size = 3
    upstream.put(*(record(n, day(9 - n)) for n in range(6)), *(record(n, day(n)) for n in range(6, 10)))
    declaration = declared(api, {"order": "ascending"}, pagination=PAGES)
    upstream.failing = page_is("3")
    await run(db, declaration, batch=3)
    assert "cursor_regression" in await notices(db)
    assert await mark(db) is None

    upstream.failing = page_is("4")
    await run(db, declaration, batch=3)
    assert await mark(db) is None, "pages that come in order now do not make up for those before"
    upstream.failing = lambda _: False
    await run(db, declaration, batch=3)
    assert await table(db) == shown(upstream)


SLICES = {"initial": "2024-05-01", "end_param": "until", "step": "1d"}


def slices(api: Api) -> list[tuple[str, str]]:
    return [(r.query["since"][5:], r.query["until"][5:]) for r in api.requests]


async def test_slices_meet_and_the_last_one_ends_now(db, upstream, api):
    upstream.put(*(record(n, day(n, "12:00:00Z")) for n in range(1, 5)))
    declaration = declared(api, SLICES, rate_limit={"concurrency": 1})
    report = await run(db, declaration, lambda: datetime(2024, 5, 4, 13, tzinfo=UTC))

    assert slices(api) == [
        ("05-01T00:00:00Z", "05-02T00:00:00Z"),
        ("05-01T23:59:59Z", "05-03T00:00:00Z"),
        ("05-02T23:59:59Z", "05-04T00:00:00Z"),
        ("05-03T23:59:59Z", "05-04T13:00:01Z"),
    ]
    assert report.counters == RunCounters(inserted=4)
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 4, 12, tzinfo=UTC
    )


async def test_what_is_at_the_edge_of_slices_comes_once_or_is_unchanged(db, upstream, api):
    upstream.strictly = True
    upstream.put(*(record(n, day(n)) for n in range(2, 6)))
    report = await run(db, declared(api, SLICES), lambda: datetime(2024, 5, 6, tzinfo=UTC))

    assert report.counters.inserted == 4
    assert await table(db) == shown(upstream)


async def test_slices_that_are_finished_out_of_order_are_not_asked_for_again(db, upstream, api):
    upstream.put(*(record(n, day(n, "12:00:00Z")) for n in range(1, 9)))
    declaration = declared(api, SLICES, rate_limit={"concurrency": 3})
    upstream.failing = lambda request: request.query["since"].startswith("2024-05-03")
    at = lambda: datetime(2024, 5, 9, tzinfo=UTC)  # noqa: E731  # a time
    failed = await run(db, declaration, at, batch=1)
    kept = (await one(db, "SELECT cursor FROM etl_checkpoint"))["after"]["fetch"]["done"]
    finished = {number for first, behind, _ in kept for number in range(first, behind)}
    assert failed.status is RunStatus.FAILED
    assert 3 not in finished
    assert finished

    upstream.failing = lambda _: False
    del api.requests[:]
    report = await run(db, declaration, lambda: datetime(2024, 5, 20, tzinfo=UTC), batch=1)
    assert len(api.requests) == 9 - len(finished)
    assert report.status is RunStatus.SUCCESS
    assert await table(db) == shown(upstream)
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 8, 12, tzinfo=UTC
    )


async def test_a_slice_resumes_in_its_middle(db, upstream, api):
    upstream.size = 3
    upstream.put(*(record(n, day(1 + n // 9, f"10:00:{n:02}Z")) for n in range(18)))
    declaration = declared(api, SLICES, pagination=PAGES, rate_limit={"concurrency": 1})
    upstream.failing = lambda r: r.query["page"] == "3" and r.query["since"].startswith("2024-05-01T23")
    at = lambda: datetime(2024, 5, 3, tzinfo=UTC)  # noqa: E731  # a time
    await run(db, declaration, at, batch=3)
    upstream.failing = lambda _: False
    del api.requests[:]
    await run(db, declaration, at, batch=3)

    first = api.requests[0]
    assert (first.query["page"], first.query["since"]) == ("3", "2024-05-01T23:59:59Z")
    assert await table(db) == shown(upstream)


async def test_an_end_that_has_passed_is_not_asked_beyond(db, upstream, api):
    upstream.put(*(record(n, day(n)) for n in range(1, 9)))
    declaration = declared(api, {"initial": "2024-05-02", "end_param": "until", "end": "2024-05-04"})
    await run(db, declaration)

    assert set(await table(db)) == {"2", "3", "4"}


async def test_a_full_run_ignores_the_mark_and_sets_it_anew(db, upstream, api):
    upstream.put(record(1, day(5)))
    await run(db, declared(api))
    upstream.records = [record(1, day(2)), record(2, day(3))]
    await run(db, declared(api), full=True)

    assert since(api) == [None, None]
    assert await one(db, "SELECT last_processed_timestamp FROM etl_checkpoint") == datetime(
        2024, 5, 3, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("changed", "again"),
    [({"field": "created_at"}, True), ({"initial": "2023-01-01"}, True), ({"lookback": "2h"}, False)],
)
async def test_a_declaration_that_asks_for_something_else_begins_anew(db, upstream, api, changed, again):
    upstream.put(record(1, day(5), created_at=day(1)))
    await run(db, declared(api, {"initial": "2024-01-01"}))
    await run(db, declared(api, {"initial": "2024-01-01"} | changed))

    assert (since(api)[-1] in {"2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z"}) is again
