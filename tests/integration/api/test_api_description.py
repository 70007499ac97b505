from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from kasparro.api.openapi import routes_of
from kasparro.core.uuid7 import uuid7

pytestmark = pytest.mark.anyio

KEYS = {"read-secret-1": "read"}
DOCS = Path(__file__).parents[3] / "docs" / "api.md"
PAGES = {"/graphql", "/graphql/schema", "/docs", "/docs/assets/{name}", "/redoc", "/openapi.json"}


@pytest.fixture
async def description(client) -> dict:
    return (await client.get("/openapi.json")).json()


def operations(description: dict) -> list[tuple[str, str, dict]]:
    return [(m, p, operation) for p, item in description["paths"].items() for m, operation in item.items()]


async def test_every_route_is_described(service, description):
    served = {(m.lower(), r.path) for r in routes_of(service.app) for m in r.methods if r.path not in PAGES}

    assert served == {(method, path) for method, path, _ in operations(description)}


async def test_every_route_is_in_the_documentation(service):
    text = DOCS.read_text()

    for route in routes_of(service.app):
        for method in route.methods:
            assert f"{method} {route.path}" in text, f"{method} {route.path} is not in docs/api.md"


async def test_every_error_is_described_as_a_problem(description):
    for method, path, operation in operations(description):
        assert {"401", "403", "422", "500"} <= operation["responses"].keys(), path
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                healths = path in {"/health", "/health/ready"} and status == "503"
                kinds = ["application/json"] * healths + ["application/problem+json"]
                assert list(response["content"]) == kinds, (method, path, status)
    assert "HTTPValidationError" not in description["components"]["schemas"]


async def test_operations_have_names_of_their_own(description):
    names = [operation["operationId"] for _, _, operation in operations(description)]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


@pytest.mark.parametrize(
    ("given", "without"),
    [
        ({"api_keys": KEYS}, set()),
        ({"api_keys": KEYS, "metrics_public": True}, {"/metrics"}),
        ({"api_keys": KEYS, "public_read": True}, {"get"}),
        ({}, {"get", "post"}),
    ],
    ids=["keys", "public metrics", "public reads", "this machine"],
)
async def test_all_but_health_takes_a_key_that_may_be_left_out_where_it_may(serve, given, without):
    async with serve(**given) as service:
        answer = await service.client.get("/openapi.json", headers={"X-API-Key": "read-secret-1"})

    for method, path, operation in operations(answer.json()):
        if path.startswith("/health"):
            assert operation["security"] == []
        else:
            optional = [{}] if without & {method, path} else []
            assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}, *optional], (method, path)


async def test_limits_are_described(description):
    parameters = {p["name"]: p.get("schema") for p in description["paths"]["/data"]["get"]["parameters"]}

    assert (
        parameters["limit"]["minimum"],
        parameters["limit"]["maximum"],
        parameters["limit"]["default"],
    ) == (1, 100, 10)
    assert (parameters["offset"]["minimum"], parameters["offset"]["maximum"]) == (0, 2**63 - 1)
    assert list(parameters)[:3] == ["limit", "offset", "source"]


async def test_real_answers_fit_their_description(client, seed, description):
    record = seed.records("alpha", 3)[0]
    seed.lease("alpha", seed.run("alpha", "in_progress"))
    failed = seed.run("beta", "failed")
    seed.totals("beta", records_processed=1, records_inserted=1)
    seed.drift("beta")
    paths = {
        "/": "/",
        "/health": "/health",
        "/health/live": "/health/live",
        "/data": "/data?limit=2",
        "/data/{id}": f"/data/{record}",
        "/stats": "/stats",
        "/runs": "/runs",
        "/runs/{run_id}": f"/runs/{failed}",
        "/checkpoints": "/checkpoints",
        "/schema-drifts": "/schema-drifts?limit=1",
        "/entities": "/entities",
        "/entities/{entity_id}": f"/entities/{seed.entity('alpha:1', 'alpha:2')}",
        "/sources": "/sources",
    }
    refused = {
        "/data": "/data?limit=0",
        "/data/{id}": "/data/999999",
        "/runs/{run_id}": "/runs/none",
        "/entities/{entity_id}": f"/entities/{uuid7()}",
    }

    for path, address in [*paths.items(), *refused.items()]:
        answer = await client.get(address)
        kind = answer.headers["content-type"]
        described = description["paths"][path]["get"]["responses"][str(answer.status_code)]["content"][kind]
        schema = described["schema"] | {"components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_pages_show_our_description(client, path):
    answer = await client.get(path)

    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_brings_everything_it_needs(service, page):
    """The pages work without internet: whatever they load is on this server."""
    html = (await service.client.get(page)).text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', html)

    assert wanted
    for address in wanted:
        assert address.startswith("/docs/assets/"), address
        answer = await service.client.get(address)
        assert (answer.status_code, len(answer.content) > 1000) == (200, True)
