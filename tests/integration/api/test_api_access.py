from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from kasparro.api.openapi import routes_of
from kasparro.api.security import OPEN_PATHS, Requirement
from kasparro.core.config import Scope

pytestmark = pytest.mark.anyio

READ, ADMIN = "read-secret-1", "admin-secret-1"
KEYS = {READ: "read", ADMIN: "admin"}

DECLARED = {
    ("GET", "/"): Scope.READ,
    ("GET", "/health"): None,
    ("GET", "/health/live"): None,
    ("GET", "/health/ready"): None,
    ("GET", "/data"): Scope.READ,
    ("GET", "/data/{id}"): Scope.READ,
    ("GET", "/stats"): Scope.READ,
    ("GET", "/runs"): Scope.READ,
    ("GET", "/runs/{run_id}"): Scope.READ,
    ("GET", "/checkpoints"): Scope.READ,
    ("GET", "/sources"): Scope.READ,
    ("POST", "/etl/run"): Scope.ADMIN,
    ("POST", "/etl/run/{source}"): Scope.ADMIN,
    ("GET", "/openapi.json"): Scope.READ,
    ("GET", "/docs"): Scope.READ,
    ("GET", "/redoc"): Scope.READ,
}
ANYTHING = {"id": "1", "run_id": "x", "source": "gamma"}
"""Path parameters with which no route does anything."""


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


async def test_whatever_is_not_a_get_needs_admin(service):
    assert all(scope is Scope.ADMIN for (method, _), scope in DECLARED.items() if method != "GET")


@pytest.mark.parametrize("public_read", [False, True])
@pytest.mark.parametrize(("method", "path"), DECLARED)
async def test_every_route_and_every_key(serve, method, path, public_read):
    """401 without a good key, 403 when its scope does not reach, otherwise not refused."""
    needed = DECLARED[method, path]
    async with serve(api_keys=KEYS, public_read=public_read) as service:

        async def ask(*sent: tuple[str, str]) -> int:
            answer = await service.client.request(method, path.format(**ANYTHING), headers=sent)
            assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
            return answer.status_code

        nobody, wrong, prefix = (
            await ask(),
            await ask(("X-API-Key", "wrong")),
            await ask(("X-API-Key", ADMIN[:-1])),
        )
        basic = await ask(("Authorization", "Basic YWRtaW46YWRtaW4="))
        two = await ask(("X-API-Key", ADMIN), ("Authorization", f"Bearer {READ}"))
        read, bearer = await ask(("X-API-Key", READ)), await ask(("Authorization", f"bearer {READ}"))
        admin = await ask(("X-API-Key", ADMIN))

    is_open = needed is None
    readable = needed is Scope.READ and public_read
    assert (nobody == 401) == (basic == 401) == (not is_open and not readable)
    assert (wrong == 401) == (prefix == 401) == (two == 401) == (not is_open)
    assert (read == 403) == (bearer == 403) == (needed is Scope.ADMIN)
    assert admin not in {401, 403}


@pytest.mark.parametrize("path", ["/nothing", "/data/x", "/data?limit=0", "/healthy", "/health/", "/HEALTH"])
async def test_without_a_key_nothing_is_told_about_what_is_there(serve, path):
    async with serve(api_keys=KEYS) as service:
        answer = await service.client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


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

    assert [(e["event"], e["status"], e["code"]) for e in logs] == [
        ("request", 401, "not_authenticated"),
        ("request", 403, "not_allowed"),
    ]
    assert "secret" not in str(logs)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_without_keys_this_machine_is_served(service, address):
    async with service.client_from(address) as client:
        assert (await client.post("/etl/run/alpha")).status_code == 202


@pytest.mark.parametrize(
    "address", ["203.0.113.7", "192.168.0.2", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "", "unix"]
)
async def test_without_keys_another_machine_is_refused(service, address):
    async with service.client_from(address) as client:
        for path in DECLARED:
            answer = await client.request(path[0], path[1].format(**ANYTHING))
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


async def test_a_forwarded_address_is_not_believed(service):
    async with service.client_from("203.0.113.7") as client:
        answer = await client.get(
            "/data", headers={"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
        )

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000"]
)
async def test_without_keys_names_of_this_machine_are_answered(client, host):
    assert (await client.get("/data", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "evil.example:127",
        "localhost@evil.example",
        "evil.example@localhost",
        "[::1",
        "localhost:port",
        "0.0.0.0",
        "",
    ],
)
async def test_without_keys_another_name_is_refused(client, host):
    """DNS rebinding: a page of evil.example has its name resolve to 127.0.0.1, and reads what it gets."""
    answer = await client.get("/data", headers={"Host": host})

    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:3000", "https://localhost:8000", "null", ""]
)
async def test_without_keys_a_page_of_another_site_can_ask_for_nothing(client, seed, origin):
    answer = await client.post("/etl/run/alpha", headers={"Origin": origin})

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
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://console.example"
    assert "access-control-allow-origin" not in other.headers
