"""Queries over the dataset and the operation: the same answers as the other routes give, in another language."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kasparro.api.graphql.node import global_id

pytestmark = pytest.mark.anyio


async def ask(client, query: str, **variables: Any) -> dict[str, Any]:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    told = answer.json()
    assert "errors" not in told, told
    return told["data"]


async def fails(client, query: str, **variables: Any) -> dict[str, Any]:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    return answer.json()["errors"][0]["extensions"]


PAGES = """query($after: String, $first: Int!) {
  records(first: $first, after: $after, sort: [{field: TITLE, direction: DESC}]) {
    totalCount count
    edges { cursor node { title } }
    nodes { title }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


async def test_pages_follow_each_other_and_hold_every_record_once(client, seed):
    seed.records("alpha", 7)
    seen, after, pages = [], None, []
    while True:
        page = (await ask(client, PAGES, first=3, after=after))["records"]
        seen += [edge["node"]["title"] for edge in page["edges"]]
        pages.append(page)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert seen == [f"alpha {n}" for n in reversed(range(7))]
    assert [page["totalCount"] for page in pages] == [7, 7, 7]
    assert {page["count"] for page in pages} == {"EXACT"}
    assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False, True, True]
    assert pages[0]["nodes"] == [edge["node"] for edge in pages[0]["edges"]]
    assert pages[0]["pageInfo"]["startCursor"] == pages[0]["edges"][0]["cursor"]


async def test_every_edge_has_a_cursor_that_goes_on_behind_it(client, seed):
    seed.records("alpha", 5)
    edges = (await ask(client, PAGES, first=5, after=None))["records"]["edges"]
    for place, edge in enumerate(edges):
        rest = (await ask(client, PAGES, first=5, after=edge["cursor"]))["records"]["edges"]
        assert [one["node"]["title"] for one in rest] == [one["node"]["title"] for one in edges[place + 1 :]]


async def test_a_cursor_goes_on_in_either_language(client, seed):
    seed.records("alpha", 4)
    rest = (await client.get("/data?sort=-title&limit=2")).json()
    there = (await ask(client, PAGES, first=2, after=rest["next_cursor"]))["records"]
    back = (
        await client.get(
            "/data",
            params={
                "sort": "-title",
                "limit": 2,
                "cursor": (await ask(client, PAGES, first=2))["records"]["pageInfo"]["endCursor"],
            },
        )
    ).json()

    assert [edge["node"]["title"] for edge in there["edges"]] == ["alpha 1", "alpha 0"]
    assert [one["title"] for one in back["data"]] == ["alpha 1", "alpha 0"]


FILTERS = [
    ({"title": {"eq": "alpha 3"}}, {"title": {"eq": "alpha 3"}}),
    ({"title": {"in": ["alpha 1", "beta 2"]}}, {"title": {"in": ["alpha 1", "beta 2"]}}),
    ({"title": {"contains": "A 1", "startswith": "b"}}, {"title": {"contains": "A 1", "startswith": "b"}}),
    (
        {"author": {"isnull": True}, "source": {"ne": "alpha"}},
        {"author": {"isnull": True}, "source": {"ne": "alpha"}},
    ),
    ({"author": {"eq": None}}, {"author": {"eq": None}}),
    ({"recordId": {"between": [2, 4]}}, {"id": {"between": [2, 4]}}),
    ({"recordId": {"in": [1, 7], "ge": 2}}, {"id": {"in": [1, 7], "ge": 2}}),
    (
        {"createdAt": {"gt": "2020-01-01"}, "updatedAt": {"lt": "2020-01-01T00:00:00+02:00"}},
        {"created_at": {"gt": "2020-01-01"}, "updated_at": {"lt": "2020-01-01T00:00:00+02:00"}},
    ),
    ({"metadata": [{"path": "number", "ge": 2, "lt": 4}]}, {"metadata.number": {"ge": 2, "lt": 4}}),
    ({"metadata": [{"path": "number", "eq": "2"}]}, {"metadata.number": {"eq": "2"}}),
    ({"metadata": [{"path": "number", "in": [1, 2.0]}]}, {"metadata.number": {"in": [1, 2.0]}}),
    ({"metadata": [{"path": '"no.such".x', "isnull": True}]}, {'metadata."no.such".x': {"isnull": True}}),
    (
        {
            "or": [
                {"title": {"eq": "alpha 0"}},
                {"and": [{"source": {"eq": "beta"}}, {"not": {"sourceId": {"le": "2"}}}]},
            ]
        },
        {
            "or": [
                {"title": {"eq": "alpha 0"}},
                {"and": [{"source": {"eq": "beta"}}, {"not": {"source_id": {"le": "2"}}}]},
            ]
        },
    ),
]


@pytest.mark.parametrize(("asked", "same"), FILTERS, ids=lambda given: json.dumps(given)[:60])
async def test_a_filter_finds_what_the_same_filter_of_a_request_finds(client, seed, asked, same):
    seed.records("alpha", 5)
    seed.records("beta", 5)
    query = "query($filter: RecordFilter) { records(first: 100, filter: $filter) { totalCount nodes { recordId } } }"
    found = (await ask(client, query, filter=asked))["records"]
    there = (await client.get("/data", params={"limit": 100, "filter": json.dumps(same)})).json()

    assert [one["recordId"] for one in found["nodes"]] == [one["id"] for one in there["data"]]
    assert found["totalCount"] == there["total_count"]


async def test_filters_may_be_written_in_the_query(client, seed):
    seed.record("alpha", {"title": "a", "metadata": {"n": 1.50}})
    seed.record("alpha", {"title": "b", "metadata": {"n": True, "m": {"x": [7]}}})
    query = """{
      exact: records(filter: {metadata: [{path: "n", eq: 1.5}]}) { nodes { title } }
      bool: records(filter: {metadata: [{path: "n", eq: true}]}) { nodes { title } }
      sorted: records(sort: [{field: METADATA, path: "m.x.0"}, {field: TITLE, direction: DESC}]) { nodes { title } }
    }"""
    data = await ask(client, query)

    assert data["exact"]["nodes"] == [{"title": "a"}]
    assert data["bool"]["nodes"] == [{"title": "b"}]
    assert len(data["sorted"]["nodes"]) == 2


async def test_every_digit_of_metadata_is_answered(client, seed):
    text = '{"source": "alpha", "source_id": "1", "metadata": {"big": 123456789012345678901234567890, "exact": 1.10, "a.b": {"c": [1, {"d": 0.10}]}}}'
    seed.record("alpha", text)
    query = """{ records { nodes { metadata big: metadata(path: "big") deep: metadata(path: "\\"a.b\\".c.1.d")
      none: metadata(path: "a.b") beyond: metadata(path: "\\"a.b\\".c.9") } } }"""
    answer = await client.post("/graphql", json={"query": query})

    assert '"exact": 1.10' in answer.text
    assert '"big":123456789012345678901234567890' in answer.text
    assert '"deep":0.10,"none":null,"beyond":null' in answer.text


async def test_a_record_is_found_by_its_id_and_by_its_number(client, seed):
    (number,) = seed.records("alpha", 1)
    query = 'query($id: ID!, $number: ID!) { node(id: $id) { __typename id ... on Record { title } } a: record(id: $id) { id } b: record(id: $number) { id } none: record(id: "99") { id } }'
    data = await ask(client, query, id=global_id("Record", number), number=str(number))

    assert data["node"] == {"__typename": "Record", "id": global_id("Record", number), "title": "alpha 0"}
    assert data["a"] == data["b"] == {"id": global_id("Record", number)}
    assert data["none"] is None


async def test_every_node_is_found_again_by_its_id(client, seed):
    seed.records("alpha", 1)
    seed.run("alpha")
    found = await ask(client, "{ records { nodes { id } } sources { id } runs { nodes { id } } }")
    ids = [*found["records"]["nodes"], *found["sources"], *found["runs"]["nodes"]]
    for one in ids:
        assert (await ask(client, "query($id: ID!) { node(id: $id) { id } }", **one))["node"] == one


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "UmVjb3Jk",
        global_id("Nothing", 1),
        global_id("Record", "x"),
        global_id("Record", "9" * 30),
        global_id("Run", "a\0b"),
        "ÿ",
    ],
)
async def test_an_id_that_is_none_is_refused(client, bad):
    assert (await fails(client, "query($id: ID!) { node(id: $id) { id } }", id=bad))[
        "code"
    ] == "invalid_parameter"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("{ records(first: 0) { count } }", "first"),
        ("{ records(first: 101) { count } }", "first"),
        ('{ records(after: "damaged") { count } }', "after"),
        ('{ records(source: "No") { count } }', "source"),
        ("{ records(filter: {title: {in: []}}) { count } }", "filter"),
        ("{ records(filter: {title: {}}) { count } }", "filter"),
        ('{ records(filter: {metadata: [{path: "a..b", eq: 1}]}) { count } }', "filter"),
        ('{ records(filter: {metadata: [{path: "a", eq: 1}, {path: "a", eq: 2}]}) { count } }', "filter"),
        ('{ records(filter: {publishedAt: {gt: "yesterday"}}) { count } }', "filter"),
        ("{ records(sort: [{field: METADATA}]) { count } }", "sort"),
        ('{ records(sort: [{field: TITLE, path: "x"}]) { count } }', "sort"),
        ("{ records(facets: [{field: METADATA}]) { count } }", "facets"),
        ('{ search(query: "x") { count } }', "query"),
        ('{ search(query: " ") { count } }', "query"),
        ("{ drifts(first: 0) { nodes { source } } }", "first"),
        ('{ drifts(after: "UnVuOjE=") { nodes { source } } }', "after"),
        ('{ drifts(source: "No") { nodes { source } } }', "source"),
        ("{ entities(first: 101) { nodes { entityId } } }", "first"),
        ('{ entities(after: "damaged") { nodes { entityId } } }', "after"),
        ('{ entities(after: "RW50aXR5Q3Vyc29yOjE=") { nodes { entityId } } }', "after"),
        ('{ entity(id: "1") { entityId } }', "id"),
        ('{ entity(id: "UmVjb3JkOjE=") { entityId } }', "id"),
        ('{ entity(id: "RW50aXR5OjE=") { entityId } }', "id"),
        ('{ node(id: "RW50aXR5OjE=") { id } }', "id"),
        ("{ runs(first: 0) { totalCount } }", "first"),
        ('{ runs(after: "damaged") { totalCount } }', "after"),
        ('{ runs(source: "No") { totalCount } }', "source"),
        ('{ stats(source: "a\\u0000b") { lastRunId } }', "source"),
        ("{ recordChanges(first: 1001) { more } }", "first"),
        ('{ records { nodes { metadata(path: "a..b") } } }', "path"),
    ],
)
async def test_what_is_wrong_is_named(client, seed, query, parameter):
    seed.records("alpha", 1)
    assert (await fails(client, query))["parameter"] == parameter


@pytest.mark.parametrize("argument", ["last: 3", 'before: "x"', "offset: 3"])
async def test_pages_go_forward_only(client, argument):
    assert (await fails(client, f"{{ records({argument}) {{ count }} }}"))["code"] == "invalid_query"


async def test_facets_and_estimates_are_those_of_requests(client, seed):
    seed.records("alpha", 3)
    seed.records("beta", 2)
    query = """{ records(first: 1, facets: [{field: SOURCE}, {field: METADATA, path: "number"}], count: ESTIMATED, filter: {title: {startswith: "a"}}) {
      count totalCount facets { field values { value count } } } }"""
    page = (await ask(client, query))["records"]

    assert page["count"] == "ESTIMATED"
    assert page["facets"][0] == {"field": "source", "values": [{"value": "alpha", "count": 3}]}
    assert {"value": "1", "count": 1} in page["facets"][1]["values"]


async def test_what_is_not_asked_for_is_not_counted(client, seed):
    """The total belongs to the first page that asks for it; nothing else pays for it."""
    seed.records("alpha", 3)
    first = (await ask(client, "{ records(first: 1) { pageInfo { endCursor } } }"))["records"]
    query = "query($after: String) { records(first: 1, after: $after) { totalCount count } }"

    assert (await ask(client, query, after=first["pageInfo"]["endCursor"]))["records"] == {
        "totalCount": None,
        "count": "NONE",
    }


async def test_runs_are_paged_by_the_run_before(client, seed):
    ids = [seed.run("alpha", hours_ago=9 - n) for n in range(5)]
    seed.run("beta", "failed")
    query = """query($after: String) { runs(first: 2, after: $after, source: "alpha") {
      totalCount nodes { runId status sourceName startTime metadata source { name } } pageInfo { hasNextPage endCursor } } }"""
    seen, after, came = [], None, 0
    while True:
        page = (await ask(client, query, after=after))["runs"]
        seen += [one["runId"] for one in page["nodes"]]
        assert page["totalCount"] == 5 + came
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
        seed.run("alpha")  # what comes meanwhile moves nothing
        came += 1

    assert seen[:2] == ids[:-3:-1]
    assert seen == ids[::-1]
    failed = (await ask(client, "{ runs(status: FAILED) { nodes { errorMessage } } }"))["runs"]["nodes"]
    assert failed == [{"errorMessage": "the source refuses"}]


async def test_drifts_are_paged_by_the_one_before(client, seed):
    ids = [seed.drift("alpha", field_path=name) for name in "abc"]
    seed.drift("beta", field_path="d", decision="frozen")
    query = """query($after: String) { drifts(first: 2, source: "alpha", after: $after) {
      nodes { driftId fieldPath kind decision detectedAt } pageInfo { hasNextPage endCursor } } }"""
    first = (await ask(client, query))["drifts"]
    second = (await ask(client, query, after=first["pageInfo"]["endCursor"]))["drifts"]

    assert [one["driftId"] for one in first["nodes"] + second["nodes"]] == ids[::-1]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)
    everything = (await ask(client, "{ drifts { nodes { decision } } }"))["drifts"]["nodes"]
    assert [one["decision"] for one in everything][:1] == ["FROZEN"]
    assert len(everything) == 4


async def test_the_operation_is_told_as_requests_tell_it(client, seed):
    seed.records("alpha", 2)
    run_id = seed.run("alpha", records_processed=2, records_inserted=2)
    seed.totals("alpha", records_processed=2, records_inserted=2)
    query = """query($run: String!) {
      sources { name recordCount declared running lastRun { runId } }
      source(name: "beta") { schedule }
      run(runId: $run) { recordsProcessed source { recordCount } }
      stats { totalRecordsProcessed lastRunId sources { source recordCount } }
      checkpoints { source version recordCount }
    }"""
    data = await ask(client, query, run=run_id)
    sources = (await client.get("/sources")).json()["sources"]

    assert [one["name"] for one in data["sources"]] == [one["name"] for one in sources]
    assert data["sources"][0] == {
        "name": "alpha",
        "recordCount": 2,
        "declared": True,
        "running": False,
        "lastRun": {"runId": run_id},
    }
    assert data["source"] == {"schedule": "0 6 * * *"}
    assert data["run"] == {"recordsProcessed": 2, "source": {"recordCount": 2}}
    assert data["stats"] == {
        "totalRecordsProcessed": 2,
        "lastRunId": run_id,
        "sources": [{"source": "alpha", "recordCount": 2}],
    }
    assert data["checkpoints"] == [{"source": "alpha", "version": 1, "recordCount": 2}]


async def test_changes_are_asked_for_and_gone_on_from(client, seed):
    seed.records("alpha", 3)
    query = """query($since: String) { recordChanges(first: 2, since: $since) { more cursor changes { op sourceId cursor record { title metadata } } } }"""
    first = (await ask(client, query))["recordChanges"]
    between = (await ask(client, query, since=first["changes"][0]["cursor"]))["recordChanges"]
    rest = (await ask(client, query, since=first["cursor"]))["recordChanges"]
    now = (await ask(client, query, since="now"))["recordChanges"]

    assert [one["sourceId"] for one in first["changes"]] == ["1", "2"]
    assert [one["sourceId"] for one in between["changes"]] == ["2", "3"]
    assert [one["record"]["metadata"] for one in rest["changes"]] == [{"number": 2}]
    assert (first["more"], rest["more"], now["changes"]) == (True, False, [])


async def test_a_row_that_is_no_record_spoils_nothing_but_itself(client, seed):
    seed.records("alpha", 1)
    seed.record("alpha", '{"source": "alpha", "source_id": "x", "title": 7}', "x")
    seed.record("alpha", '"text"', "y")
    data = await ask(
        client,
        "{ records { nodes { title } pageInfo { hasNextPage } } recordChanges { changes { record { title } } } }",
    )

    assert data["records"]["nodes"] == [{"title": "alpha 0"}]
    assert len(data["recordChanges"]["changes"]) == 1


async def test_what_belongs_to_records_is_asked_once_for_all_of_them(serve, seed, wire):
    """One statement for the lineage of a page, however long it is; one look at the sources for all that name one."""
    seed.records("alpha", 20)
    for _ in range(20):
        seed.run("alpha")
    query = """query($first: Int!) { records(first: $first) { nodes { source { name } lineage { version } } }
      runs(first: $first) { nodes { source { name } } } }"""
    asked = []
    for first in (1, 20):
        async with serve(url=wire.url) as service:
            before = wire.selects
            data = await ask(service.client, query, first=first)
            asked.append(wire.selects - before)
        assert [one["lineage"] for one in data["records"]["nodes"]] == [{"version": 1}] * first
        assert [one["source"] for one in data["runs"]["nodes"]] == [{"name": "alpha"}] * first

    assert asked[0] == asked[1]
    assert 0 < asked[1] <= 10
