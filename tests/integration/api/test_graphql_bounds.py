"""What a query may ask for at most; refused before anything is executed, and most of it before it is held against the schema."""

from __future__ import annotations

import pytest
from graphql import get_introspection_query

from kasparro.api.graphql.document import LISTS, MOST_FRAGMENTS, MOST_OF_A_NAME, MOST_OPERATIONS
from kasparro.api.graphql.schema import SCHEMA

pytestmark = pytest.mark.anyio

HOSTILE = {
    "a megabyte": "{" + "a " * 60_000 + "}",
    "characters": "{" + "__typename " * 1000 + "}",
    "tokens": "{" + "a " * 1100 + "}",
    "a comment": "#" + "x" * 10_001 + "\n{ __typename }",
    "aliases": "{" + " ".join(f"a{n}: __typename" for n in range(31)) + "}",
    "a name over and over": "{ record(id: 1) {" + "title " * (MOST_OF_A_NAME + 1) + "} }",
    "root fields": "{" + "sources { name } " * 11 + "}",
    "root fields in a fragment": "{ ...A ...A } fragment A on Query {" + "sources { name } " * 6 + "}",
    "depth": "{ sources " + "{ lastRun { source " * 8 + "{ name }" + "} }" * 8 + "}",
    "depth by fragments": "{ sources { ...A0 } }"
    + "".join(f" fragment A{n} on Source {{ lastRun {{ source {{ ...A{n + 1} }} }} }}" for n in range(9))
    + " fragment A9 on Source { name }",
    "nesting of values": "{ records(filter: " + "{not: " * 15 + "{}" + "}" * 15 + ") { count } }",
    "beyond the parser": "{a" * 300 + "}" * 300,
    "directives": "{ __typename " + "@skip(if: false) " * 31 + "}",
    "a fragment of itself": "{ ...A } fragment A on Query { __typename ...A }",
    "fragments of each other": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "fragments that double": "{ ...A0 }"
    + "".join(f" fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(20))
    + " fragment A20 on Query { __typename }",
    "fragments": "{ __typename }"
    + "".join(f" fragment A{n} on Query {{ __typename }}" for n in range(MOST_FRAGMENTS + 1)),
    "operations": " ".join(f"query A{n} {{ __typename }}" for n in range(MOST_OPERATIONS + 1)),
    "cost": "{ records(first: 100) { nodes { lineage { fields { field how path converted names } raw { rawId href } } "
    + " ".join(f"a{n}: metadata" for n in range(30))
    + " title url author content category } } }",
    "cost of entities": "{ entities(first: 100) { nodes { records(first: 40) { edges { method } } } } }",
    "cost of going round": "{ records(first: 10) { nodes { entity { records(first: 10) { nodes { entity { records { nodes "
    "{ entity { entityId } } } } } } } } } }",
    "cost of several": "{"
    + "records(first: 100) { nodes { id title url author content category sourceId } } " * 8
    + "}",
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_query_that_asks_for_too_much_is_refused(client, what):
    answer = await client.post(
        "/graphql", json={"query": HOSTILE[what]}, headers={"accept": "application/graphql-response+json"}
    )

    assert answer.status_code in {400, 413}, answer.text
    told = answer.json()
    code = told["code"] if answer.status_code == 413 else told["errors"][0]["extensions"]["code"]
    assert code in {"query_refused", "content_too_large"} or (
        what == "beyond the parser" and code == "invalid_query"
    )
    assert "data" not in told


async def test_cost_counts_what_variables_say(client):
    query = (
        "query($n: Int!) { "
        + " ".join(
            f"a{n}: records(first: $n) {{ nodes {{ id title url author content category sourceId createdAt }} }}"
            for n in range(6)
        )
        + " }"
    )
    few = await client.post("/graphql", json={"query": query, "variables": {"n": 2}})
    many = await client.post("/graphql", json={"query": query, "variables": {"n": 100}})

    assert "data" in few.json()
    assert many.json()["errors"][0]["extensions"]["code"] == "query_refused"


async def test_limits_are_those_of_the_settings(serve):
    async with serve(graphql_max_cost=10, graphql_max_depth=2, graphql_max_aliases=0) as service:

        async def code(query: str) -> str | None:
            answer = (await service.client.post("/graphql", json={"query": query})).json()
            return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None

        assert await code("{ __typename }") is None
        assert await code("{ a: __typename }") == "query_refused"
        assert await code("{ sources { name type } }") == "query_refused"
        assert await code('{ source(name: "x") { lastRun { runId } } }') == "query_refused"


def test_every_field_that_answers_several_is_counted_as_such():
    """But for those within an object of bounded size: lineage, facets, the fields of a page."""
    several = {
        name
        for kind in SCHEMA.type_map.values()
        if hasattr(kind, "fields") and not kind.name.startswith("__") and kind in SCHEMA.type_map.values()
        for name, one in kind.fields.items()
        if getattr(one, "args", None) is not None and "[" in str(one.type)
    }
    bounded = {"edges", "nodes", "values", "fields", "names", "searchedSources"}

    assert several - bounded <= LISTS


async def test_the_schema_is_told_to_those_with_a_key(serve):
    query = {"query": get_introspection_query()}
    keys = {"read-secret-1": "read"}

    async def may(service, **headers: str) -> tuple[bool, bool]:
        answer = await service.client.post("/graphql", json=query, headers=headers)
        text = await service.client.get("/graphql/schema", headers=headers)
        return "data" in answer.json(), text.status_code == 200

    key = {"X-API-Key": "read-secret-1"}
    async with serve(api_keys=keys, public_read=True) as service:
        assert await may(service) == (False, False)
        assert await may(service, **key) == (True, True)
        plain = await service.client.post("/graphql", json={"query": "{ __typename records { __typename } }"})
        assert "data" in plain.json()
    async with serve(api_keys=keys, public_read=True, graphql_introspection="all") as service:
        assert await may(service) == (True, True)
    async with serve(api_keys=keys, graphql_introspection="none") as service:
        assert await may(service, **key) == (False, False)
    async with serve() as service:
        assert await may(service) == (True, True)


async def test_introspection_that_goes_in_circles_is_refused(client):
    query = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    answer = await client.post("/graphql", json={"query": query})

    assert answer.json()["errors"][0]["extensions"]["code"] == "invalid_query"
