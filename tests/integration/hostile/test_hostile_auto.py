"""`pagination: auto` on the shapes of well-known APIs, with their quirks: all records come, in as many requests as there are pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from integration.hostile.house import House, keys, source, things
from integration.hostile.upstream import Answer, Asked, Script, said, serve
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

TOTAL, SIZE, PAGES = 10, 3, 4


def page(number: int) -> list[dict[str, Any]]:
    return things(*range((number - 1) * SIZE, min(number * SIZE, TOTAL)))


def by(name: str, answer: Callable[[int, bool], Answer]) -> Script:
    """Pages asked for by the parameter *name*; *answer* is given the number of the page, and whether it is the last."""
    return lambda asked: answer(asked.number(name, 1), asked.number(name, 1) >= PAGES)


def github(asked: Asked) -> Answer:
    number = asked.number("page", 1)
    links = [
        f'<{asked.path}?page={n}>; rel="{rel}"'
        for rel, n in (("prev", number - 1), ("next", number + 1), ("last", PAGES))
        if 0 < n <= PAGES
    ]
    return said(
        {"total_count": 40_000, "incomplete_results": True, "items": page(number)}, Link=", ".join(links)
    )


def stripe(asked: Asked) -> Answer:
    after = int(asked.query.get("starting_after", "-1"))
    rows = things(*range(after + 1, min(after + 1 + SIZE, TOTAL)))
    return said({"object": "list", "url": "/v1/things", "has_more": after + 1 + SIZE < TOTAL, "data": rows})


def salesforce(asked: Asked) -> Answer:
    number = int(asked.path.rpartition("-")[2]) if "-" in asked.path else 1
    more = {} if number >= PAGES else {"nextRecordsUrl": f"/things/01g-{number + 1}"}
    return said({"totalSize": TOTAL, "done": number >= PAGES, "records": page(number), **more})


def elasticsearch(asked: Asked) -> Answer:
    """No word of a next page, and the total in an object: nobody can know how it wants to be asked."""
    hits = [{"_id": str(n), "_source": {"n": n}} for n in range(3)]
    return said({"took": 1, "hits": {"total": {"value": 3, "relation": "eq"}, "hits": hits}})


def dotted(name: str) -> Callable[[int, bool], Answer]:
    return lambda n, last: said({"value": page(n), **({} if last else {name: f"?$skiptoken={n + 1}"})})


def airtable(number: int) -> Answer:
    return said({"records": page(number), **({} if number >= PAGES else {"offset": f"itr/{number + 1}"})})


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    script: Script
    records: str | None = None
    requests: int = PAGES
    more: str = ""
    ids: tuple[str, ...] = tuple(keys(*range(TOTAL)))


SHAPES = [
    Shape("GitHub", github),
    Shape("Stripe", stripe),
    Shape("Salesforce", salesforce, "records"),
    Shape("OData", by("$skiptoken", dotted("@odata.nextLink")), "value"),
    Shape("OData 2", by("$skiptoken", lambda n, last: said({"d": {"results": page(n), **({} if last else {"__next": f"?$skiptoken={n + 1}"})}})), "d.results"),
    Shape("JSON:API", by("page[number]", lambda n, last: said({"data": page(n), "links": {"self": "x", "next": None if last else f"/things?page%5Bnumber%5D={n + 1}"}}))),
    Shape("JSON:API, links as objects", by("p", lambda n, last: said({"data": page(n), "links": {"next": None if last else {"href": f"/things?p={n + 1}"}}}))),
    Shape("HAL", by("p", lambda n, last: said({"_embedded": {"things": page(n)}, "_links": {"self": {"href": "/"}, **({} if last else {"next": {"href": f"/things?p={n + 1}"}})}})), "_embedded.things"),
    Shape("Elasticsearch", elasticsearch, "hits.hits", 1, "key: _id", ("0", "1", "2")),
    Shape("WordPress", lambda a: said(page(a.number("page", 1)), X_WP_Total=str(TOTAL), X_WP_TotalPages=str(PAGES)) if a.number("page", 1) <= PAGES else said({"code": "rest_post_invalid_page_number"}, 400), requests=PAGES + 1),
    Shape("Shopify", by("page_info", lambda n, last: said({"products": page(n)}, **({} if last else {"Link": f'</things?page_info={n + 1}>; rel="next"'}))), "products"),
    Shape("Slack", by("cursor", lambda n, last: said({"ok": True, "members": page(n), "response_metadata": {"next_cursor": "" if last else str(n + 1)}})), "members"),
    Shape("Google", by("pageToken", lambda n, last: said({"kind": "x", "items": page(n), **({} if last else {"nextPageToken": str(n + 1)})}))),
    Shape("Spring", lambda a: said({"content": page(a.number("page", 0) + 1), "number": a.number("page", 0), "totalPages": PAGES, "totalElements": TOTAL, "size": SIZE}), "content", PAGES + 1),
    Shape("Laravel", by("page", lambda n, last: said({"current_page": n, "data": page(n), "last_page": PAGES, "next_page_url": None if last else f"/things?page={n + 1}"}))),
    Shape("Django REST", by("page", lambda n, last: said({"count": TOTAL, "next": None if last else f"/things?page={n + 1}", "previous": None, "results": page(n)}))),
    Shape("Jira", lambda a: said({"startAt": a.number("startAt", 0), "maxResults": SIZE, "total": TOTAL, "issues": things(*range(a.number("startAt", 0), min(a.number("startAt", 0) + SIZE, TOTAL)))}), "issues"),
    Shape("Relay", by("after", lambda n, last: said({"nodes": page(n), "pageInfo": {"hasNextPage": not last, "endCursor": str(n + 1)}})), "nodes"),
    Shape("HubSpot", by("after", lambda n, last: said({"results": page(n), **({} if last else {"paging": {"next": {"after": str(n + 1), "link": f"/things?after={n + 1}"}}})}))),
    Shape("Facebook", by("after", lambda n, last: said({"data": page(n), "paging": {"cursors": {"before": "x", "after": str(n + 1)}, **({} if last else {"next": f"/things?after={n + 1}"})}}))),
    Shape("Zendesk", by("page[after]", lambda n, last: said({"things": page(n), "meta": {"has_more": not last, "after_cursor": str(n + 1)}, "links": {"next": None if last else f"/things?page[after]={n + 1}"}})), "things"),
    Shape("Notion", by("start_cursor", lambda n, last: said({"object": "list", "results": page(n), "has_more": not last, "next_cursor": None if last else str(n + 1)}))),
    Shape("Airtable", lambda a: airtable(int(a.query.get("offset", "itr/1").removeprefix("itr/"))), "records"),
    Shape("Firestore", by("page_token", lambda n, last: said({"documents": page(n), "next_page_token": "" if last else str(n + 1)})), "documents"),
    Shape("DynamoDB-like", by("cursor", lambda n, last: said({"items": [] if n == 2 else page(n if n < 2 else n - 1), "next_cursor": None if n == PAGES + 1 else str(n + 1)})), requests=PAGES + 1),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_auto_reads_all_there_is(house: House, shape: Shape):
    records = f"records: {shape.records}\n" if shape.records else ""
    async with serve(shape.script) as upstream:
        report = await house.ingest(
            source(f"{upstream.url}/things", f"{records}pagination: auto\n{shape.more}")
        )

    assert (report.status, report.error) == (RunStatus.SUCCESS, None)
    assert await house.ids() == list(shape.ids), upstream.targets
    assert len(upstream.asked) <= shape.requests, upstream.targets


async def test_auto_reads_on_behind_a_first_page_that_is_too_large_to_be_held(house: House):
    """Its parts are handed on before anything shows how the pages are told apart."""
    first = json.dumps({"items": things(*range(1_200), text="x" * 8_000), "next": "/things?at=2"}).encode()
    assert len(first) > 9 * 1024 * 1024

    def script(asked: Asked) -> Answer:
        return said({"items": things(5_000)}) if asked.query else Answer(first)

    async with serve(script) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things", "pagination: auto"))

    assert (report.error, len(await house.ids()), len(upstream.asked)) == (None, 1_201, 2)
