"""A source of one page is asked whether it has changed, and nothing is done when it says 304."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from ingest_kit import ingest, one, rows, writer
from integration.api_server import declare, serve
from kasparro.core.errors import PermanentSourceError
from kasparro.ingestion.opening import open_source
from kasparro.schemas.events import BatchCommitted
from kasparro.schemas.ingest import RunCounters, RunStatus

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


@dataclass
class Tagged:
    """One page with validators, and 304 for who has it; what it was asked with is in `asked`."""

    content: Any = field(default_factory=lambda: [{"id": 1}, {"id": 2}])
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": 'W/"one"'})
    asked: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        names = ("If-None-Match", "If-Modified-Since")
        self.asked.append({name: request.headers[name] for name in names if name in request.headers})
        has = (request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since"))
        known = has != (None, None) and has == (self.headers.get("ETag"), self.headers.get("Last-Modified"))
        status = 304 if known else 200
        self.statuses.append(status)
        text = None if known else json.dumps(self.content)
        return web.Response(status=status, text=text, headers=self.headers, content_type="application/json")


@pytest.fixture
def page():
    return Tagged()


async def run(db, url, *, full=False, **keys):
    declaration = declare(url, **keys)
    return await ingest(db, open_source(declaration, 100), declaration, full=full)


ONE_PAGE = [
    {},
    {"pagination": {"type": "next_url", "path": "next"}, "records": "items"},
    {"pagination": {"type": "cursor", "param": "c", "next": "next"}, "records": "items"},
]


@pytest.mark.parametrize("keys", ONE_PAGE, ids=["none", "next_url", "cursor"])
async def test_what_has_not_changed_is_not_sent_and_nothing_is_written(db, page, keys):
    if keys:
        page.content = {"items": page.content, "next": None}
    async with serve(page.answer) as api:
        await run(db, api.url, **keys)
        before = (
            await rows(db, "SELECT xmin, * FROM normalized_data"),
            await rows(db, "SELECT xmin, * FROM raw_data_api"),
        )
        again = [await run(db, api.url, **keys) for _ in range(2)]

    assert page.asked == [{}, {"If-None-Match": 'W/"one"'}, {"If-None-Match": 'W/"one"'}]
    assert page.statuses == [200, 304, 304]
    assert [(r.status, r.counters) for r in again] == [(RunStatus.SUCCESS, RunCounters(unchanged=2))] * 2
    assert before == (
        await rows(db, "SELECT xmin, * FROM normalized_data"),
        await rows(db, "SELECT xmin, * FROM raw_data_api"),
    )
    assert await one(db, "SELECT status, version FROM etl_checkpoint") == ("complete", 1)


async def test_what_has_changed_comes_with_a_new_tag(db, page):
    async with serve(page.answer) as api:
        await run(db, api.url)
        page.content, page.headers = [{"id": 1}, {"id": 2, "v": 2}], {"ETag": '"two"'}
        changed = await run(db, api.url)
        same = await run(db, api.url)

    assert page.asked[1:] == [{"If-None-Match": 'W/"one"'}, {"If-None-Match": '"two"'}]
    assert (changed.counters, same.counters) == (
        RunCounters(updated=1, unchanged=1),
        RunCounters(unchanged=2),
    )


@pytest.mark.parametrize(
    ("modified", "asks"), [("Mon, 01 Jan 2024 00:00:00 GMT", True), ("Wed, 01 May 2024 00:00:00 GMT", False)]
)
async def test_a_date_is_used_when_it_lies_before_the_answer(db, page, modified, asks):
    page.headers = {"Last-Modified": modified, "Date": "Wed, 01 May 2024 00:00:00 GMT"}
    async with serve(page.answer) as api:
        await run(db, api.url)
        await run(db, api.url)

    assert page.asked[1] == ({"If-Modified-Since": modified} if asks else {})


@pytest.mark.parametrize(
    "changed", [{"params": {"a": 1}}, {"map": {"title": "name"}}, {"headers": {"Accept-Language": "de"}}]
)
async def test_another_declaration_asks_without_conditions(db, page, changed):
    async with serve(page.answer) as api:
        await run(db, api.url)
        await run(db, api.url, **changed)

    assert page.asked == [{}, {}]


async def test_a_full_run_asks_without_conditions(db, page):
    async with serve(page.answer) as api:
        await run(db, api.url)
        await run(db, api.url, full=True)

    assert page.statuses == [200, 200]


@pytest.mark.parametrize("size", [100, 1])
async def test_while_something_is_rejected_everything_is_asked_for(db, page, size):
    page.content = [{"name": "without identity"}, {"id": 1}]
    async with serve(page.answer) as api:
        declaration = declare(api.url)
        for _ in range(2):
            await ingest(db, open_source(declaration, 100), declaration, batch=size)
    assert page.asked == [{}, {}]


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "POST", "body": {}},
        {"pagination": {"type": "page", "size_param": "size", "size": 100}},
        {"pagination": "link_header"},
        {"pagination": {"type": "cursor", "param": "c", "next": "header:X-Next"}},
    ],
    ids=["post", "page", "link_header", "header token"],
)
async def test_where_an_answer_does_not_stand_for_the_whole_source_it_is_never_asked_with_conditions(
    db, page, keys
):
    async with serve(page.answer) as api:
        await run(db, api.url, **keys)
        await run(db, api.url, **keys)

    assert not any(page.asked)


async def test_a_source_of_several_pages_is_read_again(db):
    async def answer(request):
        first = "c" not in request.query
        content = {"items": [{"id": 1 if first else 2}], "next": "b" if first else None}
        return web.Response(
            text=json.dumps(content), headers={"ETag": '"x"'}, content_type="application/json"
        )

    keys = {"pagination": {"type": "cursor", "param": "c", "next": "next"}}
    async with serve(answer) as api:
        await run(db, api.url, **keys)
        await run(db, api.url, **keys)

        assert not any("If-None-Match" in request.headers for request in api.requests)
        assert len(api.requests) == 4


async def test_a_304_that_nobody_asked_for_is_an_error(db, page):
    async def answer(_request):
        return web.Response(status=304)

    async with serve(answer) as api:
        report = await run(db, api.url)

    assert (report.status, report.error_code) == (RunStatus.FAILED, "unexpected_content")


async def test_a_tag_that_repeats_the_credential_is_not_kept(db, page):
    page.headers = {"ETag": '"the-secret-token-of-the-source"'}
    async with serve(page.answer) as api:
        await run(db, api.url, auth={"type": "bearer", "token": "the-secret-token-of-the-source"})

    assert await one(db, "SELECT cursor FROM etl_checkpoint") is None


async def test_a_page_that_was_read_in_part_is_asked_for_whole_even_if_it_is_what_it_was_again(db, page):
    """From A to B, of which a part is committed when the run ends, and back to A."""
    old, new = ([{"id": number, "v": version} for number in range(20)] for version in (1, 2))

    def die(event):
        if isinstance(event, BatchCommitted):
            raise PermanentSourceError("the end of it")

    page.content = old
    async with serve(page.answer) as api:
        declaration = declare(api.url)
        await run(db, api.url)
        page.content, page.headers = new, {"ETag": '"two"'}
        await ingest(db, open_source(declaration, 100), declaration, batch=5, observe=die)
        assert await one(db, "SELECT count(*) FROM raw_data_api WHERE raw_data->>'v' = '2'") in range(1, 20)
        page.content, page.headers = old, {"ETag": 'W/"one"'}
        await run(db, api.url)

    assert await one(db, "SELECT count(*) FROM raw_data_api WHERE raw_data->>'v' = '1'") == 20
