"""The description of the API as those who generate clients need it, and the API held against it by schemathesis."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from live_server import live

pytestmark = pytest.mark.anyio

METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}
KEYS = {"read-secret-1": "read", "admin-secret-1": "admin"}
EXAMPLES = "8"
SECONDS = 540


BETWEEN_PARAMETERS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 414, 415, 422, 428, 429, "5xx"]

[[operations]]
include-path = "/data"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path = "/data/changes"
checks.positive_data_acceptance.enabled = false
phases.coverage.enabled = false

[[operations]]
include-path = "/data/export"
checks.positive_data_acceptance.enabled = false
phases.coverage.enabled = false

[[operations]]
include-path = "/data/stream"
enabled = false
"""
"""No schema can say that a cursor goes with no offset, or which names `sort` and `fields` may hold. Changes and
exports read the same conditions with the same code, so every value of every one of them is tried once, at `/data`. A stream has no end.
Of the refusals schemathesis would not expect 414, which the longest of its wrong filters get."""


@pytest.fixture
async def description(client) -> dict[str, Any]:
    return (await client.get("/openapi.json")).json()


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield f"{method.upper()} {path}", operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield status, kind, content


async def test_the_document_says_what_it_is_and_where(description):
    assert description["openapi"].startswith("3.1.")
    assert {"title", "version", "description", "license", "contact"} <= description["info"].keys()
    assert description["servers"]
    assert set(description["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    assert all(tag["description"] for tag in description["tags"])


async def test_the_document_has_the_form_of_openapi_3_1(description):
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(description)] == []


async def test_every_operation_says_what_it_does(description):
    tags = {tag["name"] for tag in description["tags"]}
    for name, operation in operations(description):
        assert operation["summary"].strip(), name
        assert operation["description"].strip(), name
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), name
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= tags, name
        assert isinstance(operation["security"], list), name


async def test_every_parameter_is_described_and_bounded(description):
    for name, operation in operations(description):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
            if "content" in parameter:  # a document of its own, bounded as a whole
                continue
            bounds = [parameter["schema"], *parameter["schema"].get("anyOf", [])]
            assert any(
                b.keys() & {"maximum", "maxLength", "pattern", "enum", "$ref", "const", "format"}
                for b in bounds
            ), (
                name,
                parameter["name"],
            )


async def test_every_operation_has_a_good_answer_and_all_refusals_with_examples(description):
    everywhere = {"400", "401", "403", "408", "413", "414", "422", "429", "431", "500", "503"}
    for name, operation in operations(description):
        statuses = operation["responses"].keys()
        assert any(status.startswith("2") for status in statuses), name
        assert everywhere <= statuses, name
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            assert "X-Request-ID" in response["headers"], (name, status)
        for status, kind, content in contents(operation):
            assert "example" in content, (name, status, kind)
            assert "schema" in content, (name, status, kind)


async def test_every_example_fits_its_schema(description):
    for name, operation in operations(description):
        for status, kind, content in contents(operation):
            schema = content["schema"] | {"components": description["components"]}
            jsonschema.Draft202012Validator(schema).validate(content["example"])
            if kind == "application/problem+json":
                assert content["example"]["status"] == int(status), name
        for parameter in operation.get("parameters", []):
            for shown in (parameter, *parameter.get("content", {}).values()):
                if "example" in shown:
                    schema = shown["schema"] | {"components": description["components"]}
                    jsonschema.Draft202012Validator(schema).validate(shown["example"])


async def test_every_reference_leads_somewhere_and_every_schema_is_used(description):
    text = str(description)
    used = set(re.findall(r"'\$ref': '#/components/(\w+)/([\w-]+)'", text))
    declared = {
        (kind, name) for kind in ("schemas", "headers") for name in description["components"].get(kind, {})
    }

    assert used <= declared
    assert declared <= used


@pytest.mark.timeout(SECONDS + 60)  # some thousand requests
async def test_schemathesis_finds_nothing(serve, seed, tmp_path):
    """Every check it has, against the server as it is deployed."""
    for number in range(5):
        seed.record("alpha", {"title": f"record {number}"})
    seed.run("alpha")
    (tmp_path / "schemathesis.toml").write_text(BETWEEN_PARAMETERS)
    settings = {"api_keys": KEYS, "rate_limit_per_minute": 0, "auth_failures_per_minute": 100_000}
    async with serve(**settings) as service, live(service.app) as server:
        program = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("st")),
            "run",
            f"{server.url}/openapi.json",
            *("--header", "X-API-Key: admin-secret-1"),
            *("--max-examples", EXAMPLES, "--seed", "7", "--phases", "examples,coverage,fuzzing"),
            *("--generation-database", "none", "--no-color"),
            cwd=tmp_path,  # it keeps what it found there
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(SECONDS):
            out, _ = await program.communicate()

    assert program.returncode == 0, out.decode()
