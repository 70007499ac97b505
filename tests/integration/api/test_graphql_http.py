"""What GraphQL over HTTP says (https://graphql.github.io/graphql-over-http/draft/), and the audits of graphql-http check."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.anyio

JSON, RESPONSE = "application/json", "application/graphql-response+json"
GOOD, BROKEN, UNKNOWN = "{ __typename }", "{", "{ nothing }"


def accept(kind: str) -> dict[str, str]:
    return {"accept": kind}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}; charset=utf-8", RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{JSON};q=0.5, {RESPONSE};q=0.4", JSON),
        (f"text/csv, {JSON};q=0.1", JSON),
        (f"{RESPONSE};q=0, */*;q=0.1", JSON),
    ],
)
async def test_the_client_chooses_how_it_is_answered(client, asked, answered):
    client.headers.pop("accept", None)
    headers = accept(asked) if asked else {}
    for answer in (
        await client.post("/graphql", json={"query": GOOD}, headers=headers),
        await client.get(f"/graphql?query={quote(GOOD)}", headers=headers),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{answered}; charset=utf-8"
        assert "Accept" in answer.headers["vary"]
        assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "asked", ["text/csv", "image/png, text/html", f"{JSON};q=0", f"{JSON}; charset=utf-16"]
)
async def test_what_cannot_be_answered_as_asked_is_406(client, asked):
    answer = await client.post("/graphql", json={"query": GOOD}, headers=accept(asked))

    assert answer.status_code == 406
    assert answer.json()["code"] == "not_acceptable"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (JSON, 200),
        (f"{JSON}; charset=utf-8", 200),
        (f'{JSON};charset="UTF-8"', 200),
        (f"{JSON}; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/graphql", 415),
        (None, 415),
    ],
)
async def test_a_query_is_posted_as_json_and_as_nothing_a_form_can_send(client, kind, status):
    headers = {"content-type": kind} if kind else {}
    answer = await client.post("/graphql", content=json.dumps({"query": GOOD}), headers=headers)

    assert answer.status_code == status


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_405(client, method):
    answer = await client.request(method, "/graphql")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_there_is_no_mutation_by_any_method(client):
    mutation = "mutation { anything }"
    for answer in (
        await client.get(f"/graphql?query={quote(mutation)}", headers=accept(RESPONSE)),
        await client.post("/graphql", json={"query": mutation}, headers=accept(RESPONSE)),
    ):
        assert 400 <= answer.status_code < 500
        assert "data" not in answer.json()


BAD_FORM = [
    "",
    "not json",
    '"text"',
    "7",
    "{}",
    '{"query": 7}',
    '{"query": ""}',
    '{"query": null}',
    '{"query": {"a": 1}}',
    '{"query": "{ __typename }", "operationName": 7}',
    '{"query": "{ __typename }", "operationName": {}}',
    '{"query": "{ __typename }", "variables": "x"}',
    '{"query": "{ __typename }", "variables": 7}',
    '{"query": "{ __typename }", "variables": []}',
    '{"query": "{ __typename }", "extensions": "x"}',
    '{"query": "{ __typename }", "extensions": []}',
    '[{"query": "{ __typename }"}]',
    '{"query": "{ __typename }", "variables": ' + "[" * 5000 + "]" * 5000 + "}",
    '{"query": "{ __typename }", "variables": {"a": ' + "1" * 5000 + "}}",
    b'{"query": "\xff"}',
    '{"query": "{ __typename }", "variables": {"a": ' + '{"a":' * 30 + "1" + "}" * 30 + "}}",
    '{"query": "{ __typename }", "variables": {"a": [' + "1," * 2000 + "1]}}",
]


@pytest.mark.parametrize("kind", [JSON, RESPONSE])
@pytest.mark.parametrize("body", BAD_FORM, ids=lambda body: repr(body)[:50])
async def test_a_request_of_the_wrong_form_is_400_in_either_type(client, kind, body):
    answer = await client.post("/graphql", content=body, headers={"content-type": JSON, **accept(kind)})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert "data" not in answer.json()
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] in {"invalid_query", "query_refused"}
    assert error["extensions"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "good",
    [
        {"query": GOOD, "variables": None, "operationName": None, "extensions": None},
        {"query": GOOD, "variables": {}, "operationName": "", "extensions": {"any": [1]}},
        {"query": "query A { __typename } query B { sources { name } }", "operationName": "A"},
        {
            "query": "query A($b: String) { __typename @skip(if: false) source(name: $b) { name } }".replace(
                "$b)", '"x")'
            ).replace("($b: String)", ""),
            "unknown": 1,
        },
    ],
)
async def test_what_may_be_left_out_or_null_may(client, good):
    answer = await client.post("/graphql", json=good, headers=accept(RESPONSE))

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["__typename"] == "Query"


@pytest.mark.parametrize("bad", ["variables=7", "variables={", "variables=[]", "extensions=x", "query=a"])
async def test_parameters_of_an_address_are_checked_alike(client, bad):
    answer = await client.get(f"/graphql?query={quote(GOOD)}&{bad}", headers=accept(RESPONSE))

    assert answer.status_code == 400


async def test_variables_stand_in_an_address_as_json(client, seed):
    seed.records("alpha", 3)
    query = "query($n: Int!) { records(first: $n) { nodes { title } } }"
    answer = await client.get(f"/graphql?query={quote(query)}&variables={quote(json.dumps({'n': 2}))}")

    assert len(answer.json()["data"]["records"]["nodes"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        BROKEN,
        UNKNOWN,
        "query A { __typename } query B { __typename }",
        "query($n: Int!) { records(first: $n) { nodes { title } } }",
    ],
)
async def test_what_cannot_be_executed_is_200_in_plain_json_and_400_otherwise(client, query):
    plain = await client.post("/graphql", json={"query": query}, headers=accept(JSON))
    told = await client.post("/graphql", json={"query": query}, headers=accept(RESPONSE))

    assert (plain.status_code, told.status_code) == (200, 400)
    for answer in (plain, told):
        assert "data" not in answer.json()
        assert answer.json()["errors"][0]["message"]


async def test_a_field_that_fails_leaves_the_others_be(client):
    answer = await client.post(
        "/graphql", json={"query": '{ record(id: "-1") { title } __typename }'}, headers=accept(RESPONSE)
    )

    assert answer.status_code == 200
    assert answer.json()["data"] == {"record": None, "__typename": "Query"}
    (error,) = answer.json()["errors"]
    assert error["path"] == ["record"]
    assert error["extensions"]["code"] == "invalid_parameter"


async def test_a_database_that_is_away_is_503_where_statuses_are_told(serve, wire, seed):
    async with serve(url=wire.url) as service:
        await wire.cut()
        told = await service.client.post(
            "/graphql", json={"query": "{ sources { name } }"}, headers=accept(RESPONSE)
        )
        plain = await service.client.post("/graphql", json={"query": "{ sources { name } }"})

    assert (told.status_code, plain.status_code) == (503, 200)
    assert told.headers["retry-after"]
    for answer in (told, plain):
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "database_unavailable"
        assert "127.0.0.1" not in answer.text
        assert "data" not in answer.json()


async def test_a_statement_that_takes_too_long_is_504(serve, seed, monkeypatch):
    async with serve(db_statement_timeout_seconds=0.2) as service:
        seed.records("alpha", 1)
        with seed.connection.transaction():
            seed.connection.execute("LOCK TABLE normalized_data IN ACCESS EXCLUSIVE MODE")
            answer = await service.client.post(
                "/graphql", json={"query": "{ records { nodes { title } } }"}, headers=accept(RESPONSE)
            )

    assert answer.status_code == 504, answer.text
    assert answer.json()["errors"][0]["extensions"]["code"] == "database_timeout"


async def test_the_key_that_every_route_needs_is_needed_here(serve):
    async with serve(api_keys={"read-secret-1": "read"}) as service:
        refused = await service.client.post("/graphql", json={"query": GOOD})
        admitted = await service.client.post(
            "/graphql", json={"query": GOOD}, headers={"X-API-Key": "read-secret-1"}
        )

    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert admitted.status_code == 200


async def test_a_page_of_another_site_may_not_post(client):
    answer = await client.post("/graphql", json={"query": GOOD}, headers={"origin": "https://evil.example"})

    assert answer.status_code == 403


async def test_a_browser_gets_a_page_that_loads_nothing_but_in_production(serve):
    for environment, status in (("development", 200), ("production", 406)):
        async with serve(environment=environment) as service:
            answer = await service.client.get("/graphql", headers=accept("text/html,*/*;q=0.1;v=b3"))
            if status == 406:
                assert answer.status_code == 400
                continue
            assert answer.status_code == 200
            assert "<textarea" in answer.text
            assert "http://" not in answer.text
            assert "https://" not in answer.text
            assert "script-src 'sha256-" in answer.headers["content-security-policy"]
