"""Entities and their records, asked for in GraphQL."""

from __future__ import annotations

from typing import Any

import pytest

from kasparro.api.graphql.node import global_id
from kasparro.core.uuid7 import uuid7

pytestmark = pytest.mark.anyio


async def ask(client, query: str, **variables: Any) -> dict[str, Any]:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    told = answer.json()
    assert "errors" not in told, told
    return told["data"]


ONE = """query($id: ID!) { entity(id: $id) {
  id entityId recordCount createdAt
  records { edges { sourceName sourceId method confidence decidedBy decidedAt conflict node { recordId title source { name } } }
            nodes { url } pageInfo { hasNextPage } }
} }"""


async def test_an_entity_has_the_records_of_all_sources_and_why(client, seed):
    number = seed.record("alpha", {"title": "One", "url": "https://example.org/1", "metadata": {}})
    entity = seed.entity("alpha:1", "beta:7", decided_at="2026-01-02T03:04:05Z")

    found = (await ask(client, ONE, id=entity.upper()))["entity"]
    there = (await client.get(f"/entities/{entity}")).json()

    assert (found["id"], found["entityId"], found["recordCount"]) == (
        global_id("Entity", entity),
        entity,
        2,
    )
    assert found["createdAt"] == there["created_at"]
    one, other = found["records"]["edges"]
    assert one == {
        "sourceName": "alpha",
        "sourceId": "1",
        "method": "url",
        "confidence": 0.95,
        "decidedBy": "rule",
        "decidedAt": "2026-01-02T03:04:05Z",
        "conflict": None,
        "node": {"recordId": number, "title": "One", "source": {"name": "alpha"}},
    }
    assert (other["sourceName"], other["sourceId"], other["node"]) == ("beta", "7", None)
    assert found["records"]["nodes"] == [{"url": "https://example.org/1"}]
    assert found["records"]["pageInfo"] == {"hasNextPage": False}


async def test_every_id_of_an_entity_leads_to_it_and_those_merged_into_it_do_too(client, seed):
    first, second, third = seed.entity(), seed.entity(), seed.entity("alpha:1")
    for goes, stays in ((first, second), (second, third)):
        seed.connection.execute("UPDATE entity SET merged_into = %s WHERE id = %s", (stays, goes))
    query = "query($id: ID!, $global: ID!) { a: entity(id: $id) { entityId } b: entity(id: $global) { entityId } node(id: $global) { __typename id } }"

    for one in (first, second, third):
        found = await ask(client, query, id=one, **{"global": global_id("Entity", one)})
        assert found["a"] == found["b"] == {"entityId": third}
        assert found["node"] == {"__typename": "Entity", "id": global_id("Entity", third)}
    nothing = await ask(client, query, id=uuid7(), **{"global": global_id("Entity", uuid7())})
    assert nothing == {"a": None, "b": None, "node": None}


async def test_the_records_of_an_entity_are_paged_in_the_order_in_which_they_were_linked(client, seed):
    entity = seed.entity(*(f"alpha:{n}" for n in range(5)))
    seed.entity("alpha:9")
    query = """query($id: ID!, $after: String) { entity(id: $id) { records(first: 2, after: $after) {
      edges { cursor sourceId } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    seen, after = [], None
    while True:
        page = (await ask(client, query, id=entity, after=after))["entity"]["records"]
        seen += page["edges"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]

    assert [edge["sourceId"] for edge in seen] == ["0", "1", "2", "3", "4"]
    rest = (await ask(client, query, id=entity, after=seen[2]["cursor"]))["entity"]["records"]
    assert rest["edges"] == seen[3:]
    behind = (await ask(client, query, id=entity, after=seen[4]["cursor"]))["entity"]["records"]
    assert (behind["edges"], behind["pageInfo"]["endCursor"]) == ([], None)


@pytest.mark.parametrize("argument", ["first: 0", "first: 101", 'after: "x"', 'after: "TGlua0N1cnNvcjp4"'])
async def test_what_is_asked_wrongly_of_its_records_is_refused(client, seed, argument):
    query = f'{{ entity(id: "{seed.entity("alpha:1")}") {{ records({argument}) {{ nodes {{ title }} }} }} }}'
    (error,) = (await client.post("/graphql", json={"query": query})).json()["errors"]

    assert error["extensions"]["parameter"] == argument.partition(":")[0]


async def test_entities_are_those_that_requests_list_page_by_page(client, seed):
    alone, matched = seed.entity("alpha:1"), seed.entity("alpha:2", "beta:2")
    torn = seed.entity("alpha:3", method="conflict", conflict=f'{{"url": ["{alone}", "{matched}"]}}')
    seed.entity()  # nobody speaks of it
    query = """query($after: String, $matched: Boolean!, $conflicts: Boolean!) {
      entities(first: 2, after: $after, matched: $matched, conflicts: $conflicts) {
        edges { cursor node { entityId } } nodes { records { edges { conflict } } } pageInfo { hasNextPage endCursor } } }"""

    for which in ({}, {"matched": True}, {"conflicts": True}, {"matched": True, "conflicts": True}):
        asked = {"matched": False, "conflicts": False, **which}
        there = (await client.get("/entities", params=dict.fromkeys(which, "true"))).json()["entities"]
        seen, after = [], None
        while True:
            page = (await ask(client, query, after=after, **asked))["entities"]
            seen += [edge["node"]["entityId"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert seen == [entity["id"] for entity in there], which
    found = (await ask(client, query, matched=False, conflicts=True))["entities"]
    assert found["edges"][0]["node"]["entityId"] == torn
    assert found["nodes"][0]["records"]["edges"] == [{"conflict": {"url": [alone, matched]}}]


async def test_a_record_names_its_entity_and_the_others_that_speak_of_it(client, seed):
    seed.record("alpha", {"title": "One", "metadata": {}})
    seed.record("beta", {"title": "Uno", "metadata": {}})
    seed.record("beta", {"title": "Of nothing", "metadata": {}})
    entity = seed.entity("alpha:1", "beta:1")
    query = "{ records { nodes { title entity { entityId recordCount createdAt records { nodes { title sourceName } } } } } }"

    one, uno, of_nothing = (await ask(client, query))["records"]["nodes"]

    assert one["entity"] == uno["entity"]
    assert (one["entity"]["entityId"], one["entity"]["recordCount"]) == (entity, 2)
    assert one["entity"]["records"]["nodes"] == [
        {"title": "One", "sourceName": "alpha"},
        {"title": "Uno", "sourceName": "beta"},
    ]
    assert of_nothing["entity"] is None


async def test_a_row_that_is_no_record_leaves_its_link_and_the_others_be(client, seed):
    seed.record("alpha", '"text"', "1")
    seed.record("beta", {"title": "Uno", "metadata": {}})
    entity = seed.entity("alpha:1", "beta:1")
    query = "query($id: ID!) { entity(id: $id) { records { edges { sourceName node { title } } nodes { title } } } }"

    found = (await ask(client, query, id=entity))["entity"]["records"]

    assert found["edges"] == [
        {"sourceName": "alpha", "node": None},
        {"sourceName": "beta", "node": {"title": "Uno"}},
    ]
    assert found["nodes"] == [{"title": "Uno"}]


@pytest.mark.parametrize(
    "query",
    [
        "records(first: $first) { nodes { entity { entityId records(first: 2) { nodes { title entity { recordCount } } } } } }",
        "entities(first: $first) { nodes { records(first: 3) { nodes { lineage { version } entity { entityId } } } } }",
    ],
)
async def test_entities_and_their_records_are_asked_for_once_for_all(serve, seed, wire, query):
    """However many there are, and however far round one goes: one statement a field.

    One way round at a time: two that meet in a loader share its statement only if they come there together.
    """
    for n in range(20):
        seed.record("alpha", {"title": f"alpha {n}", "metadata": {}})
        seed.record("beta", {"title": f"beta {n}", "metadata": {}})
        seed.entity(f"alpha:{n + 1}", f"beta:{n + 1}")
    asked = []
    for first in (1, 20):
        async with serve(url=wire.url) as service:
            before = wire.selects
            [(_, found)] = (
                await ask(service.client, f"query($first: Int!) {{ {query} }}", first=first)
            ).items()
            asked.append(wire.selects - before)
        entities = [node.get("entity", node) for node in found["nodes"]]
        assert [len(one["records"]["nodes"]) for one in entities] == [2] * first

    assert 0 < asked[1] <= asked[0] <= 6
