"""JSON Web Tokens: which are taken, for what, and how keys rotate. The issuer is a server on loopback."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from integration.api_server import json_answer
from integration.api_server import serve as serve_issuer
from kasparro.api.signing_keys import SigningKeys
from kasparro.core.errors import KeysUnavailable

pytestmark = pytest.mark.anyio

ISSUER, AUDIENCE = "https://issuer.example", "kasparro"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

ALGORITHMS = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


def public(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    jwk = ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "alg": algorithm, "use": "sig"}


JWKS = {"keys": [public(RSA, "r", "RS256"), public(EC, "e", "ES256"), public(ED, "d", "EdDSA")]}


def token(key: Any = RSA, kid: str | None = "r", algorithm: str = "RS256", **changed: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": time.time() + 600,
        "scope": "read",
        **changed,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def trusting(serve, tmp_path):
    """The API that takes tokens of the issuer, whose keys are in a file."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(JWKS))
    settings = {
        "jwt_jwks": str(path),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "auth_failures_per_minute": 1000,
    }
    return lambda **given: serve(**settings | given)


async def ask(service, bearer: str, method: str = "GET", path: str = "/sources") -> int:
    answer = await service.client.request(method, path, headers={"Authorization": f"Bearer {bearer}"})
    return answer.status_code


async def test_a_good_token_may_do_what_its_scopes_say(trusting):
    async with trusting() as service:
        read = [token(), token(EC, "e", "ES256"), token(ED, "d", "EdDSA"), token(aud=["other", AUDIENCE])]
        admin = [token(scope="other admin"), token(scope=["admin"])]
        none = [token(scope=""), token(scope=None), token(scope={"read": True}), token(scope=["write", 7])]

        assert {await ask(service, one) for one in read + admin} == {200}
        assert {await ask(service, one, "POST", "/etl/run/gamma") for one in read} == {403}
        assert {await ask(service, one, "POST", "/etl/run/gamma") for one in admin} == {422}
        assert {await ask(service, one) for one in none} == {403}
        assert (await service.client.get("/sources", headers={"X-API-Key": token()})).status_code == 200
        assert (await service.client.get("/sources")).status_code == 401


def unsigned(**header: str) -> str:
    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 600, "scope": "admin"}
    return f"{part(header)}.{part(claims)}."


def signed_with_the_public_key() -> str:
    """The old confusion: the public key, which everybody has, as the secret of an HMAC."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, _, payload = unsigned(alg="HS256", kid="r").rstrip(".").partition(".")
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{payload}".encode(), pem
    )
    return f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_what_is_not_a_good_token_opens_nothing(trusting):
    wrong = {
        "expired": token(exp=time.time() - 60),
        "without an end": token(exp=None),
        "not valid yet": token(nbf=time.time() + 600),
        "of another issuer": token(iss="https://evil.example"),
        "without an issuer": token(iss=None),
        "for another service": token(aud="other"),
        "for nobody": token(aud=None),
        "of nobody": token(sub=None),
        "of another key": token(OTHER_RSA),
        "of an unknown key": token(OTHER_RSA, "x"),
        "of another kind of key": token(EC, "r", "ES256"),
        "with an algorithm that is not allowed": token(algorithm="RS512"),
        "not signed": unsigned(alg="none"),
        "not signed, in other letters": unsigned(alg="NoNe", kid="r"),
        "signed with the public key": signed_with_the_public_key(),
        "tampered with": token()[:-4] + "AAAA",
        "cut off": token().rpartition(".")[0],
        "no token": "a.b.c",
        "empty": "..",
        "nested without end": f"{base64.urlsafe_b64encode(b'[' * 6000).decode()}.e30.e30",
        "huge": f"{'a' * 9000}.b.c",
    }
    async with trusting() as service:
        assert {name: await ask(service, one) for name, one in wrong.items()} == dict.fromkeys(wrong, 401)


async def test_clocks_may_differ_by_the_leeway(trusting):
    late = token(exp=time.time() - 20)
    async with trusting() as lenient, trusting(jwt_leeway_seconds=0) as strict:
        assert (await ask(lenient, late), await ask(strict, late)) == (200, 401)


async def test_scopes_have_the_names_the_issuer_gives_them(trusting):
    named = {"jwt_scopes": "kasparro:read=read,ops=admin", "jwt_scope_claim": "permissions"}
    async with trusting(**named) as service:
        assert await ask(service, token(permissions=["kasparro:read"])) == 200
        assert await ask(service, token(permissions=["ops"]), "POST", "/etl/run/gamma") == 422
        assert await ask(service, token(permissions=["read"])) == 403


async def test_tokens_are_counted_by_who_they_are_of(trusting):
    async with trusting(rate_limit_per_minute=2) as service:
        assert [await ask(service, token(scope=scope)) for scope in ("read", "admin", "read")] == [
            200,
            200,
            429,
        ]
        assert await ask(service, token(sub="grace")) == 200


async def test_no_token_is_logged(trusting):
    async with trusting() as service:
        with capture_logs() as logs:
            await ask(service, token(), "POST", "/etl/run")
            await ask(service, token(exp=1))

    assert "eyJ" not in str(logs)
    assert "ada" not in str(logs)


class Issuer:
    """Serves a set of keys, and can be away."""

    def __init__(self) -> None:
        self.keys = [public(RSA, "r", "RS256")]
        self.away = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=500) if self.away else json_answer({"keys": self.keys})


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_new_key_is_found_and_an_old_one_is_gone_in_time():
    issuer, time = Issuer(), Time()
    async with serve_issuer(issuer) as server:
        keys = SigningKeys(server.url, time)
        assert await keys.find("r", "RS256") is not None
        issuer.keys = [public(OTHER_RSA, "new", "RS256")]
        time.now = 10

        assert await keys.find("new", "RS256") is not None
        assert await keys.find("r", "RS256") is None
        assert await keys.find(None, "RS256") is not None


async def test_a_key_that_the_issuer_withdrew_is_gone_after_five_minutes():
    issuer, time = Issuer(), Time()
    async with serve_issuer(issuer) as server:
        keys = SigningKeys(server.url, time)
        await keys.find("r", "RS256")
        issuer.keys = [public(OTHER_RSA, "new", "RS256")]
        time.now = 301

        assert await keys.find("r", "RS256") is None


async def test_unknown_keys_do_not_make_us_ask_the_issuer_all_the_time():
    time = Time()
    async with serve_issuer(Issuer()) as server:
        keys = SigningKeys(server.url, time)
        for number in range(50):
            assert await keys.find(f"made-up-{number}", "RS256") is None

        assert len(server.requests) == 1


async def test_an_issuer_that_is_away_is_no_reason_to_let_anybody_in():
    issuer, time = Issuer(), Time()
    issuer.away = True
    async with serve_issuer(issuer) as server:
        keys = SigningKeys(server.url, time)
        with pytest.raises(KeysUnavailable):
            await keys.find("r", "RS256")


async def test_keys_that_were_had_outlast_the_issuer_for_an_hour():
    issuer, time = Issuer(), Time()
    async with serve_issuer(issuer) as server:
        keys = SigningKeys(server.url, time)
        await keys.find("r", "RS256")
        issuer.away = True
        time.now = 3600
        assert await keys.find("r", "RS256") is not None

        time.now = 3601
        with pytest.raises(KeysUnavailable):
            await keys.find("r", "RS256")


async def test_over_http_the_answer_is_a_problem_that_says_to_come_back(serve, tmp_path):
    settings = {"jwt_jwks": str(tmp_path / "none.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with serve(**settings) as service:
        answer = await service.client.get("/sources", headers={"Authorization": f"Bearer {token()}"})
        live = await service.client.get("/health/live", headers={"Authorization": f"Bearer {token()}"})

    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert live.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": 7}',
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        b"x" * (2 << 20),
        b"\xff",
    ],
    ids=["nothing", "a list", "no keys", "empty", "a number", "a shared secret", "too large", "no text"],
)
async def test_what_is_no_set_of_keys_opens_nothing(body):
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with serve_issuer(answer) as server:
        keys = SigningKeys(server.url, Time())
        with contextlib.suppress(KeysUnavailable):
            assert await keys.find(None, "RS256") is None


async def test_a_redirect_to_other_keys_is_not_followed():
    async with serve_issuer(Issuer()) as evil:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": evil.url})

        async with serve_issuer(redirect) as server:
            with pytest.raises(KeysUnavailable):
                await SigningKeys(server.url, Time()).find("r", "RS256")

        assert evil.requests == []
