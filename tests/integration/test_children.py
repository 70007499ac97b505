"""Dependent resources: a source asked once for each record of another, against a real server and a real database."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from ingest_kit import one, rows, writer
from integration.api_server import Naps, json_answer, serve
from kasparro.core.config import Settings
from kasparro.core.errors import AuthenticationFailed, ConfigurationError
from kasparro.core.etl_config import ApiSource, Catalog
from kasparro.ingestion.opening import open_source
from kasparro.ingestion.ports import Facilities
from kasparro.ingestion.sources.children import ChildPages
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunCounters, RunStatus, SourceKind
from kasparro.services.preview import first_page, preview
from kasparro.services.sampled_parents import SampledParents
from kasparro.storage.parents import PostgresParents

pytestmark = pytest.mark.anyio

SIZE = 3


@dataclass
class Shop:
    """Orders, and the lines of each by page. `gone` orders answer 404; what is asked is kept, and how much of it at once."""

    orders: dict[str, int]
    gone: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    hold: asyncio.Event | None = None

    async def __call__(self, request: web.Request) -> web.Response:
        parts = request.raw_path.partition("?")[0].strip("/").split("/")
        if parts == ["orders"]:
            return json_answer(
                [{"id": key, "status": "open", "customer": {"name": f"c {key}"}} for key in self.orders]
            )
        assert (parts[0], parts[2]) == ("orders", "lines")
        order, page = unquote(parts[1]), int(request.query["page"])
        self.asked.append(f"{order} {page}")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.001)
            return self.lines(order, page)
        finally:
            self.under_way -= 1

    def lines(self, order: str, page: int) -> web.Response:
        if order in self.refuses:
            return json_answer({"error": "no"}, status=403)
        if order in self.gone or order not in self.orders:
            return json_answer({"error": "no such order"}, status=404)
        numbers = range((page - 1) * SIZE, min(page * SIZE, self.orders[order]))
        more = page * SIZE < self.orders[order]
        return json_answer({"items": [{"id": n, "sku": f"{order}-{n}"} for n in numbers], "more": more})


def orders(url: str) -> ApiSource:
    return ApiSource(name="orders", url=f"{url}/orders", key="id")


def lines(url: str, parent: dict[str, Any] | None = None, **keys: Any) -> ApiSource:
    declared = {
        "name": "lines",
        "url": f"{url}/orders/{{order}}/lines",
        "pagination": {"type": "page", "size_param": "size", "size": SIZE},
        "parent": {"source": "orders", "params": {"order": "id"}, **(parent or {})},
        **keys,
    }
    return ApiSource.model_validate(declared)


def service_of(db, tmp_path, *sources: ApiSource, batch: int = 100):
    catalog = Catalog(sources={one.name: one for one in sources}, path=tmp_path / "kasparro.yaml")
    return ingestion_service(catalog, Settings(_env_file=None, etl_batch_size=batch), db)


@pytest.fixture
async def db(database_url):
    async with writer(database_url) as database:
        yield database


async def stored(db) -> list[tuple[str, str]]:
    return await rows(
        db,
        "SELECT external_id, raw_data->>'sku' FROM raw_data_api WHERE source = 'lines' ORDER BY external_id",
    )


def expected(shop: Shop) -> list[tuple[str, str]]:
    """With the keys as they are combined; in these tests none holds a character that is escaped."""
    return sorted(
        (f"{order}|{n}", f"{order}-{n}") for order, count in shop.orders.items() for n in range(count)
    )


async def test_the_lines_of_every_order_are_fetched_and_identified_by_both_keys(db, tmp_path):
    shop = Shop({f"o{n:02}": n % 8 for n in range(23)})
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url, {"include": ["status"]}))
        await service.ingest("orders")
        report = await service.ingest("lines")
        assert (report.status, report.counters) == (
            RunStatus.SUCCESS,
            RunCounters(inserted=len(expected(shop))),
        )
        assert await stored(db) == expected(shop)
        assert max(Counter(shop.asked).values()) == 1
        raw, url = await one(db, "SELECT raw_data::text, url FROM raw_data_api WHERE external_id = 'o07|3'")
        assert raw == '{"id": 3, "sku": "o07-3","_parent":{"key":"o07","status":"open"}}'
        assert url == f"{api.url}/orders/o07/lines?page=2&size=3"
        assert await one(
            db, "SELECT data->'metadata'->'_parent' FROM normalized_data WHERE source_id = 'o07|3'"
        ) == {"key": "o07", "status": "open"}
        again = await service.ingest("lines")
        assert again.counters == RunCounters(unchanged=len(expected(shop)))


async def test_what_a_parent_contains_stays_in_its_place_in_the_request(db, tmp_path):
    """Keys that would climb the path, ask for something else or go elsewhere. Two of them cannot be asked for at all."""
    harmless = ["a/b", "a?x=1#y", "ü &+%2F", "http:x", "a.b", "..a", "{order}", "a|b\\c"]
    climbing = [".", "..", "../admin", "a/../../admin", "..\\x"]
    shop = Shop(dict.fromkeys([*harmless, *climbing], 1))
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url))
        await service.ingest("orders")
        report = await service.ingest("lines")
        assert report.status is RunStatus.SUCCESS
        assert {asked.removesuffix(" 1").removesuffix(" 2") for asked in shop.asked} == set(harmless)
        assert [sku for _, sku in await stored(db)].sort() == [f"{key}-0" for key in harmless].sort()
        [notice] = await one(db, "SELECT metadata->'notices' FROM etl_run WHERE source = 'lines'")
        assert (notice["code"], notice["count"]) == ("parent_unusable", len(climbing))


async def test_values_go_into_params_headers_and_bodies(db, tmp_path):
    seen = []

    async def search(request: web.Request) -> web.Response:
        if request.path == "/orders":
            return json_answer([{"id": 7, "shop": "a b&c"}, {"id": 8, "shop": "é"}])
        seen.append((request.query["shop"], request.headers["X-Shop"], await request.json()))
        return json_answer([])

    async with serve(search) as api:
        child = ApiSource.model_validate(
            {
                "name": "lines",
                "url": f"{api.url}/search",
                "method": "POST",
                "params": {"shop": "{shop}"},
                "headers": {"X-Shop": "no. {order}"},
                "body": {
                    "query": "query ($o: Int) { lines }",
                    "variables": {"o": "{order}", "l": ["{shop}!"]},
                },
                "parent": {"source": "orders", "params": {"order": "id", "shop": "shop"}},
            }
        )
        service = service_of(db, tmp_path, orders(api.url), child)
        await service.ingest("orders")
        report = await service.ingest("lines")
        assert report.status is RunStatus.SUCCESS
    assert sorted(seen, key=str) == [
        (
            shop,
            f"no. {key}",
            {"query": "query ($o: Int) { lines }", "variables": {"o": key, "l": [f"{shop}!"]}},
        )
        for key, shop in ((7, "a b&c"), (8, "é"))
    ]


async def test_a_parent_that_is_gone_or_has_no_value_is_a_notice_and_the_others_go_on(db, tmp_path):
    shop = Shop({"a": 2, "b": 2, "c": 2, "d": 1}, gone=frozenset({"b", "c"}))
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url))
        await service.ingest("orders")
        async with db.driver_transaction() as connection:
            await connection.execute(
                """UPDATE raw_data_api SET raw_data = '{"id": null}' WHERE external_id = 'd'"""
            )
        report = await service.ingest("lines")
        assert (report.status, report.counters) == (RunStatus.SUCCESS, RunCounters(inserted=2))
        notices = await one(db, "SELECT metadata->'notices' FROM etl_run WHERE source = 'lines'")
        assert {(n["code"], n["count"], n["details"]["parent"]) for n in notices} == {
            ("parent_gone", 2, "c"),
            ("parent_unusable", 1, "d"),
        }


async def test_only_parents_that_are_in_the_dataset_and_not_deleted_are_asked_for(db, tmp_path):
    shop = Shop({"a": 1, "b": 1, "c": 1})
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url))
        assert (await service.ingest("lines")).counters == RunCounters()
        await service.ingest("orders")
        async with db.driver_transaction() as connection:
            await connection.execute("UPDATE raw_data_api SET deleted_at = now() WHERE external_id = 'a'")
            await connection.execute("DELETE FROM normalized_data WHERE source_id = 'b'")
        await service.ingest("lines")
    assert shop.asked == ["c 1", "c 2"]


async def test_an_error_of_one_parent_fails_the_run_after_those_before_it_and_the_next_goes_on_there(
    db, tmp_path
):
    shop = Shop({f"o{n:02}": 4 for n in range(12)}, refuses=frozenset({"o05"}))
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url))
        await service.ingest("orders")
        report = await service.ingest("lines")
        assert (report.status, report.error_code) == (RunStatus.FAILED, AuthenticationFailed.code)
        assert report.counters == RunCounters(inserted=5 * 4)
        shop.refuses = frozenset()
        shop.asked.clear()
        report = await service.ingest("lines")
        assert report.counters == RunCounters(inserted=7 * 4)
        assert await stored(db) == expected(shop)
        assert {asked[:3] for asked in shop.asked} == {f"o{n:02}" for n in range(5, 12)}


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_fetch_resumes_after_any_page_in_the_middle_of_a_parent_too(db, tmp_path, concurrency):
    shop = Shop({f"o{n}": 2 + 3 * n % 11 for n in range(6)})
    async with serve(shop) as api:
        declared = lines(api.url, rate_limit={"concurrency": concurrency})
        await service_of(db, tmp_path, orders(api.url), declared).ingest("orders")
        facilities = Facilities(PostgresParents(db, {"orders": SourceKind.API}))
        whole = await pages_of(open_source(declared, 100, facilities))
        every = [record.payload for page in whole for record in page.records]
        assert len(every) == len(expected(shop))
        for cut in range(len(whole) - 1):
            shop.asked.clear()
            cursor = json.loads(json.dumps(whole[cut].cursor))
            assert len(json.dumps(cursor)) < 200
            rest = await pages_of(open_source(declared, 100, facilities), cursor)
            came = [record.payload for page in whole[: cut + 1] for record in page.records]
            assert came + [record.payload for page in rest for record in page.records] == every
            last = json.loads(came[-1])
            done = {f"{json.loads(payload)['_parent']['key']}" for payload in came} - {last["_parent"]["key"]}
            assert not {asked.split()[0] for asked in shop.asked} & done
    assert shop.most <= concurrency


async def pages_of(source, after=None):
    async with aclosing(source.pages(after)) as pages:
        return [page async for page in pages]


async def test_a_parent_that_went_while_its_children_were_fetched_is_left_out_on_resuming(db, tmp_path):
    shop = Shop({"a": 7, "b": 1})
    async with serve(shop) as api:
        declared = lines(api.url)
        await service_of(db, tmp_path, orders(api.url), declared).ingest("orders")
        parents = PostgresParents(db, {"orders": SourceKind.API})
        source = ChildPages(declared, declared.parent, parents, Naps().waiting())
        first = (await pages_of(source))[0]
        async with db.driver_transaction() as connection:
            await connection.execute("DELETE FROM raw_data_api WHERE external_id = 'a'")
        rest = await pages_of(source, first.cursor)
    assert [json.loads(r.payload)["sku"] for page in rest for r in page.records] == ["b-0"]


async def test_cursors_tell_the_beginning_of_a_parent_from_its_end(db, tmp_path):
    shop = Shop({"a": 4, "b": 1})
    async with serve(shop) as api:
        declared = lines(api.url)
        await service_of(db, tmp_path, orders(api.url), declared).ingest("orders")
        parents = PostgresParents(db, {"orders": SourceKind.API})
        source = ChildPages(declared, declared.parent, parents, Naps().waiting())
        found = {}
        for cursor in ({"parent": "a", "after": None}, {"parent": "a"}, {"parent": 7, "after": "x"}, {}):
            pages = await pages_of(source, cursor)
            found[str(cursor)] = [json.loads(r.payload)["sku"] for page in pages for r in page.records]
    every = ["a-0", "a-1", "a-2", "a-3", "b-0"]
    assert list(found.values()) == [every, ["b-0"], every, every]


async def test_parents_are_asked_for_side_by_side_up_to_the_declared_concurrency(db, tmp_path):
    shop = Shop({f"o{n:03}": 10 for n in range(30)})
    async with serve(shop) as api:
        paging = {"type": "page", "size_param": "size", "size": SIZE, "has_more": "more"}
        declared = lines(api.url, rate_limit={"concurrency": 5}, pagination=paging)
        service = service_of(db, tmp_path, orders(api.url), declared)
        await service.ingest("orders")
        await service.ingest("lines")
        assert await stored(db) == expected(shop)
    assert shop.most == 5


async def test_a_full_page_of_one_parent_spares_the_others_the_request_that_confirms_a_short_one(
    db, tmp_path
):
    shop = Shop({"a": 4, "b": 1, "c": 2, "d": 0})
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url, rate_limit={"concurrency": 1}))
        await service.ingest("orders")
        await service.ingest("lines")
    assert shop.asked == ["a 1", "a 2", "b 1", "c 1", "d 1"]


async def test_with_changed_only_a_parent_is_asked_for_again_when_it_has_changed(db, tmp_path):
    shop = Shop({f"o{n}": 2 for n in range(5)})
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url, {"changed_only": True}))
        await service.ingest("orders")
        assert (await service.ingest("lines")).counters == RunCounters(inserted=10)
        shop.asked.clear()
        assert (await service.ingest("lines")).counters == RunCounters()
        assert shop.asked == []
        shop.orders["new"] = 1
        await service.ingest("orders")
        assert (await service.ingest("lines")).counters == RunCounters(inserted=1)
        assert {asked.split()[0] for asked in shop.asked} == {"new"}
        assert (await service.ingest("lines", full=True)).counters == RunCounters(unchanged=11)


async def test_with_a_key_that_is_unique_the_parent_s_is_left_out(db, tmp_path):
    shop = Shop({"a": 2, "b": 2})
    async with serve(shop) as api:
        service = service_of(db, tmp_path, orders(api.url), lines(api.url, {"unique_key": True}, key="sku"))
        await service.ingest("orders")
        await service.ingest("lines")
    assert [key for key, _ in await stored(db)] == ["a-0", "a-1", "b-0", "b-1"]


async def test_a_grandchild_is_fetched_for_every_child(db, tmp_path):
    async def handler(request: web.Request) -> web.Response:
        match request.path.strip("/").split("/"):
            case ["orders"]:
                return json_answer([{"id": 1}, {"id": 2}])
            case ["orders", order, "lines"]:
                return json_answer([{"id": f"{order}{n}"} for n in "ab"])
            case ["orders", order, "lines", line]:
                return json_answer([{"id": f"{order} {line}"}])
            case _:
                raise AssertionError(request.path)

    async with serve(handler) as api:
        child = lines(api.url, pagination="none")
        notes = ApiSource.model_validate(
            {
                "name": "notes",
                "url": f"{api.url}/orders/{{order}}/lines/{{line}}",
                "parent": {"source": "lines", "params": {"order": "_parent.key", "line": "id"}},
            }
        )
        catalog = Catalog(sources={"orders": orders(api.url), "lines": child, "notes": notes}, path=tmp_path)
        found = await preview(notes, 10, Facilities(SampledParents(catalog)))
        service = service_of(db, tmp_path, orders(api.url), child, notes)
        for name in ("orders", "lines", "notes"):
            await service.ingest(name)
        assert [
            key
            for (key,) in await rows(
                db, "SELECT external_id FROM raw_data_api WHERE source = 'notes' ORDER BY 1"
            )
        ] == ["1\\|1a|1 1a", "1\\|1b|1 1b", "2\\|2a|2 2a", "2\\|2b|2 2b"]
        sampled = [json.loads(one.record)["source_id"] for one in found]
        assert sampled == [
            "1\\|1a|1 1a",
            "1\\|1b|1 1b",
        ]  # of the first page of lines, which is that of the first order


async def test_without_a_database_the_first_page_of_the_parents_is_looked_at(tmp_path):
    shop = Shop({"z": 2, "b": 5})
    async with serve(shop) as api:
        declared = lines(api.url)
        catalog = Catalog(sources={"orders": orders(api.url), "lines": declared}, path=tmp_path)
        facilities = Facilities(SampledParents(catalog))
        page = await first_page(declared, facilities=facilities)
        found = await preview(declared, 4, facilities)
        assert (page.records, page.more) == (2, True)
        assert [json.loads(one.raw)["sku"] for one in found] == ["z-0", "z-1", "b-0", "b-1"]
        with pytest.raises(ConfigurationError, match="for the records of another one"):
            await preview(declared, 4)
