"""The form of requests and the headers of answers: what is too much is refused, what a browser may do is said."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from kasparro.api.bounds import MOST_ADDRESS, MOST_BODY, MOST_FIELDS, MOST_HEADERS
from kasparro.schemas.data import Problem

pytestmark = pytest.mark.anyio


def code(answer) -> tuple[int, str]:
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == answer.status_code
    assert answer.headers["content-type"] == "application/problem+json"
    return problem.status, problem.code


async def test_every_answer_tells_browsers_to_do_nothing_with_it(client):
    for path in ("/data", "/nothing", "/data?limit=0", "/health", "/openapi.json", "/metrics"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'"), (
            path
        )
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in headers, "it came over plain HTTP"
        assert len(headers.get_list("cache-control")) == 1


async def test_no_refusal_is_kept_by_caches(serve):
    async with serve(api_keys={"read-secret-1": "read"}, rate_limit_per_minute=2) as service:
        answers = [await service.client.get("/data") for _ in range(3)]
        answers.append(await service.client.get("/health/x"))

    assert {a.status_code for a in answers} == {401, 429}
    assert {a.headers["cache-control"] for a in answers} == {"no-store"}


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_may_run_its_own_scripts_and_no_others(client, page):
    answer = await client.get(page)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in inline]

    assert policy["script-src"].split() == ["'self'", *hashes]
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert (page == "/docs") == bool(inline)


async def test_an_address_beyond_the_limit_is_refused(client):
    assert code(await client.get("/data?source=" + "a" * MOST_ADDRESS)) == (414, "uri_too_long")
    assert code(await client.get("/" + "a" * (MOST_ADDRESS + 1))) == (414, "uri_too_long")
    assert (await client.get("/data?source=" + "a" * 2000)).status_code == 422


async def test_too_many_parameters_are_refused(client):
    many = "&".join(f"p{n}=1" for n in range(MOST_FIELDS + 1))

    assert code(await client.get(f"/data?{many}")) == (400, "bad_request")


async def test_headers_beyond_the_limit_are_refused(client):
    large = {"X-Large": "a" * MOST_HEADERS}
    many = {f"X-{n}": "a" for n in range(MOST_FIELDS)}

    assert code(await client.get("/data", headers=large)) == (431, "headers_too_large")
    assert code(await client.get("/data", headers=many)) == (431, "headers_too_large")
    assert (await client.get("/data", headers={"X-Large": "a" * 8000})).status_code == 200


async def test_a_body_beyond_the_limit_is_refused_by_its_length(client):
    for path, method in (("/data", "GET"), ("/etl/run", "POST"), ("/nothing", "PUT")):
        answer = await client.request(method, path, headers={"Content-Length": str(MOST_BODY + 1)})
        assert code(answer) == (413, "content_too_large"), path


async def test_a_length_that_is_no_number_is_refused(client):
    answer = await client.post("/etl/run", headers={"Content-Length": "1e3"})

    assert code(answer) == (413, "content_too_large")


async def test_a_body_of_unknown_length_is_refused_when_it_is_too_long(service):
    @service.app.post("/swallow")
    async def swallow(body: dict) -> None:
        raise AssertionError

    async def endless():
        while True:
            yield b" " * 65536

    answer = await service.client.post(
        "/swallow", content=endless(), headers={"Content-Type": "application/json"}
    )

    assert code(answer) == (413, "content_too_large")


async def test_a_parameter_given_twice_is_refused(client):
    assert code(await client.get("/data?limit=1&limit=100")) == (422, "invalid_parameter")


async def test_pages_are_of_bounded_size(client):
    for value in ("0", "-1", "101", "1000000000", "99999999999999999999", "1e2", "", "٣"):
        assert (await client.get("/data", params={"limit": value})).status_code == 422, value


async def test_a_page_of_a_declared_site_may_read_how_often_it_may_ask(serve):
    async with serve(cors_origins="https://console.example", rate_limit_per_minute=1) as service:
        answers = [
            await service.client.get("/sources", headers={"Origin": "https://console.example"})
            for _ in range(2)
        ]

    assert [a.status_code for a in answers] == [200, 429]
    for answer in answers:
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert answer.headers["access-control-allow-origin"] == "https://console.example"
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)
        assert "access-control-allow-credentials" not in answer.headers
