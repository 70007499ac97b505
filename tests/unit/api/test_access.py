from __future__ import annotations

import asyncio

import pytest

from kasparro.api.access import Access, credentials_of
from kasparro.core.config import Scope, Settings
from kasparro.core.errors import NotAllowed, NotAuthenticated

READ, ADMIN = "read-secret-1", "admin-s\u00e9cret-1"
EVERYTHING = frozenset({Scope.READ, Scope.ADMIN})


class Door(Access):
    """Access, asked without a loop of one's own."""

    def admit(self, scope):
        return asyncio.run(super().admit(scope, credentials_of(scope)))


def access(*verifiers, **given) -> Door:
    return Door(Settings(_env_file=None, **given), verifiers)


def request(method="GET", path="/data", client=("127.0.0.1", 5000), **headers):
    """An ASGI scope; a header given as None is left out."""
    sent = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "client": client,
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value is not None],
    }


@pytest.fixture
def local() -> Access:
    return access(api_keys={})


@pytest.fixture
def keyed() -> Access:
    return access(api_keys={READ: "read", ADMIN: "admin"})


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_without_keys_this_machine_may_do_everything(local, address):
    assert local.admit(request("POST", client=(address, 1))).scopes == EVERYTHING


@pytest.mark.parametrize(
    "address",
    ["203.0.113.7", "192.168.0.2", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "0.0.0.0", "::", "", "x"],
)
def test_without_keys_another_machine_may_do_nothing(local, address):
    for path in ("/data", "/health"):
        with pytest.raises(NotAllowed):
            local.admit(request(path=path, client=(address, 1)))


def test_without_keys_a_peer_that_is_not_known_may_do_nothing(local):
    with pytest.raises(NotAllowed):
        local.admit(request(client=None))


def test_a_forwarded_address_is_not_believed(local):
    with pytest.raises(NotAllowed):
        local.admit(
            request(client=("203.0.113.7", 1), x_forwarded_for="127.0.0.1", forwarded="for=127.0.0.1")
        )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000"]
)
def test_without_keys_names_of_this_machine_are_answered(local, host):
    assert local.admit(request(host=host)).scopes == EVERYTHING


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "evil.example:127",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost/evil.example",
        "evil.example/localhost",
        "localhost, evil.example",
        "[::1",
        "localhost:port",
        "localhost:999999",
        "127.0.0.1.:80",
        "127.0.0.999",
        "0.0.0.0",
        "",
        None,
    ],
)
def test_without_keys_another_name_is_refused(local, host):
    with pytest.raises(NotAllowed):
        local.admit(request(host=host))


def test_of_two_names_both_must_be_of_this_machine(local):
    twice = request()
    twice["headers"].append((b"host", b"evil.example"))

    with pytest.raises(NotAllowed):
        local.admit(twice)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:3000", "https://localhost:8000", "null", ""]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "BREW"])
def test_without_keys_a_page_of_another_site_can_change_nothing(local, origin, method):
    with pytest.raises(NotAllowed):
        local.admit(request(method, origin=origin))


def test_a_page_of_another_site_is_left_to_cors_when_it_only_reads(local):
    assert local.admit(request(origin="https://evil.example")).scopes == EVERYTHING


def test_our_own_page_and_declared_ones_may_change_things():
    declaring = access(api_keys={}, cors_origins="https://console.example")

    for origin in ("http://localhost:8000", "https://console.example"):
        assert declaring.admit(request("POST", origin=origin)).scopes == EVERYTHING


@pytest.mark.parametrize(
    ("headers", "scopes"),
    [
        ({"x_api_key": READ}, {Scope.READ}),
        ({"authorization": f"Bearer {READ}"}, {Scope.READ}),
        ({"authorization": f"bearer   {READ} "}, {Scope.READ}),
        ({"x_api_key": ADMIN}, EVERYTHING),
        ({"x_api_key": ADMIN, "authorization": f"Bearer {ADMIN}"}, EVERYTHING),
    ],
)
def test_a_key_gives_its_scope(keyed, headers, scopes):
    caller = keyed.admit(request(client=("203.0.113.7", 1), host="data.example.org", **headers))

    assert (caller.scopes, caller.has_key) == (scopes, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_api_key": ""},
        {"x_api_key": "wrong"},
        {"x_api_key": READ[:-1]},
        {"x_api_key": READ + "x"},
        {"x_api_key": READ.upper()},
        {"x_api_key": f"{READ}:admin"},
        {"x_api_key": f"{READ},{ADMIN}"},
        {"x_api_key": "\0"},
        {"authorization": READ},
        {"authorization": "Bearer"},
        {"authorization": "Basic YWRtaW46YWRtaW4="},
        {"authorization": f"Bearer {READ}", "x_api_key": ADMIN},
        {"authorization": f"Bearer {READ}", "x_api_key": "wrong"},
        {"cookie": f"X-API-Key={ADMIN}"},
    ],
)
def test_what_is_not_one_known_key_gives_nothing(keyed, headers):
    with pytest.raises(NotAuthenticated) as refused:
        keyed.admit(request(**headers))

    assert "secret" not in str(refused.value)


def test_being_on_this_machine_is_no_substitute_for_a_key(keyed):
    with pytest.raises(NotAuthenticated):
        keyed.admit(request(client=("127.0.0.1", 1)))


def test_public_reads_need_no_key_and_no_key_at_all_rather_than_a_wrong_one():
    public = access(api_keys={ADMIN: "admin"}, public_read=True)

    assert public.admit(request()).scopes == {Scope.READ}
    with pytest.raises(NotAuthenticated):
        public.admit(request(x_api_key="wrong"))


@pytest.mark.parametrize("headers", [{}, {"x_api_key": "wrong"}])
def test_health_takes_whoever_comes(keyed, headers):
    for path in ("/health", "/health/live", "/health/ready"):
        assert keyed.admit(request(path=path, **headers)).scopes == frozenset()


def test_keys_are_not_kept():
    assert READ not in str(vars(access(api_keys={READ: "read"})))
