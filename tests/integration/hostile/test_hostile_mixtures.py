"""Features together that were each made alone: what one of them does must hold in the presence of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.hostile.house import House, keys, source, things
from integration.hostile.upstream import Answer, Asked, said, serve
from kasparro.core.errors import ConfigurationError
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

CARRYING = "records: orders[].lines[]\ncarry: {order: id, shop: ^.shop}\nkey: [_parent.order, sku]"


def order(number: int, *skus: str) -> dict[str, Any]:
    return {"id": number, "lines": [{"sku": sku, "n": number} for sku in skus]}


async def test_nested_records_that_carry_their_order_are_paged_and_in_circles_known(house: House):
    """The last page again for ever, with another total in each answer."""
    pages = [[order(1, "a", "b"), order(2, "a")], [order(3), order(4, "a", "b", "c")]]

    def script(asked: Asked) -> Answer:
        number = asked.number("page", 1)
        return said({"shop": "N", "served": number, "orders": pages[min(number, 2) - 1]})

    async with serve(script) as upstream:
        report = await house.ingest(
            source(f"{upstream.url}/orders", f"{CARRYING}\npagination: {{type: page}}")
        )

    assert (report.error_code, len(upstream.asked)) == ("pagination_loop", 4)
    assert await house.ids() == ["1|a", "1|b", "2|a", "4|a", "4|b", "4|c"]
    assert json.loads((await house.raw())["2|a"])["_parent"] == {"order": 2, "shop": "N"}


async def test_carry_and_parent_together_are_refused_when_the_catalog_is_read(house: House):
    text = source("http://test/{id}", f"{CARRYING}\nparent: {{source: orders, params: {{id: id}}}}")
    text += "  orders:\n    type: api\n    url: http://test/orders\n"
    with pytest.raises(ConfigurationError, match="carry"):
        house.catalog(text)


@pytest.mark.parametrize("place", ["query", "header", "body"])
async def test_tokens_travel_and_circles_are_seen_wherever_the_token_stands(house: House, place: str):
    """A, B, C, and then A again: two of the names are in an answer's header."""

    def script(asked: Asked) -> Answer:
        sent = {
            "query": asked.query.get("t"),
            "header": asked.headers.get("t"),
            "body": json.loads(asked.body or b"{}").get("page", {}).get("t"),
        }[place]
        number = {None: 0, "A": 1, "B": 2, "C": 3}[sent]
        return said({"items": things(number)}, X_Next="ABCA"[number])

    declared = {
        "query": "{type: cursor, param: t, next: 'header:X-Next'}",
        "header": "{type: cursor, in: header, param: T, next: 'header:X-Next'}",
        "body": "{type: cursor, in: body, param: page.t, next: 'header:X-Next'}",
    }[place]
    method = "method: POST\nbody: {page: {size: 1}}\n" if place == "body" else ""
    async with serve(script) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things", f"{method}pagination: {declared}"))
    assert (report.error_code, await house.ids(), len(upstream.asked)) == (
        "pagination_loop",
        keys(0, 1, 2, 3),
        4,
    )


@pytest.mark.parametrize("moves", [1, 2])
async def test_records_that_are_inserted_while_pages_are_read_do_no_harm(house: House, moves: int):
    rows, inserted, quiet = list(range(10, 22)), 100, False

    def script(asked: Asked) -> Answer:
        nonlocal inserted
        number = asked.number("page", 1)
        found = things(*rows[(number - 1) * 3 : number * 3])
        for _ in range(moves):
            if number < 4 and not quiet:
                rows.insert(0, inserted)
                inserted += 1
        return said({"items": found})

    keys_ = "pagination: {type: page, size_param: size, size: 3}\nrate_limit: {concurrency: 1}"
    async with serve(script) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things", keys_))
        quiet = True
        late = await house.ingest(source(f"{upstream.url}/things", keys_))
    assert (report.error, late.error) == (None, None)
    assert set(map(str, rows)) == set(await house.ids())


async def test_a_stale_replica_does_not_undo_what_a_newer_one_said(house: House):
    """Pages come from two replicas, of which one lags behind, in turn."""
    turns = iter(range(1_000))

    def script(_asked: Asked) -> Answer:
        version = 2 if next(turns) % 2 == 0 else 1
        return said({"items": things(1, 2, v=version, at=f"2026-01-0{version}T00:00:00Z")})

    async with serve(script) as upstream:
        catalog = source(f"{upstream.url}/things", "incremental: {field: at}")
        reports = [await house.ingest(catalog) for _ in range(4)]
    assert [r.status for r in reports] == [RunStatus.SUCCESS] * 4
    assert {json.loads(text)["v"] for text in (await house.raw()).values()} == {2}


async def test_what_fails_in_the_middle_keeps_the_pages_before_and_goes_on_there(house: House):
    broken = True

    def script(asked: Asked) -> Answer:
        number = asked.number("page", 1)
        if broken and number == 3:
            return Answer(b"<html>", kind="text/html")
        return said({"items": things(*range((number - 1) * 3, min(number * 3, 14)))})

    catalog_keys = "pagination: {type: page, size_param: size, size: 3}"
    async with serve(script) as upstream:
        catalog = source(f"{upstream.url}/things", catalog_keys)
        first = await house.ingest(catalog)
        assert (first.error_code, await house.ids()) == ("unexpected_content", keys(*range(6)))
        broken, before = False, len(upstream.asked)
        second = await house.ingest(catalog)
    assert (second.error, await house.ids()) == (None, keys(*range(14)))
    assert upstream.asked[before].query["page"] == "3"


async def test_a_rejected_record_that_is_mended_is_taken_although_the_answer_is_tagged(house: House):
    mended = False

    def script(asked: Asked) -> Answer:
        if asked.headers.get("if-none-match"):
            return Answer(b"", 304, kind="")
        text = '{"id": 2}' if mended else '{"id": 2, "x": "\\u0000"}'
        return Answer(f'{{"items": [{{"id": 1}}, {text}]}}'.encode(), headers=(("ETag", '"same"'),))

    async with serve(script) as upstream:
        catalog = source(f"{upstream.url}/things")
        assert (await house.ingest(catalog)).status is RunStatus.PARTIAL
        mended = True
        assert (await house.ingest(catalog)).status is RunStatus.SUCCESS
    assert (sorted(await house.dataset()), await house.rejects()) == (keys(1, 2), {})
