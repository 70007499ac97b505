"""Upstreams that show the credentials they were sent, wherever they can: nobody else gets to see them, and nothing keeps them."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from integration.hostile.house import House, log_texts, source, things
from integration.hostile.upstream import Answer, Asked, Script, said, serve

pytestmark = pytest.mark.anyio

CANARY = "canary/5e+cr=et&0815"
"""With characters that are spelled otherwise in addresses."""

ID_CANARY = "canary-client-4711"
SPELLINGS = (
    CANARY,
    quote(CANARY),
    quote(CANARY, safe=""),
    CANARY.replace("/", "\\/"),
    base64.b64encode(CANARY.encode()).decode(),
    base64.b64encode(f"me:{CANARY}".encode()).decode(),
)

AUTH = {
    "bearer": 'auth: {type: bearer, token: "${SECRET}"}',
    "header": 'auth: {type: api_key, in: header, name: X-Key, value: "${SECRET}"}',
    "query": 'auth: {type: api_key, in: query, name: k, value: "${SECRET}"}',
    "basic": 'auth: {type: basic, username: me, password: "${SECRET}"}',
}


def sent(asked: Asked) -> str:
    """The credential as this request shows it, in the very spelling."""
    return asked.headers.get("authorization") or asked.headers.get("x-key") or asked.target


def echo(asked: Asked) -> dict[str, Any]:
    return {"error": f"{sent(asked)} is {CANARY}, or {quote(CANARY, safe='')}"}


def echoes(status: int, *headers: tuple[str, str]) -> Script:
    return lambda asked: said(echo(asked), status).but(headers=headers)


def moved(location: str) -> Script:
    return lambda asked: Answer(
        b"", 302, (("Location", location.replace("{sent}", quote(sent(asked), safe=""))),)
    )


def named_next(link: str) -> Script:
    """A page of records, and a next link that shows the credential."""
    return lambda asked: said(
        {"items": things(1), "next": link.replace("{sent}", quote(sent(asked), safe=""))}
    )


SCRIPTS: dict[str, Script] = {
    **{f"in a {status}": echoes(status) for status in (400, 401, 403, 404, 429, 500, 503)},
    "with 200": echoes(200),
    "in HTML": lambda asked: Answer(f"<html>{sent(asked)} {CANARY}</html>".encode(), kind="text/html"),
    "as the content type": lambda asked: Answer(b"x", kind=f"text/{CANARY}"),
    "in the encoding": lambda asked: Answer(b"x", headers=(("Content-Encoding", CANARY),)),
    "as a name": lambda asked: said({CANARY: [], "a": sent(asked)}),
    "in a redirect": moved(f"/other?k={quote(CANARY, safe='')}"),
    "in a redirect away": moved(f"http://evil.invalid/{quote(CANARY, safe='')}"),
    "in a redirect away, as it was sent": moved("http://evil.invalid/?x={sent}"),
    "in a redirect that is none": moved(f"http://[{CANARY}"),
    "in the next link": named_next(f"/things?at=2&k={quote(CANARY, safe='')}"),
    "in the next link, away": named_next(f"http://evil.invalid/?k={quote(CANARY, safe='')}"),
    "in the next link, as a user": named_next(f"http://me:{quote(CANARY, safe='')}@evil.invalid/"),
    "in the path of the next link": named_next(f"/things/{quote(CANARY, safe='')}?at=2"),
    "in a next link that is none": named_next(f"http://[{CANARY}"),
    "in an ETag": lambda asked: said({"items": things(1)}, ETag=f'"{CANARY}"'),
}


@pytest.mark.parametrize("where", SCRIPTS)
async def test_a_credential_that_is_shown_back_is_nowhere_to_be_seen(house: House, caplog, where: str):
    """By every kind of credential, each as a source of its own."""
    caplog.set_level(logging.DEBUG)
    house.environment = {"SECRET": CANARY}
    reports = []
    async with serve(SCRIPTS[where]) as upstream:
        with capture_logs() as captured:
            for auth, declared in AUTH.items():
                keys_ = f"{declared}\npagination: {{type: next_url, path: next}}"
                catalog = source(f"{upstream.url}/things", keys_, name=auth)
                reports += [await house.ingest(catalog, auth), await house.ingest(catalog, auth)]

    seen = "\n".join([await house.dump(), log_texts(caplog.records, captured), repr(reports)])
    assert len(upstream.asked) >= len(AUTH)
    assert [spelling for spelling in SPELLINGS if spelling in seen] == []


@dataclass
class Provider:
    """A token endpoint and an API: tokens are good for so many requests, and the API shows what it was sent."""

    uses: int = 3
    storm: bool = False
    token_answers: list[Answer] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    used: int = 0

    def __call__(self, asked: Asked) -> Answer:
        return self.token() if asked.path == "/token" else self.page(asked)

    def token(self) -> Answer:
        if self.token_answers:
            return self.token_answers.pop(0)
        self.given.append(f"canary-token-{len(self.given)}-" + "x" * 20)
        self.used = 0
        return said({"access_token": self.given[-1], "token_type": "Bearer", "expires_in": 3600})

    def page(self, asked: Asked) -> Answer:
        good = bool(self.given) and asked.headers["authorization"] == f"Bearer {self.given[-1]}"
        if self.storm or not good or self.used >= self.uses:
            return said({"error": f"{asked.headers['authorization']} has expired"}, 401)
        self.used += 1
        number = asked.number("page", 1)
        return said({"items": things(*range(number * 2, min(number * 2 + 2, 41)))})


OAUTH = """auth:
  type: oauth2_client_credentials
  token_url: {url}/token
  client_id: me
  client_secret: "${{SECRET}}"
pagination: {{type: page, size_param: size, size: 2}}
"""


async def judged(house: House, caplog, provider: Provider) -> Any:
    caplog.set_level(logging.DEBUG)
    house.environment = {"SECRET": CANARY}
    async with serve(provider) as upstream:
        with capture_logs() as captured:
            report = await house.ingest(source(f"{upstream.url}/things", OAUTH.format(url=upstream.url)))
    seen = "\n".join([await house.dump(), log_texts(caplog.records, captured), repr(report)])
    assert [text for text in (*SPELLINGS, *provider.given) if text in seen] == []
    return report, upstream


async def test_tokens_that_expire_in_mid_run_with_pages_fetched_ahead_lose_nothing(house: House, caplog):
    provider = Provider()
    report, _ = await judged(house, caplog, provider)
    assert report.error is None
    assert await house.ids() == sorted((str(n) for n in range(2, 41)), key=lambda key: (len(key), key))
    assert len(provider.given) <= 20 // 3 + 2


async def test_a_storm_of_401_is_met_with_one_new_token(house: House, caplog):
    provider = Provider(storm=True)
    report, upstream = await judged(house, caplog, provider)
    assert (report.error_code, len(provider.given)) == ("auth_failed", 2)
    assert len(upstream.asked) <= 4


ENDPOINTS = {
    "is busy": ([said({}, 429, Retry_After="0"), said({}, 503)], None),
    "is HTML": ([Answer(b"<html>" + CANARY.encode(), kind="text/html")] * 9, "auth_failed unexpected_content"),
    "redirects": ([Answer(b"", 302, (("Location", f"http://evil.invalid/{quote(CANARY)}"),))] * 9, "auth_failed source_refused unexpected_content foreign_origin"),
    "refuses": ([said({"error": "invalid_client", "error_description": f"{CANARY} is wrong"}, 401)], "auth_failed"),
    "gives nothing": ([said({"token_type": "Bearer"})] * 9, "auth_failed unexpected_content"),
    "gives a header": ([said({"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"})] * 9, "auth_failed unexpected_content"),
    "gives a list": ([said({"access_token": ["a"], "token_type": "Bearer"})] * 9, "auth_failed unexpected_content"),
    "is cut": ([said({"access_token": "a" * 50}).but(cut=10)] * 9, "source_unavailable truncated_content"),
    "is down": ([said({}, 500)] * 9, "source_unavailable"),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDPOINTS)
async def test_a_token_endpoint(house: House, caplog, what: str):
    answers, codes = ENDPOINTS[what]
    report, _ = await judged(house, caplog, Provider(uses=1_000, token_answers=list(answers)))
    assert report.error_code in (codes.split() if codes else [None]), report.error
    assert len(await house.ids()) == (0 if codes else 39)


async def test_a_foreign_host_that_a_redirect_may_lead_to_gets_no_credential(house: House):
    house.environment = {"SECRET": CANARY}
    async with serve(lambda asked: said({"items": things(1)})) as other:
        away = f"{other.url}/files?signature=abc"
        async with serve(lambda _: Answer(b"", 302, (("Location", away),))) as upstream:
            host = other.url.removeprefix("http://")
            for auth in AUTH.values():
                keys_ = f'{auth}\nheaders: {{X-Own: "{CANARY}"}}\nredirect_hosts: ["http://{host}"]'
                assert (await house.ingest(source(f"{upstream.url}/things", keys_))).error is None
    assert len(other.asked) == len(AUTH)
    assert [a.text for a in other.asked if any(spelling in a.text for spelling in SPELLINGS)] == []
