"""The ways to have a token beyond client credentials: refresh tokens, signed assertions, signed tokens, logins."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from structlog.testing import capture_logs

from file_server import ServedFile, serve_file
from integration.api_server import Naps, declare, ids, json_answer, serve
from integration.token_server import PAGES, RECORDS, Provider, page_of, serve_api
from kasparro.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    PermanentSourceError,
    SourceError,
    UnexpectedContent,
)
from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.http.access import access_of
from kasparro.ingestion.http.tokens import TokenCache
from kasparro.ingestion.sources.api import ApiPages

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


def declared(url: str, auth: dict[str, Any], folder: Path = Path(), **keys: Any) -> ApiSource:
    pages = {"records": "items", "pagination": PAGES}
    return declare(f"{url}/items", auth=auth, folder=folder, **{**pages, **keys})


async def fetch(declaration: ApiSource, cache: TokenCache | None = None) -> list[Any]:
    access = access_of(declaration, cache or TokenCache())
    source = ApiPages(declaration, Naps().waiting(now=lambda: NOW), access=access)
    return ids([page async for page in source.pages(None)])


# --- refresh tokens -------------------------------------------------------------------------------------------------------


def refresh(url: str, **keys: Any) -> dict[str, Any]:
    return {
        "type": "oauth2_refresh_token",
        "token_url": f"{url}/token",
        "client_id": "kasparro",
        "client_secret": "the-client-secret",
        "refresh_token": "refresh-0",
        **keys,
    }


def rotating() -> Provider:
    """A provider that gives a new refresh token with each token."""
    return Provider(more=lambda number: {"refresh_token": f"refresh-{number}"})


async def test_a_refresh_token_is_exchanged_as_the_standard_says():
    provider = Provider()
    async with serve_api(provider):
        assert await fetch(declared(provider.url, refresh(provider.url))) == list(range(RECORDS))
        public = refresh(provider.url, scope="items", client_secret=None)
        await fetch(declared(provider.url, public))
    assert [form for form, _ in provider.asked] == [
        {"grant_type": "refresh_token", "refresh_token": "refresh-0"},
        {
            "grant_type": "refresh_token",
            "refresh_token": "refresh-0",
            "client_id": "kasparro",
            "scope": "items",
        },
    ]
    assert ["Authorization" in headers for _, headers in provider.asked] == [True, False]


async def test_a_new_refresh_token_is_used_within_the_process_and_its_loss_is_announced():
    provider, cache = rotating(), TokenCache()
    async with serve_api(provider):
        with capture_logs() as logs:
            await fetch(declared(provider.url, refresh(provider.url)), cache)
            provider.valid = set()
            await fetch(declared(provider.url, refresh(provider.url)), cache)
    assert [form["refresh_token"] for form, _ in provider.asked] == ["refresh-0", "refresh-1"]
    warnings = [entry for entry in logs if entry["event"] == "auth.refresh_token_rotated"]
    assert "refresh_token_file" in warnings[0]["hint"]
    assert "refresh-1" not in repr(logs)


async def test_a_new_refresh_token_outlives_the_process_in_the_declared_file(tmp_path):
    provider = rotating()
    async with serve_api(provider):
        declaration = declared(
            provider.url, refresh(provider.url, refresh_token_file="kept/token"), folder=tmp_path
        )
        (tmp_path / "kept").mkdir()
        for _process in range(3):
            await fetch(declaration, TokenCache())
        anew = refresh(provider.url, refresh_token="granted-anew", refresh_token_file="kept/token")
        await fetch(declared(provider.url, anew, folder=tmp_path), TokenCache())
    used = [form["refresh_token"] for form, _ in provider.asked]
    assert used == ["refresh-0", "refresh-1", "refresh-2", "granted-anew"]
    file = tmp_path / "kept" / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["refresh_token"] == "refresh-4"
    assert sorted(path.name for path in file.parent.iterdir()) == ["token", "token.lock"]


async def test_a_file_that_cannot_be_written_is_told_before_the_old_token_is_used(tmp_path):
    provider = rotating()
    async with serve_api(provider):
        for name in ("missing/token", "."):
            declaration = declared(
                provider.url, refresh(provider.url, refresh_token_file=name), folder=tmp_path
            )
            with pytest.raises(AuthenticationFailed, match=r"cannot be kept in .*refresh_token_file"):
                await fetch(declaration)
        (tmp_path / "notes").write_text("milk, eggs")
        declaration = declared(
            provider.url, refresh(provider.url, refresh_token_file="notes"), folder=tmp_path
        )
        with pytest.raises(AuthenticationFailed, match="not a file that Kasparro has written"):
            await fetch(declaration)
    assert provider.asked == []
    assert (tmp_path / "notes").read_text() == "milk, eggs"


async def test_two_who_share_a_file_never_use_one_refresh_token_twice(tmp_path):
    provider = rotating()
    async with serve_api(provider):
        declaration = declared(
            provider.url, refresh(provider.url, refresh_token_file="token"), folder=tmp_path
        )
        provider.more = lambda number: {"refresh_token": f"refresh-{number}", "access_token": "token-for-all"}
        provider.valid = {"token-for-all"}

        async def one_process() -> None:
            access = access_of(declaration, TokenCache())
            async with access.connect(Naps().waiting()) as connections:
                assert connections.tokens is not None
                await connections.tokens.current()

        await asyncio.gather(*(one_process() for _ in range(4)))
    used = [form["refresh_token"] for form, _ in provider.asked]
    assert used == ["refresh-0", "refresh-1", "refresh-2", "refresh-3"]


# --- signed tokens and assertions -----------------------------------------------------------------------------------------

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "PS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("algorithm", KEYS)
async def test_an_assertion_is_signed_and_exchanged_for_a_token(algorithm):
    provider = Provider()
    key = KEYS[algorithm]
    async with serve_api(provider):
        auth = {
            "type": "oauth2_jwt_bearer",
            "token_url": f"{provider.url}/token",
            "algorithm": algorithm,
            "key": pem(key).replace("\n", "\\n"),  # as it often stands in an environment variable
            "key_id": "key-7",
            "issuer": "me@example.org",
            "subject": "you@example.org",
            "claims": {"scope": "items"},
        }
        assert await fetch(declared(provider.url, auth)) == list(range(RECORDS))
        [(form, headers)] = provider.asked
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        assert "Authorization" not in headers
        options = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(
            form["assertion"],
            key.public_key(),
            [algorithm],
            audience=f"{provider.url}/token",
            options=options,
        )
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-7"
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("me@example.org", "you@example.org", "items")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["iat"] < NOW.timestamp() < claims["exp"]
    assert len(claims["jti"]) > 16


async def test_a_signed_token_is_sent_itself_and_signed_anew_before_it_expires(tmp_path):
    (tmp_path / "key.pem").write_text(pem(RSA))
    auth = {"type": "jwt", "key_file": "key.pem", "issuer": "4711", "audience": "api", "lifetime": "10m"}
    shown: list[str] = []
    clock = {"now": NOW}

    async def handler(request: web.Request) -> web.StreamResponse:
        shown.append(request.headers["Authorization"].removeprefix("Bearer "))
        clock["now"] += timedelta(minutes=3)
        return page_of(request)

    async with serve(handler) as api:
        declaration = declared(api.url, auth, folder=tmp_path, rate_limit={"concurrency": 1})
        access = access_of(declaration, TokenCache())
        source = ApiPages(declaration, Naps().waiting(now=lambda: clock["now"]), access=access)
        assert len(ids([page async for page in source.pages(None)])) == RECORDS
    options = {"verify_exp": False, "verify_iat": False}
    ends = [
        jwt.decode(one, RSA.public_key(), ["RS256"], audience="api", options=options)["exp"] for one in shown
    ]
    moments = [NOW.timestamp() + 180 * number for number in range(len(shown))]
    assert all(30 < end - moment <= 570 for end, moment in zip(ends, moments, strict=True))
    assert len(set(shown)) == 5  # every nine and a half minutes at most, with requests every three


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "jwt", "key": "not a key"},
        {"type": "jwt", "key": pem(KEYS["ES256"])},
        {"type": "jwt", "algorithm": "ES256", "key": pem(RSA)},
        {"type": "jwt", "key_file": "no-such-file.pem"},
        {"type": "jwt", "key_file": "."},
        {
            "type": "login",
            "url": "https://x.example",
            "token_path": "t",
            "auth": {"type": "jwt", "key": "x" * 99},
        },
    ],
)
def test_a_key_nothing_can_be_signed_with_is_a_fault_of_the_configuration(auth, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        access_of(declared("https://x.example", auth, folder=tmp_path))
    assert "PRIVATE KEY" not in str(caught.value)
    assert "not a key" not in str(caught.value)
    assert "xxx" not in str(caught.value)


# --- logins ---------------------------------------------------------------------------------------------------------------


class LoginServer:
    """Answers a login as it is told, and records to whoever shows what `wanted` says."""

    def __init__(self, answer: Any, wanted: tuple[str, str]) -> None:
        self.answer = answer
        self.wanted = wanted
        self.logins: list[tuple[str, dict[str, str], str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/login":
            self.logins.append((request.method, dict(request.headers), await request.text()))
            return self.answer() if callable(self.answer) else json_answer(self.answer)
        name, value = self.wanted
        if request.headers.get(name, request.query.get(name)) != value:
            return json_answer({}, status=401)
        return page_of(request)


BODY = {"user": "me", "password": "the-password", "nested": {"pin": "12345", "n": 7}}


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, ("Authorization", "Bearer session-token")),
        ({"prefix": "Token "}, ("Authorization", "Token session-token")),
        ({"in": "header", "name": "X-Session"}, ("X-Session", "session-token")),
        ({"in": "query", "name": "session"}, ("session", "session-token")),
    ],
)
async def test_a_login_gives_the_token_that_is_sent_as_declared(keys, wanted):
    server = LoginServer({"data": {"token": "session-token"}}, wanted)
    async with serve(server.handle) as api:
        auth = {"type": "login", "url": f"{api.url}/login", "body": BODY, "token_path": "data.token", **keys}
        pages = await pages_of(declared(api.url, auth))
    assert ids(pages) == list(range(RECORDS))
    [(method, headers, body)] = server.logins
    assert (method, headers["Content-Type"], json.loads(body)) == ("POST", "application/json", BODY)
    assert "session-token" not in repr(pages)


async def pages_of(declaration: ApiSource) -> list[Any]:
    access = access_of(declaration, TokenCache())
    return [page async for page in ApiPages(declaration, Naps().waiting(), access=access).pages(None)]


@pytest.mark.parametrize("status", [200, 302])
async def test_a_login_with_a_form_may_give_a_cookie(status):
    def answer() -> web.Response:
        response = web.Response(status=status, headers={"Location": "/home"} if status == 302 else {})
        response.set_cookie("other", "x")
        response.set_cookie("JSESSIONID", "abc123xyz", path="/", httponly=True)
        return response

    server = LoginServer(answer, ("Cookie", "JSESSIONID=abc123xyz"))
    async with serve(server.handle) as api:
        auth = {
            "type": "login",
            "url": f"{api.url}/login",
            "form": {"u": "me & you", "p": 1},
            "cookie": "JSESSIONID",
        }
        assert len(await fetch(declared(api.url, auth))) == RECORDS
        assert [request.path for request in api.requests].count("/home") == 0
    assert server.logins[0][2] == "u=me+%26+you&p=1"


async def test_a_login_may_be_authenticated_by_a_signed_token_as_github_apps_are():
    server = LoginServer(
        {"token": "installation-token", "expires_at": "2026-05-04T10:00:00Z"},
        ("Authorization", "Bearer installation-token"),
    )
    async with serve(server.handle) as api:
        auth = {
            "type": "login",
            "url": f"{api.url}/login",
            "headers": {"Accept": "application/vnd.github+json"},
            "auth": {"type": "jwt", "issuer": "4711", "key": pem(RSA)},
            "token_path": "token",
            "expires_path": "expires_at",
        }
        cache = TokenCache()
        declaration = declared(api.url, auth)
        await fetch(declaration, cache)
        assert access_of(declaration, cache).report.expires == NOW + timedelta(hours=1)
    [(_, headers, _)] = server.logins
    assert headers["Accept"] == "application/vnd.github+json"
    signed = headers["Authorization"].removeprefix("Bearer ")
    assert (
        jwt.decode(signed, RSA.public_key(), ["RS256"], options={"verify_exp": False, "verify_iat": False})[
            "iss"
        ]
        == "4711"
    )


@pytest.mark.parametrize(
    ("told", "expires"),
    [
        (3600, NOW + timedelta(hours=1)),
        ("3600", NOW + timedelta(hours=1)),
        (NOW.timestamp() + 60, NOW + timedelta(minutes=1)),
        ("2026-05-04T12:00:00+02:00", NOW + timedelta(hours=1)),
        ("2026-05-04 10:00", NOW + timedelta(hours=1)),
        ("soon", NOW + timedelta(minutes=5)),
        (None, NOW + timedelta(minutes=5)),
        (-1, NOW + timedelta(minutes=5)),
    ],
)
async def test_when_a_session_ends_is_read_in_every_usual_form(told, expires):
    server = LoginServer({"t": "session-token", "until": told}, ("Authorization", "Bearer session-token"))
    async with serve(server.handle) as api:
        auth = {
            "type": "login",
            "url": f"{api.url}/login",
            "body": {},
            "token_path": "t",
            "expires_path": "until",
            "lifetime": "5m",
        }
        cache = TokenCache()
        await fetch(declared(api.url, auth), cache)
        assert access_of(declared(api.url, auth), cache).report.expires == expires


@pytest.mark.parametrize(
    ("keys", "answer", "kind", "said"),
    [
        (
            {"token_path": "token"},
            {"tokn": "secret-value"},
            UnexpectedContent,
            "without a token at 'token'; its members are tokn",
        ),
        ({"token_path": "token"}, {"token": {"value": "secret-value"}}, UnexpectedContent, "without a token"),
        ({"token_path": "sum(token)"}, {"token": "secret-value"}, UnexpectedContent, "does not fit"),
        (
            {"cookie": "SID"},
            {"token": "secret-value"},
            AuthenticationFailed,
            "without the cookie 'SID'.*none",
        ),
        (
            {"token_path": "token"},
            lambda: web.Response(
                status=302, headers={"Location": "/login", "Set-Cookie": "csrf=secret-value"}
            ),
            PermanentSourceError,
            "the login redirects",
        ),
        (
            {"token_path": "token"},
            lambda: json_answer({"error": "wrong", "echo": "the-password 12345"}, status=401),
            AuthenticationFailed,
            "the login answered 401.*wrong",
        ),
    ],
)
async def test_a_login_that_gives_nothing_is_told_and_shows_no_secret(keys, answer, kind, said):
    server = LoginServer(answer, ("Authorization", "x"))
    async with serve(server.handle) as api:
        auth = {"type": "login", "url": f"{api.url}/login", "body": BODY, **keys}
        with pytest.raises(kind, match=said) as caught:
            await fetch(declared(api.url, auth))
    for secret in ("the-password", "12345", "secret-value"):
        assert secret not in str(caught.value)


def test_no_declaration_shows_what_a_login_sends():
    auth = {"type": "login", "url": "https://x.example", "body": BODY, "token_path": "t"}
    declaration = declared("https://x.example", auth)
    assert "the-password" not in repr(declaration) + repr(declaration.auth.body)
    assert "the-password" not in declaration.model_dump_json()


# --- files on the web ------------------------------------------------------------------------------------------------------


async def test_files_on_the_web_are_asked_for_with_tokens_too():
    served = ServedFile(b"id\n1\n")
    provider = Provider()
    async with serve_api(provider):
        with serve_file(served) as base:
            auth = {
                "type": "oauth2_client_credentials",
                "token_url": f"{provider.url}/token",
                "client_id": "kasparro",
                "client_secret": "the-client-secret",
            }
            source = CsvSource(name="file", path=f"{base}/a.csv", auth=auth)
            served.statuses = [401]

            def read() -> bytes:
                [location] = find(source)
                assert "the-client-secret" not in repr(location)
                file = open_file(location)
                try:
                    return file.read(100)
                finally:
                    file.close()

            assert await asyncio.to_thread(read) == b"id\n1\n"
            served.statuses = [401, 401]
            with pytest.raises(SourceError, match="401"):
                await asyncio.to_thread(read)
    shown = [headers["Authorization"] for _, headers in served.requests]
    assert shown[:2] == ["Bearer token-number-1", "Bearer token-number-2"]
    assert shown[-2:] == ["Bearer token-number-2", "Bearer token-number-3"]
