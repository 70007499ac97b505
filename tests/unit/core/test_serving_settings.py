from __future__ import annotations

import pytest
from pydantic import ValidationError

from kasparro.core.config import Scope, Settings

TOKENS = {"jwt_jwks": "jwks.json", "jwt_issuer": "https://issuer.example", "jwt_audience": "kasparro"}


def settings(**given) -> Settings:
    return Settings(_env_file=None, **given)


def refusal(**given) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    return str(caught.value)


@pytest.mark.parametrize("given", [{"api_keys": "a-long-secret:read"}, {"require_keys": True}, TOKENS])
def test_whoever_asks_for_keys_may_listen_beyond_this_machine(given):
    assert settings(host="0.0.0.0", **given).keys_are_needed


def test_whoever_asks_for_none_may_not():
    assert "API_KEYS is not set" in refusal(host="0.0.0.0")
    assert not settings().keys_are_needed


@pytest.mark.parametrize(
    ("given", "per_minute"),
    [
        ({}, 0),
        ({"require_keys": True}, 6000),
        ({"rate_limit_per_minute": 5}, 5),
        ({"require_keys": True, "rate_limit_per_minute": 0}, 0),
    ],
)
def test_requests_are_limited_where_keys_are_needed_unless_something_else_is_said(given, per_minute):
    assert settings(**given).requests_per_minute == per_minute


@pytest.mark.parametrize(
    "origins", ["https://a.example", "http://localhost:3000,https://[::1]:8443", "*", ""]
)
def test_origins(origins):
    assert settings(cors_origins=origins).cors_origins == tuple(filter(None, origins.split(",")))


@pytest.mark.parametrize(
    "origin", ["https://a.example/", "a.example", "https://a.example/path", "null", "https://*"]
)
def test_what_is_no_origin_is_refused_rather_than_never_matched(origin):
    assert "is no origin" in refusal(cors_origins=origin)


@pytest.mark.parametrize("hops", ["127.0.0.1", "10.0.0.0/8, ::1", "fd00::/8"])
def test_trusted_hops_are_addresses_and_networks(hops):
    assert settings(forwarded_allow_ips=hops).forwarded_allow_ips


@pytest.mark.parametrize("hops", ["*", "proxy.internal", "10.0.0.1/8"])
def test_everybody_is_no_trusted_hop(hops):
    assert "is no IP address" in refusal(forwarded_allow_ips=hops)


@pytest.mark.parametrize("missing", ["jwt_issuer", "jwt_audience"])
def test_tokens_need_to_be_of_somebody_and_for_us(missing):
    assert "needs JWT_ISSUER and JWT_AUDIENCE" in refusal(**TOKENS | {missing: None})


@pytest.mark.parametrize("algorithms", ["none", "HS256", "RS256,HS256", "", "rs256"])
def test_only_signatures_that_take_a_private_key_are_allowed(algorithms):
    assert "must be some of" in refusal(jwt_algorithms=algorithms)


def test_keys_of_tokens_are_not_fetched_in_the_clear():
    assert "must be a file or an https:// address" in refusal(
        **TOKENS | {"jwt_jwks": "http://issuer.example/jwks"}
    )
    assert settings(**TOKENS | {"jwt_jwks": "http://127.0.0.1:9/jwks"}).jwt_jwks


def test_scopes_of_tokens():
    assert settings(jwt_scopes="a:b=read, ops=admin").jwt_scopes == {"a:b": Scope.READ, "ops": Scope.ADMIN}
    assert "must be <name>=read" in refusal(jwt_scopes="ops=root")


@pytest.mark.parametrize("url", ["redis://h", "rediss://h:1/0", "unix:///s", "valkey://h", "valkeys://h"])
def test_stores_that_speak_the_protocol_of_redis(url):
    assert settings(redis_url=url).redis_url.get_secret_value() == url


def test_a_store_of_another_kind_is_refused_without_its_password():
    said = refusal(redis_url="memcached://:hunter2@host")

    assert "must start with one of redis://" in said
    assert "hunter2" not in said
