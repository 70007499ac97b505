from __future__ import annotations

import psycopg
import pytest
from structlog.testing import capture_logs

from kasparro.schemas.data import Problem

pytestmark = pytest.mark.anyio


def problem_in(answer) -> Problem:
    """The problem of *answer*, which is well formed in every respect."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == answer.status_code
    assert problem.request_id == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return problem


async def test_a_path_that_is_not_there_is_a_problem(client):
    for path in ("/nothing", "/data/", "/data/1/x", "/etl", "/DATA", "/%00", "/%2e%2e/etc/passwd"):
        answer = await client.get(path)
        assert (answer.status_code, problem_in(answer).code) == (404, "no_such_path"), path


async def test_a_method_that_is_not_there_is_a_problem_that_says_which_is(client):
    for method, path, allowed in (
        ("GET", "/etl/run", "POST"),
        ("POST", "/data", "GET, HEAD"),
        ("DELETE", "/data/1", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
        ("TRACE", "/runs", "GET, HEAD"),
        ("BREW", "/runs", "GET, HEAD"),
        ("DELETE", "/graphql", "GET, HEAD, POST"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, problem_in(answer).code) == (405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


async def test_a_parameter_where_there_are_none_is_refused(client):
    for path in ("/", "/health", "/health/live", "/sources", "/checkpoints", "/docs", "/openapi.json"):
        answer = await client.get(f"{path}?x=1")
        assert (answer.status_code, problem_in(answer).parameter) == (422, "x"), path


async def test_a_body_beyond_the_limit_is_refused(client):
    answer = await client.post("/etl/run/alpha", content=b" " * 5000)

    assert (answer.status_code, problem_in(answer).code) == (413, "content_too_large")


async def test_a_body_that_never_ends_is_refused_before_its_end(client):
    async def endless():
        while True:
            yield b"x" * 100

    answer = await client.post("/etl/run/alpha", content=endless())

    assert answer.status_code == 413


async def test_a_body_of_another_kind_is_refused(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "", "nonsense"):
        answer = await client.post("/etl/run/alpha", content=b"full=true", headers={"Content-Type": kind})
        assert (answer.status_code, problem_in(answer).code) == (415, "unsupported_media_type"), kind


async def test_a_body_that_is_packed_is_refused(client):
    for path, content in (("/graphql", b'{"query": "{ __typename }"}'), ("/etl/run/alpha", b"{}")):
        answer = await client.post(
            path, content=content, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
        )
        assert (answer.status_code, problem_in(answer).code) == (415, "unsupported_media_type"), path
        answer = await client.post(
            path,
            content=content,
            headers={"Content-Type": "application/json", "Content-Encoding": "Identity"},
        )
        assert answer.status_code in {200, 202}


async def test_a_body_that_says_something_is_refused(client):
    for body in (
        "[",
        "NaN",
        "Infinity",
        "[]",
        "null",
        '{"full": true}',
        "[" * 1000,
        '{"a":"\\ud800"}',
        "\x00",
    ):
        answer = await client.post(
            "/etl/run/alpha", content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, problem_in(answer).parameter) == (422, "body"), body


async def test_an_empty_object_is_no_body(client):
    answer = await client.post("/etl/run/alpha", json={})

    assert answer.status_code == 202


async def test_a_busy_pool_is_answered_with_503_and_when_to_come_back(serve):
    async with (
        serve(db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=0.05) as service,
        service.runtime.database.driver_transaction(),
    ):
        answer = await service.client.get("/data")

    assert (answer.status_code, problem_in(answer).code) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_statement_that_takes_too_long_is_answered_with_504(serve, database_url):
    async with serve(db_statement_timeout_seconds=0.2) as service:
        with psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE normalized_data")
            answer = await service.client.get("/data")

    assert (answer.status_code, problem_in(answer).code) == (504, "database_timeout")


async def test_a_database_that_went_away_is_answered_with_503_and_without_its_address(serve, wire):
    async with serve(url=wire.url) as service:
        await wire.cut()
        with capture_logs() as logs:
            answer = await service.client.get("/data")

    assert (answer.status_code, problem_in(answer).code) == (503, "database_unavailable")
    assert "127.0.0.1" not in answer.text
    assert [e["code"] for e in logs if e["event"] == "request.not_served"] == ["database_unavailable"]


async def test_it_serves_again_when_its_connections_were_ended(client, seed):
    seed.records("alpha", 1)
    assert (await client.get("/data")).status_code == 200
    seed.connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    assert (await client.get("/data")).status_code == 200


async def test_a_missing_table_is_answered_with_503(client, seed):
    seed.connection.execute("DROP TABLE normalized_data CASCADE")

    answer = await client.get("/data")

    assert (answer.status_code, problem_in(answer).code) == (503, "schema_mismatch")
    assert "normalized_data" not in answer.text


async def test_what_nobody_expected_is_logged_once_and_not_told(service):
    @service.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    with capture_logs() as logs:
        answer = await service.client.get("/broken")

    assert (answer.status_code, problem_in(answer).code) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert [e["event"] for e in logs] == ["request.failed", "request.served"]


async def test_a_wrong_answer_of_our_own_is_a_500_without_the_answer(service):
    @service.app.get("/wrong", response_model=Problem)
    async def wrong() -> dict[str, str]:
        return {"secret": "hunter2"}

    with capture_logs():
        answer = await service.client.get("/wrong")

    assert (answer.status_code, problem_in(answer).code) == (500, "internal_error")
    assert "hunter2" not in answer.text
