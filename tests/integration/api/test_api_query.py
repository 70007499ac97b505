"""The query language over HTTP: what docs/api.md promises, and that nothing hostile reaches PostgreSQL as syntax."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

from hostile import HOSTILE, errors_in_the_log, server_log
from kasparro.schemas.data import PaginatedResponse, StoredRecord
from kasparro.schemas.query import FIELDS, Op
from kasparro.services.query_text import DIRECTIVES

pytestmark = pytest.mark.anyio


@pytest.fixture
def records(seed) -> list[int]:
    return [
        seed.record(
            "alpha", {"title": "Ångström", "category": "x", "metadata": {"n": 1, "tags": ["a", "b"]}}
        ),
        seed.record(
            "alpha", {"title": "b", "category": "x", "metadata": {"n": "20", "owner": {"login": "me"}}}
        ),
        seed.record("beta", {"title": "B", "author": "me", "metadata": {"n": 3, "a.b": True}}),
        seed.record("beta", {"published_at": "2024-02-29T12:00:00Z", "category": "y"}),
    ]


async def found(client, query: str) -> list[int]:
    answer = await client.get(f"/data?{query}")
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("title=b", [2]),
        ("title[in]=b,B", [2, 3]),
        ("title[contains]=str%C3%B6m", [1]),
        ("title[isnull]=true", [4]),
        ("author[ne]=me", [1, 2, 4]),
        ("metadata.n[gt]=2", [2, 3]),
        ("metadata.n[between]=1,3", [1, 3]),
        ('metadata.n="20"', [2]),
        ("metadata.tags[contains]=a", [1]),
        ("metadata.tags.1=b", [1]),
        ("metadata.owner.login=me", [2]),
        ('metadata."a.b"=true', [3]),
        ("published_at[ge]=2024-02-29", [4]),
        ("published_at=2024-02-29T13:00:00%2B01:00", [4]),
        ("created_at[gt]=2020-01-01&source=alpha", [1, 2]),
        ("id[in]=1,4", [1, 4]),
        ("source[startswith]=be&category=y", [4]),
        ('filter={"or":[{"author":"me"},{"category":"y"}]}', [3, 4]),
        ('filter={"not":{"category":"x"}}&title=B', [3]),
        ("sort=-title", [1, 2, 3, 4]),
        ("sort=title", [3, 2, 1, 4]),
        ("sort=-metadata.n", [2, 3, 1, 4]),
        ("sort=category,-id", [2, 1, 4, 3]),
    ],
)
async def test_the_query_language(client, records, query, which):
    assert await found(client, query) == [records[number - 1] for number in which]


async def test_a_number_is_part_of_a_text_as_it_is_written_and_of_a_list_by_its_value(client, seed):
    text = seed.record("alpha", {"metadata": {"code": "51e2ab"}})
    numbers = seed.record("alpha", {"metadata": {"code": [100, "1e2"]}})
    seed.record("alpha", {"metadata": {"code": "100"}})

    assert await found(client, "metadata.code[contains]=1e2") == [text, numbers]


async def test_every_page_is_had_by_a_client_that_sends_every_default(client, records):
    """As those do that are generated from the description."""
    defaults = {"limit": 1, "offset": 0, "count": "exact"}
    pages = [(await client.get("/data", params=defaults)).json()]
    while pages[-1]["next_cursor"]:
        answer = await client.get("/data", params={**defaults, "cursor": pages[-1]["next_cursor"]})
        pages.append(answer.json())

    assert [record["id"] for page in pages for record in page["data"]] == records


async def test_fields_are_what_was_asked_for_in_that_order(client, records):
    body = (await client.get("/data?fields=title,metadata.n,id,metadata.owner&limit=2")).json()

    assert [list(record) for record in body["data"]] == [["title", "metadata.n", "id", "metadata.owner"]] * 2
    assert body["data"][1] == {
        "title": "b",
        "metadata.n": "20",
        "id": records[1],
        "metadata.owner": {"login": "me"},
    }


async def test_facets_count_what_matches(client, records):
    body = (await client.get("/data?facets=category,source,metadata.n&title[isnull]=false")).json()

    assert body["facets"] == {
        "category": [{"value": "x", "count": 2}, {"value": None, "count": 1}],
        "source": [{"value": "alpha", "count": 2}, {"value": "beta", "count": 1}],
        "metadata.n": [{"value": "1", "count": 1}, {"value": "20", "count": 1}, {"value": "3", "count": 1}],
    }


async def test_the_facet_of_sources_is_what_commits_keep_count_of(client, seed, records):
    seed.connection.execute("UPDATE etl_checkpoint SET record_count = 7 WHERE source = 'beta'")

    assert (await client.get("/data?facets=source")).json()["facets"]["source"] == [
        {"value": "beta", "count": 7},
        {"value": "alpha", "count": 2},
    ]


async def test_facets_are_bounded(client, seed):
    for number in range(60):
        seed.record("alpha", {"category": f"c{number}" + "x" * 200})

    values = (await client.get("/data?facets=category")).json()["facets"]["category"]

    assert len(values) == 50
    assert {len(value["value"]) for value in values} == {100}


async def test_counting_is_as_asked(client, records):
    answers = {
        count: (await client.get(f"/data?category=x&count={count}")).json()
        for count in ("exact", "estimated", "none")
    }

    assert {count: body["count"] for count, body in answers.items()} == dict(
        zip(answers, answers, strict=True)
    )
    assert answers["exact"]["total_count"] == 2
    assert answers["estimated"]["total_count"] >= 0
    assert answers["none"]["total_count"] is None


async def test_links_lead_from_page_to_page_and_back_to_the_first(client, records):
    addresses, ids = ["/data?source[in]=alpha,beta&sort=-id&limit=3&offset=1"], []
    while addresses:
        answer = await client.get(addresses.pop())
        links = dict(re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["link"]))
        relations = {relation: address for address, relation in links.items()}
        ids += [record["id"] for record in answer.json()["data"]]
        assert dict(parse_qsl(urlsplit(relations["first"]).query)) == {
            "source[in]": "alpha,beta",
            "sort": "-id",
            "limit": "3",
        }
        assert ("next" in relations) == (answer.json()["next_cursor"] is not None)
        addresses += [relations["next"]] if "next" in relations else []

    assert ids == records[::-1][1:]


async def test_a_cursor_of_another_query_and_a_damaged_one_are_refused(client, records):
    cursor = (await client.get("/data?limit=1")).json()["next_cursor"]

    for query, hint in (
        (f"source=alpha&cursor={cursor}", "filters, search and sort"),
        (f"sort=title&cursor={cursor}", "filters, search and sort"),
        (f"cursor={cursor[:-2]}AA", "Begin again"),
        ("cursor=", "Begin again"),
    ):
        problem = (await client.get(f"/data?{query}")).json()
        assert (problem["status"], problem["code"], problem["parameter"]) == (400, "invalid_cursor", "cursor")
        assert hint in problem["hint"]
    assert len(await found(client, f"limit=100&cursor={cursor}")) == 3


async def test_an_unknown_operator_or_field_is_told_its_nearest_known_one(client):
    for query, parameter, hint in (
        ("titel=x", "titel", "Did you mean 'title'?"),
        ("title[gte]=x", "title[gte]", "Did you mean 'ge'?"),
        ("sort=titel", "sort", "Did you mean 'title'?"),
        ("title=x&title=y", "title", "Give it once"),
    ):
        problem = (await client.get(f"/data?{query}")).json()
        assert (problem["status"], problem["parameter"], problem["hint"]) == (422, parameter, hint)


async def test_the_description_has_every_parameter(client):
    described = (await client.get("/openapi.json")).json()["paths"]["/data"]["get"]["parameters"]

    assert {p["name"] for p in described} == {*FIELDS, *DIRECTIVES} - {"metadata"}


async def test_answers_of_every_shape_are_as_described(client, records):
    for query in ("", "fields=id", "fields=title,metadata.n", "facets=category", "count=none", "limit=1"):
        answer = await client.get(f"/data?{query}")
        parsed = PaginatedResponse.model_validate_json(answer.content, strict=True)
        if "fields" not in query:
            assert all(isinstance(record, StoredRecord) for record in parsed.data)


async def test_poison_stays_out_of_every_query(client, seed):
    """Whatever somebody has written by hand, filters, sorting and facets over it are answered."""
    good = seed.record("alpha", {"title": "a", "published_at": "2024-01-01T00:00:00Z", "metadata": {"n": 1}})
    for data in ("[1]", '"x"', "null", '{"title": {"a": 1}, "published_at": "soon", "metadata": [1]}'):
        seed.record("alpha", data)
    seed.record("alpha", '{"metadata": {"n": 1e131000, "m": "1e999"}}')
    seed.record("alpha", f'{{"metadata": {{"n": {"[" * 5000}{"]" * 5000}}}}}')
    seed.connection.execute("UPDATE normalized_data SET updated_at = 'infinity' WHERE id = %s", (good + 1,))

    queries = [
        "",
        *(
            f"sort={sign}{field}"
            for sign in ("", "-")
            for field in (*FIELDS, "metadata.n", "metadata.m")
            if field != "metadata"
        ),
        *(
            f"{field}[{op}]=1"
            for field in ("title", "published_at", "metadata.n")
            for op in ("gt", "ne")
            if field != "published_at"
        ),
        "published_at[lt]=2025-01-01",
        "facets=category,author,metadata.n",
        "metadata.n[contains]=1",
        "fields=title,metadata.n",
        "count=estimated&metadata.n=1",
    ]
    for query in queries:
        ids: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            with capture_logs():
                answer = await client.get(f"/data?{query}&limit=2" + (f"&cursor={cursor}" if cursor else ""))
            assert answer.status_code == 200, (query, answer.text)
            body = json.loads(
                answer.content, parse_int=float
            )  # 131,000 digits are more than Python's int takes
            ids += [record.get("id", good) for record in body["data"]]
            cursor = body["next_cursor"]
        if "[" not in query and "=1" not in query:
            assert good in ids, query


async def test_nothing_hostile_reaches_the_database_as_syntax(
    client, seed, records, postgres_server, request
):
    """Every hostile value in every place a request has, as value and as key; the server's log is the witness."""
    requests = [
        pair
        for text in HOSTILE
        for pair in (
            *(
                {f"{field}[{op}]": text}
                for field in FIELDS
                if field != "metadata"
                for op in ("eq", "in", "contains")
            ),
            *({f"metadata.n[{op}]": text} for op in Op),
            {f"metadata.{text}": "1"},
            {f"metadata.{json.dumps(text)}[gt]": "1"},
            {text: "1"},
            {f"title[{text}]": "1"},
            {"sort": text},
            {"sort": f"-metadata.{json.dumps(text)}"},
            {"fields": f"id,metadata.{json.dumps(text)}"},
            {"facets": f"metadata.{json.dumps(text)}"},
            {"cursor": text},
            {"limit": text},
            {"filter": text},
            {"filter": json.dumps({"title": text, "metadata.n": {"in": [text]}, f"metadata.{text}": text})},
            {
                "filter": json.dumps(
                    {"or": [{f"metadata.{json.dumps(text)}": {"contains": text}}, {"title": {"ne": text}}]}
                )
            },
        )
    ]
    limit = asyncio.Semaphore(4)

    async def send(pair: dict[str, str]) -> None:
        async with limit:
            answer = await client.get("/data", params=pair)
        assert answer.status_code in {200, 400, 422}, (pair, answer.text)
        assert {record.get("id") for record in answer.json().get("data", [])} <= {*records, None}

    with errors_in_the_log(seed.connection) as errors:
        await asyncio.gather(*map(send, requests))

    assert seed.connection.execute("SELECT count(*) FROM normalized_data").fetchone() == (len(records),)
    assert errors == []


async def test_the_log_would_show_a_syntax_error(seed):
    """What the test above relies on."""
    if server_log(seed.connection) is None:
        pytest.skip("the tests run on a real server")
    with errors_in_the_log(seed.connection) as errors, pytest.raises(psycopg.errors.SyntaxError):
        seed.connection.execute("SELECT FROM WHERE")

    assert "syntax error" in errors[0]
