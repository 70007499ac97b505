"""The JSON Schema accepts what the loader accepts, in every spelling, and refuses the usual mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from kasparro.core.etl_config import json_schema

ROOT = Path(__file__).parents[3]

EVERYTHING = """
sources:
  repositories:
    type: api
    description: Popular repositories
    enabled: true
    url: https://api.example.org/search/items
    method: GET
    headers: {Accept: application/json, X-Version: 2}
    params: {q: "stars:>5000", n: 5, all: true}
    auth: {type: bearer, token: "${REPO_TOKEN}"}
    records: items
    key: id
    pagination: {type: page, param: page, start: 1, size_param: per_page, size: 100}
    incremental: {field: updated_at, param: since, initial: "2024-01-01", lookback: 1h, format: iso8601}
    rate_limit: {requests: 60, per: 60s, concurrency: 4, budget: {requests: 10000, per: month}}
    retry: {attempts: 5, base: 1s, max: 60s}
    timeout: 30s
    schedule: "0 */6 * * *"
    snapshot: false
    ignore_changes: [last_updated]
    drift: evolve
    map:
      title: [full_name, name]
      author: owner.login
      published_at: {path: created_at, as: epoch_s, default: 0}
      url: {path: [html_url, url]}
      category: const:repository
    entity: {match: [[url], [title, author]]}
  airports:
    type: csv
    path: data/airports.csv
    delimiter: auto
    header: [a, b]
    null_values: ["", NA, -1]
    key: [ident]
  live: {type: stream, url: "wss://h.example"}
  tapped:
    type: singer
    command: [tap-thing, --flag]
    config: {start: 2024-01-01, deep: [{n: 1}], on: true, token: "${TOKEN}"}
    catalog: {streams: [{stream: a}]}
    streams: a
    env: [AWS_PROFILE]
    timeout: 5m
  tapped_too: {type: singer, command: tap-thing --flag, catalog: taps/catalog.json, streams: [a, b]}
"""


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(json.loads(json.dumps(schema)))


def source(block: str) -> dict:
    return {"sources": {"s": {"type": "api", "url": "https://h.example"} | yaml.safe_load(block)}}


def test_everything_that_can_be_declared_is_valid(validator):
    validator.validate(yaml.safe_load(EVERYTHING))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.name)
        for path in (ROOT / "kasparro.yaml", *sorted((ROOT / "examples").glob("*.yaml")))
    ],
)
def test_the_catalogs_of_this_repository_are_valid(validator, path):
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "block",
    [
        "enabled: yes",
        "enabled: 'no'",
        "enabled: '${E:-true}'",
        "timeout: 30",
        "timeout: '${T}'",
        "pagination: link_header",
        "pagination: {type: offset, limit: '${LIMIT:-5}'}",
        "pagination: {type: '${P}'}",
        "auth: none",
        "auth: {type: bearer, token: 12345}",
        "auth: {type: api_key, in: '${WHERE}', name: X, value: v}",
        "drift: '${DRIFT}'",
        "body: {deep: [1, {a: null}]}\nmethod: POST",
        "method: post",
        "schedule: null",
        "map: {title: {const: null}}",
        "key: 5",
    ],
)
def test_every_spelling_is_valid(validator, block):
    if block in {"pagination: {type: '${P}'}", "method: post"}:
        assert list(validator.iter_errors(source(block)))  # editors are told the plain spelling
    else:
        validator.validate(source(block))


@pytest.mark.parametrize(
    "block",
    [
        "methd: GET",
        "name: x",
        "folder: x",
        "auth: {token: x}",
        "auth: {type: bearr}",
        "auth: {type: bearer}",
        "pagination: {type: offset, limit: many}",
        "pagination: cursor",
        "map: {titel: a}",
        "map: {title: {pth: a}}",
        "timeout: soon",
        "url: null",
        "retry: {attempts: 0}",
        "in: x",
    ],
)
def test_the_usual_mistakes_are_not_valid(validator, block):
    assert list(validator.iter_errors(source(block)))


@pytest.mark.parametrize(
    "document", [{}, {"sources": {}}, {"source": {}}, {"sources": {"A": {"type": "csv", "path": "a"}}}]
)
def test_a_catalog_needs_sources(validator, document):
    assert list(validator.iter_errors(document))


def test_every_key_is_described():
    definitions = json_schema()["$defs"]
    undescribed = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, schema in definition.get("properties", {}).items()
        if not schema.get("description")
    ]
    assert undescribed == []
