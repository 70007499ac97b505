from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from kasparro.api.access import OPEN_PATHS
from kasparro.api.openapi import routes_of
from kasparro.api.security import Requirement
from kasparro.core.config import Scope
from kasparro.schemas.keys import KeyOrder
from kasparro.storage.api_keys import ApiKeys

pytestmark = pytest.mark.anyio

READ, ADMIN = "read-secret-1", "admin-secret-1"
KEYS = {READ: "read", ADMIN: "admin"}

DECLARED = {
    ("GET", "/"): Scope.READ,
    ("GET", "/docs/assets/{name}"): Scope.READ,
    ("GET", "/health"): None,
    ("GET", "/health/live"): None,
    ("GET", "/health/ready"): None,
    ("GET", "/metrics"): Scope.READ,
    ("GET", "/data"): Scope.READ,
    ("GET", "/data/changes"): Scope.READ,
    ("GET", "/data/export"): Scope.READ,
    ("GET", "/data/stream"): Scope.READ,
    ("GET", "/data/{id}"): Scope.READ,
    ("GET", "/data/{id}/lineage"): Scope.READ,
    ("GET", "/data/{id}/raw"): Scope.READ,
    ("GET", "/stats"): Scope.READ,
    ("GET", "/runs"): Scope.READ,
    ("GET", "/runs/{run_id}"): Scope.READ,
    ("GET", "/checkpoints"): Scope.READ,
    ("GET", "/schema-drifts"): Scope.READ,
    ("GET", "/entities"): Scope.READ,
    ("GET", "/entities/{entity_id}"): Scope.READ,
    ("GET", "/sources"): Scope.READ,
    ("POST", "/etl/run"): Scope.ADMIN,
    ("POST", "/etl/run/{source}"): Scope.ADMIN,
    ("GET", "/graphql"): Scope.READ,
    ("POST", "/graphql"): Scope.READ,
    ("GET", "/graphql/schema"): Scope.READ,
    ("GET", "/openapi.json"): Scope.READ,
    ("GET", "/docs"): Scope.READ,
    ("GET", "/redoc"): Scope.READ,
}
ANYTHING = {"id": "1", "name": "favicon.png", "run_id": "x", "source": "gamma", "entity_id": "x"}
"""Path parameters with which no route does anything."""
ENDLESS = {"/data/stream": "/data/stream?since=damaged"}
"""A stream has no end, unless it has no beginning."""


def requirements(route) -> list[Requirement]:
    return [d.call for d in route.dependant.dependencies if isinstance(d.call, Requirement)]


async def test_every_route_declares_its_scope_exactly_once(service):
    found = {}
    for route in routes_of(service.app):
        (method,) = route.methods
        (requirement,) = requirements(route)
        found[method, route.path] = requirement.scope

    assert found == DECLARED


async def test_the_paths_that_the_guard_leaves_open_are_the_routes_that_say_so(service):
    assert {path for (_, path), scope in DECLARED.items() if scope is None} == OPEN_PATHS


async def test_whatever_is_not_a_get_needs_admin_but_for_queries_that_only_read(service):
    needed = {route: scope for route, scope in DECLARED.items() if route[0] != "GET"}
    assert needed.pop(("POST", "/graphql")) is Scope.READ
    assert set(needed.values()) == {Scope.ADMIN}


@pytest.mark.parametrize("public_read", [False, True])
async def test_every_route_and_every_key(serve, public_read):
    """401 without a good key, 403 when its scope does not reach, otherwise not refused."""
    async with serve(api_keys=KEYS, public_read=public_read, auth_failures_per_minute=1000) as service:
        for (method, path), needed in DECLARED.items():

            async def ask(*sent: tuple[str, str], method=method, path=path) -> int:
                answer = await service.client.request(
                    method, ENDLESS.get(path, path).format(**ANYTHING), headers=sent
                )
                assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
                return answer.status_code

            anonymous = {await ask(), await ask(("Authorization", "Basic YWRtaW46YWRtaW4="))}
            wrong = {
                await ask(("X-API-Key", "wrong")),
                await ask(("X-API-Key", ADMIN[:-1])),
                await ask(("X-API-Key", ADMIN), ("Authorization", f"Bearer {READ}")),
            }
            read = {await ask(("X-API-Key", READ)), await ask(("Authorization", f"bearer {READ}"))}
            admin = {await ask(("X-API-Key", ADMIN))}

            is_open, readable = needed is None, needed is Scope.READ and public_read
            assert (anonymous == {401}) == (not is_open and not readable), (method, path)
            assert (wrong == {401}) == (not is_open), (method, path)
            assert (read == {403}) == (needed is Scope.ADMIN), (method, path)
            assert not admin & {401, 403}, (method, path)


async def test_every_route_and_every_other_kind_of_key(serve, tmp_path):
    """Keys of the database and tokens reach exactly as far as those of the settings."""
    signer = Ed25519PrivateKey.generate()
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(signer.public_key(), as_dict=True)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))

    def token(scope: str) -> str:
        claims = {"iss": "us", "aud": "us", "sub": "ada", "exp": time.time() + 600, "scope": scope}
        return jwt.encode(claims, signer, "EdDSA")

    trusting = {"jwt_jwks": str(tmp_path / "jwks.json"), "jwt_issuer": "us", "jwt_audience": "us"}
    async with serve(**trusting) as service:
        keys = ApiKeys(service.runtime.database)
        held = {
            frozenset({Scope.READ}): [await keys.create(KeyOrder("r", Scope.READ)), token("read")],
            frozenset({Scope.READ, Scope.ADMIN}): [
                await keys.create(KeyOrder("a", Scope.ADMIN)),
                token("admin"),
            ],
            frozenset(): [token("nothing of ours")],
        }
        for (method, path), needed in DECLARED.items():
            for scopes, secrets in held.items():
                for secret in secrets:
                    answer = await service.client.request(
                        method,
                        ENDLESS.get(path, path).format(**ANYTHING),
                        headers={"Authorization": f"Bearer {secret}"},
                    )
                    refused = needed is not None and needed not in scopes
                    assert (answer.status_code == 403) == refused, (method, path, scopes)
                    assert answer.status_code != 401, (method, path, scopes)


async def test_without_a_key_nothing_is_told_about_what_is_there(serve):
    paths = ["/nothing", "/data/x", "/data?limit=0", "/healthy", "/health/", "/HEALTH"]
    async with serve(api_keys=KEYS) as service:
        answers = [await service.client.get(path) for path in paths]

    assert {(a.status_code, a.json()["code"]) for a in answers} == {(401, "not_authenticated")}


async def test_a_key_may_be_sent_from_anywhere_under_any_name(serve):
    async with (
        serve(api_keys=KEYS) as service,
        service.client_from("203.0.113.7", "http://data.example.org") as far,
    ):
        assert (await far.get("/data", headers={"X-API-Key": READ})).status_code == 200


async def test_keys_and_refusals_leave_a_line_without_the_key(serve):
    async with serve(api_keys=KEYS) as service:
        with capture_logs() as logs:
            await service.client.get("/data?source=alpha", headers={"X-API-Key": "wrong-secret-9"})
            await service.client.post("/etl/run", headers={"X-API-Key": READ})

    assert [(e["event"], e["code"], e.get("status"), e.get("key")) for e in logs] == [
        ("security.refused", "not_authenticated", None, None),
        ("request.served", "not_authenticated", 401, None),
        ("security.refused", "not_allowed", None, "env_1"),
        ("request.served", "not_allowed", 403, None),
    ]
    assert {e["address"] for e in logs if e["event"] == "security.refused"} == {"127.0.0.1"}
    assert "secret" not in str(logs)


async def test_without_keys_another_machine_is_refused_everywhere(service):
    async with service.client_from("203.0.113.7") as client:
        for method, path in DECLARED:
            answer = await client.request(method, ENDLESS.get(path, path).format(**ANYTHING))
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


async def test_without_keys_another_name_is_refused(client):
    """DNS rebinding: a page of evil.example has its name resolve to 127.0.0.1, and reads what it gets."""
    answer = await client.get("/data", headers={"Host": "evil.example"})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


async def test_without_keys_a_page_of_another_site_can_ask_for_nothing(client, seed):
    answer = await client.post("/etl/run/alpha", headers={"Origin": "https://evil.example"})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert seed.connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


async def test_without_keys_a_page_of_our_own_or_of_a_declared_site_may_ask(serve):
    async with serve(cors_origins="https://console.example") as service:
        own = await service.client.post("/etl/run/alpha", headers={"Origin": "http://localhost:8000"})
        declared = await service.client.post("/etl/run/beta", headers={"Origin": "https://console.example"})

    assert (own.status_code, declared.status_code) == (202, 202)
    assert declared.headers["access-control-allow-origin"] == "https://console.example"


async def test_no_site_may_read_unless_declared(client):
    answer = await client.get("/data", headers={"Origin": "https://console.example"})
    preflight = await client.options(
        "/data", headers={"Origin": "https://console.example", "Access-Control-Request-Method": "GET"}
    )

    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in preflight.headers
    assert preflight.status_code == 405


async def test_a_declared_site_may_ask_with_a_key_and_read_refusals(serve):
    async with serve(api_keys=KEYS, cors_origins="https://console.example") as service:
        preflight = await service.client.options(
            "/data",
            headers={
                "Origin": "https://console.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "x-api-key",
            },
        )
        refused = await service.client.get("/data", headers={"Origin": "https://console.example"})
        other = await service.client.get(
            "/data", headers={"Origin": "https://evil.example", "X-API-Key": READ}
        )

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://console.example"
    assert "Last-Event-ID" in preflight.headers["access-control-allow-headers"].split(", ")
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://console.example"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("origin", "method", "header", "reason"),
    [
        ("https://evil.example", "GET", "x-api-key", "origin"),
        ("null", "GET", "x-api-key", "origin"),
        ("https://console.example", "DELETE", "x-api-key", "method"),
        ("https://console.example", "GET", "x-made-up", "headers"),
    ],
)
async def test_a_page_that_may_not_ask_is_told_why_as_a_problem(serve, origin, method, header, reason):
    async with serve(api_keys=KEYS, cors_origins="https://console.example") as service:
        preflight = await service.client.options(
            "/data",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": header,
            },
        )

    assert preflight.headers["content-type"] == "application/problem+json"
    assert (preflight.status_code, preflight.json()["code"]) == (403, "not_allowed")
    assert reason in preflight.json()["detail"]
    assert "Origin" in preflight.headers["vary"]
    assert len(preflight.headers.get_list("content-length")) == 1
