"""Tokens that are asked for: once for everybody, renewed in time and once on a 401, sent where they belong and shown nowhere."""

from __future__ import annotations

import asyncio
import base64
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from integration.api_server import Naps, declare, http_answer, ids, json_answer, scripted, serve, serve_bytes
from integration.token_server import PAGES, RECORDS, Provider, page_of, serve_api
from kasparro.core.errors import (
    AuthenticationFailed,
    PermanentSourceError,
    ResponseTooLarge,
    SourceError,
    TransientSourceError,
    UnexpectedContent,
)
from kasparro.core.redaction import redact_text
from kasparro.ingestion.http.access import access_of
from kasparro.ingestion.http.tokens import TokenCache
from kasparro.ingestion.sources.api import ApiPages

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
SECRET = "s3cr3t/with+signs"


def client_credentials(url: str, **keys: Any) -> dict[str, Any]:
    return {
        "type": "oauth2_client_credentials",
        "token_url": f"{url}/token",
        "client_id": "kasparro:test",
        "client_secret": SECRET,
        **keys,
    }


def declared(url: str, auth: dict[str, Any] | None = None, **keys: Any) -> Any:
    pages = {"records": "items", "pagination": PAGES}
    return declare(f"{url}/items", auth=auth or client_credentials(url), **{**pages, **keys})


async def fetch(declaration: Any, cache: TokenCache | None = None, waiting: Any = None) -> list[Any]:
    access = access_of(declaration, cache or TokenCache())
    source = ApiPages(declaration, waiting or Naps().waiting(), access=access)
    return [page async for page in source.pages(None)]


async def failing(declaration: Any, kind: type[SourceError], waiting: Any = None) -> SourceError:
    with pytest.raises(kind) as caught:
        await fetch(declaration, waiting=waiting)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


@dataclass(slots=True)
class Clock:
    """A time that passes when the test says so."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


def packed(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


async def test_one_token_is_asked_for_and_sent_with_every_page():
    provider = Provider(lifetime=3600)
    async with serve_api(provider):
        found = await fetch(declared(provider.url, rate_limit={"concurrency": 4}))
    assert ids(found) == list(range(RECORDS))
    [(form, headers)] = provider.asked
    assert form == {"grant_type": "client_credentials"}
    assert headers["Authorization"] == packed("kasparro%3Atest", "s3cr3t%2Fwith%2Bsigns")
    assert set(provider.sent) == {"Bearer token-number-1"}


async def test_what_else_a_provider_wants_goes_into_the_body():
    provider = Provider()
    auth = {
        "scope": "items:read items:list",
        "client_auth": "body",
        "params": {"audience": "https://x", "n": 1},
    }
    async with serve_api(provider):
        await fetch(declared(provider.url, client_credentials(provider.url, **auth)))
    [(form, headers)] = provider.asked
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "kasparro:test",
        "client_secret": SECRET,
        "scope": "items:read items:list",
        "audience": "https://x",
        "n": "1",
    }
    assert "Authorization" not in headers


async def test_the_token_endpoint_may_be_of_another_origin_and_only_that_one_sees_the_secret():
    provider = Provider()
    api = Provider()
    async with serve_api(provider), serve_api(api):
        api.valid = {"token-number-1"}
        found = await fetch(declared(api.url, client_credentials(provider.url)))
    assert len(ids(found)) == RECORDS
    assert (api.asked, provider.sent) == ([], [])


@pytest.mark.parametrize(("lifetime", "given"), [(None, 1), (86_400, 1), (601, 7), (600, 13), (10, 13)])
async def test_a_token_is_renewed_before_it_expires(lifetime, given):
    """There are 13 requests, nine minutes apart. A minute or a tenth of its life before its end a token is not sent any more."""
    provider, clock = Provider(lifetime=lifetime), Clock()
    async with serve_api(provider):
        declaration = declared(provider.url, rate_limit={"concurrency": 1})
        access = access_of(declaration, TokenCache())
        async for _page in ApiPages(declaration, Naps().waiting(now=clock.now), access=access).pages(None):
            clock.time += timedelta(minutes=9)
    assert len(provider.sent) == 13
    assert provider.given == len(set(provider.sent)) == given


async def test_four_pages_that_are_refused_at_once_share_one_new_token():
    """The token is revoked while four requests are under way; each of them is asked again, and nothing is lost or doubled."""
    provider = Provider()
    waiting: list[str] = []
    together = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await provider.token(request)
        shown = request.headers["Authorization"]
        number = int(request.query["page"])
        if shown == "Bearer token-number-1" and number > 4:
            waiting.append(request.path_qs)
            if len(waiting) == 4:
                together.set()
            await together.wait()
            return json_answer({"message": "expired"}, status=401)
        return page_of(request)

    async with serve(handler) as api:
        provider.url = api.url
        found = await fetch(declared(api.url, rate_limit={"concurrency": 4}))
    assert ids(found) == list(range(RECORDS))
    assert len(waiting) == len(set(waiting)) == 4
    assert provider.given == 2


async def test_a_token_that_is_refused_again_and_again_ends_the_run():
    provider = Provider()
    async with serve_api(provider):
        provider.more = lambda _number: {"access_token": "never-valid"}
        error = await failing(declared(provider.url, rate_limit={"concurrency": 4}), AuthenticationFailed)
    assert "401" in str(error)
    assert "a token that had been asked for was sent (auth: oauth2_client_credentials)" in str(error)
    assert (provider.given, len(provider.sent)) == (2, 1)  # another token was asked for, and it was the same


async def test_a_new_token_that_is_refused_too_is_not_renewed_once_more():
    provider = Provider()
    async with serve_api(provider):
        provider.more = lambda number: {"access_token": f"never-valid-{number}"}
        await failing(declared(provider.url), AuthenticationFailed)
    assert provider.given == 2
    assert provider.sent == ["Bearer never-valid-1", "Bearer never-valid-2"]


async def test_a_403_is_no_reason_for_another_token():
    provider = Provider()

    async def handler(request: web.Request) -> web.StreamResponse:
        return await provider.token(request) if request.path == "/token" else json_answer({}, status=403)

    async with serve(handler) as api:
        await failing(declared(api.url), AuthenticationFailed)
    assert provider.given == 1


async def test_a_token_is_kept_in_the_process_for_the_very_same_declaration():
    provider, cache = Provider(lifetime=3600), TokenCache()
    async with serve_api(provider):
        await fetch(declared(provider.url), cache)
        await fetch(declared(provider.url), cache)
        assert provider.given == 1
        await fetch(declared(provider.url, client_credentials(provider.url, scope="more")), cache)
        assert provider.given == 2


async def test_a_kept_token_that_was_revoked_meanwhile_is_renewed():
    provider, cache = Provider(lifetime=3600), TokenCache()
    async with serve_api(provider):
        await fetch(declared(provider.url), cache)
        provider.valid = set()
        assert len(ids(await fetch(declared(provider.url), cache))) == RECORDS
    assert provider.given == 2


async def test_it_can_be_said_what_was_authenticated_with():
    provider, cache = Provider(lifetime=3600), TokenCache()
    async with serve_api(provider):
        access = access_of(declared(provider.url), cache)
        assert access.report.expires is None
        waiting = Naps().waiting(now=lambda: NOW)
        await fetch(declared(provider.url), cache, waiting)
    assert access.report.expires == NOW + timedelta(hours=1)
    assert access.report.sent == "a token that had been asked for was sent (auth: oauth2_client_credentials)"


# --- an endpoint that does not give one -----------------------------------------------------------------------------------


def oauth_error(code: str, status: int = 400, description: str | None = None) -> web.Response:
    return json_answer({"error": code, "error_description": description}, status=status)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_endpoint_that_fails_for_a_passing_reason_is_asked_again(status):
    provider = Provider(answers=[json_answer({}, status=status), json_answer({}, status=status)])
    naps = Naps()
    async with serve_api(provider):
        found = await fetch(declared(provider.url), waiting=naps.waiting())
    assert len(ids(found)) == RECORDS
    assert naps.taken == [1.0, 2.0]


async def test_the_endpoint_is_asked_as_often_as_declared_whoever_waits_for_it():
    provider, clock = Provider(lifetime=600), Clock()
    async with serve_api(provider):
        declaration = declared(provider.url, rate_limit={"concurrency": 4}, retry={"attempts": 3})
        access = access_of(declaration, TokenCache())
        pages = ApiPages(declaration, Naps().waiting(now=clock.now), access=access).pages(None)
        await anext(pages)
        clock.time += timedelta(hours=1)
        provider.answers = [json_answer({}, status=503) for _ in range(50)]
        with pytest.raises(TransientSourceError, match="the token endpoint answered 503"):
            [page async for page in pages]
    assert (
        3 <= len(provider.asked) - 1 <= 6
    )  # twice, if a page was asked for after the first three had failed


async def test_an_endpoint_that_is_not_there_is_named():
    async with serve(page_of) as gone:
        pass
    auth = client_credentials(gone.url)
    error = await failing(declared("http://127.0.0.1:1", auth, retry={"attempts": 1}), TransientSourceError)
    assert f"{gone.url}/token: cannot be reached" in str(error)
    assert "Check the source's `auth`" in str(error)


async def test_the_wait_an_endpoint_asks_for_is_kept():
    provider = Provider(answers=[json_answer({}, status=429, headers={"Retry-After": "17"})])
    naps = Naps()
    async with serve_api(provider):
        await fetch(declared(provider.url), waiting=naps.waiting())
    assert naps.taken == [17.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda: oauth_error("invalid_client", 401, f"no client with {SECRET}"),
            "invalid_client.*no client with \\*\\*\\*.*client_auth",
        ),
        (lambda: oauth_error("invalid_grant", 400), "invalid_grant.*a new one is needed"),
        (lambda: oauth_error("invalid_scope", 400, "no such scope"), "invalid_scope.*no such scope.*`scope`"),
        (lambda: json_answer({"message": "go away"}, status=403), "403.*go away"),
    ],
)
async def test_a_refusal_is_final_and_shows_what_the_provider_says(answer, said):
    naps, provider = Naps(), Provider(answers=[answer()])
    async with serve_api(provider):
        error = await failing(declared(provider.url), AuthenticationFailed, naps.waiting())
    assert (naps.taken, len(provider.asked), provider.sent) == ([], 1, [])
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(str(error))
    assert f"{provider.url}/token" in str(error)


async def test_a_code_that_means_that_it_passes_is_tried_again():
    provider = Provider(answers=[oauth_error("temporarily_unavailable")])
    async with serve_api(provider):
        assert len(ids(await fetch(declared(provider.url)))) == RECORDS


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_an_endpoint_that_redirects_is_not_followed(status):
    provider, other = Provider(), Provider()
    async with serve_api(provider), serve_api(other):
        provider.answers = [web.Response(status=status, headers={"Location": f"{other.url}/token"})]
        error = await failing(declared(provider.url), PermanentSourceError)
    assert "is not followed" in str(error)
    assert other.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"<html>hello</html>", UnexpectedContent, "did not answer with JSON"),
        (b'["token-number-1"]', UnexpectedContent, "JSON object"),
        (b'{"token": "abcdefghij"}', UnexpectedContent, "without an access_token; its members are token"),
        (b'{"access_token": ""}', UnexpectedContent, "without an access_token"),
        (b'{"access_token": "abcdefghij", "token_type": "mac"}', UnexpectedContent, "not a bearer token"),
        (b'{"access_token": "' + b"x" * 2_000_000, ResponseTooLarge, "larger than 1 MiB"),
    ],
)
async def test_an_answer_without_a_usable_token_is_told_and_not_shown(body, kind, said):
    async with serve_bytes(scripted(http_answer(body))) as url:
        error = await failing(declared(url), kind)
    assert said in str(error)
    assert "abcdefghij" not in str(error)


async def test_an_endpoint_that_drips_ends_at_the_deadline():
    async def drip(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"{")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serve_bytes(drip) as url:
        declaration = declared(url, timeout="200ms", retry={"attempts": 1})
        assert "no complete answer within 0.2 s" in str(await failing(declaration, TransientSourceError))


# --- a token is a secret --------------------------------------------------------------------------------------------------


async def test_a_token_that_the_api_repeats_is_shown_to_nobody():
    provider = Provider(more=lambda _number: {"id_token": "another"})

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await provider.token(request)
        return json_answer({"said": f"{request.headers['Authorization']} is bad"}, status=400)

    async with serve(handler) as api:
        with capture_logs() as logs:
            error = await failing(declared(api.url), PermanentSourceError)
    assert "*** is bad" in str(error)
    assert "token-number" not in "".join(map(repr, [error, *logs]))
    assert redact_text("a log line with token-number-1 in it") == "a log line with *** in it"


async def test_a_token_does_not_get_into_the_checkpoint():
    provider = Provider()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await provider.token(request)
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        return json_answer({"items": [{"id": 1}], "next": f"/items?after=1&access={shown}"})

    async with serve(handler) as api:
        pages = ApiPages(
            declared(api.url, pagination={"type": "next_url", "path": "next"}),
            Naps().waiting(),
            access=access_of(declared(api.url), TokenCache()),
        ).pages(None)
        first = await anext(pages)
        assert first.cursor == {"url": f"{api.url}/items?after=1", "ordinal": 2}
        await pages.aclose()


async def test_a_kept_token_is_a_secret_of_the_next_run_too():
    provider, cache = Provider(lifetime=3600), TokenCache()
    async with serve_api(provider):
        await fetch(declared(provider.url), cache)
        access = access_of(declared(provider.url), cache)
        async with access.connect(Naps().waiting()):
            assert access.redact("Bearer token-number-1!") == "Bearer ***!"
