"""The examples of docs/graphql.md are what somebody will try first: every one of them works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from graphql_socket import talking
from live_server import live

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[3] / "docs" / "graphql.md").read_text()
EXAMPLES = re.findall(r"```graphql\n(.*?)```", PAGE, re.DOTALL)
CATALOG = """
sources:
  faa_airports: {type: csv, path: airports.csv, key: faa, search: true, map: {title: name, category: "const:airport"}}
"""
AIRPORTS = """faa,name,alt,tz
06C,Schaumburg Regional,801,-6
06N,Randall Airport,523,-5
SIT,Sitka Rocky Gutierrez International,21,-9
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "airports.csv").write_text(AIRPORTS)
    path = tmp_path / "kasparro.yaml"
    path.write_text(CATALOG)
    return path


async def test_every_query_of_the_documentation_works(service):
    await service.runtime.ingestion.ingest("faa_airports")
    queries = [example for example in EXAMPLES if "subscription" not in example]

    assert len(queries) == 4
    answers = [(await service.client.post("/graphql", json={"query": query})).json() for query in queries]
    assert [answer.get("errors") for answer in answers] == [None] * 4
    (edge,) = answers[0]["data"]["records"]["edges"]
    assert (edge["node"]["title"], edge["node"]["altitude"]) == ("Schaumburg Regional", "801")
    found = [edge["highlight"]["title"] for edge in answers[1]["data"]["search"]["edges"]]
    assert sorted(found) == [
        "<mark>Schaumburg</mark> Regional",
        "<mark>Sitka</mark> Rocky Gutierrez International",
    ]
    assert all(edge["rank"] > 0 for edge in answers[1]["data"]["search"]["edges"])


async def test_the_subscription_of_the_documentation_works(service):
    (query,) = [example for example in EXAMPLES if "subscription" in example]
    async with live(service.app) as server, talking(server.port) as talk:
        await talk.open()
        await talk.subscribe("1", query.replace('since: "now", ', ""))
        await service.runtime.ingestion.ingest("faa_airports")

        told = await talk.hear()
    assert told["payload"]["data"]["recordChanges"]["record"]["title"] == "Schaumburg Regional"


async def test_the_command_of_the_documentation_works(service, seed):
    body = json.loads(re.search(r"-d '(.*)'", PAGE)[1])

    assert (await service.client.post("/graphql", json=body)).json()["data"]["records"]["totalCount"] == 0


async def test_the_cost_that_is_told_is_the_cost(serve):
    query, cost = re.search(r"`(records.*?)` costs (\d+)", PAGE).groups()
    for limit, refused in ((int(cost), False), (int(cost) - 1, True)):
        async with serve(graphql_max_cost=limit) as service:
            answer = await service.client.post("/graphql", json={"query": "{ " + query + " }"})
            assert ("errors" in answer.json()) == refused, answer.text
