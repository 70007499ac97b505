"""The public APIs of `examples/`, as a server on loopback that answers in their shape, with their quirks.

All values are made up. The files in tests/fixtures/providers are served as they are, digit for digit; CoinGecko's coins and
GitHub's repositories are filled up with numbered ones, so that there is more than one page.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Raw

from integration import salesforce_like, stripe_like

FIXTURES = Path(__file__).parent.parent / "fixtures" / "providers"
GITHUB_TOKEN = "the-token-of-the-fixture"
URL_VARIABLES = (
    "COINPAPRIKA_URL",
    "COINGECKO_URL",
    "GITHUB_API_URL",
    "JSONPLACEHOLDER_URL",
    "STRIPE_API_URL",
    "SALESFORCE_URL",
)
CREDENTIALS = {
    "GITHUB_TOKEN": GITHUB_TOKEN,
    "STRIPE_API_KEY": stripe_like.KEY,
    "SALESFORCE_CLIENT_ID": salesforce_like.CLIENT[0],
    "SALESFORCE_CLIENT_SECRET": salesforce_like.CLIENT[1],
}

COINPAPRIKA_COINS = 5
COINGECKO_COINS = 507
COINGECKO_MOST_PER_PAGE = 250
GITHUB_MATCHES = 1_050
GITHUB_RESULTS = 1_000
GITHUB_MOST_PER_PAGE = 100
POSTS = 4
USERS = 2

Record = dict[str, Any]


@contextlib.asynccontextmanager
async def serve_providers() -> AsyncIterator[str]:
    """Serve all of them under one base URL, which is yielded; their paths do not collide."""
    runner = web.AppRunner(create_providers(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def environment(base_url: str) -> dict[str, str]:
    """The variables with which the catalogs of `examples/` ask this server."""
    return dict.fromkeys(URL_VARIABLES, base_url) | CREDENTIALS


def create_providers() -> web.Application:
    app = web.Application()
    app.router.add_get("/v1/tickers", verbatim("coinpaprika_tickers.json"))
    app.router.add_get("/api/v3/coins/markets", CoinGecko().markets)
    app.router.add_get("/search/repositories", GitHubSearch().repositories)
    app.router.add_get("/posts", verbatim("jsonplaceholder_posts.json"))
    app.router.add_get("/users", verbatim("jsonplaceholder_users.json"))
    stripe_like.add_routes(app)
    salesforce_like.add_routes(app)
    return app


def verbatim(file: str) -> Callable[[web.Request], Any]:
    body = (FIXTURES / file).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return answer


class CoinGecko:
    """Pages without any totals: the last one is shorter, those beyond it are empty."""

    def __init__(self) -> None:
        given = records("coingecko_markets.json")
        made = [
            (coin, as_raw(coin)) for coin in map(made_up_coin, range(len(given) + 1, COINGECKO_COINS + 1))
        ]
        self.coins = [*given, *made]

    async def markets(self, request: web.Request) -> web.Response:
        if "vs_currency" not in request.query:
            return json_answer({"error": "Missing parameter vs_currency"}, status=422)
        page = int(request.query.get("page", "1"))
        per_page = min(int(request.query.get("per_page", "100")), COINGECKO_MOST_PER_PAGE)
        by_id = request.query.get("order") == "id_asc"
        ordered = sorted(self.coins, key=lambda coin: coin[0]["id"] if by_id else -coin[0]["market_cap"])
        first = (page - 1) * per_page
        return json_answer([text for _, text in ordered[first : first + per_page]])


class GitHubSearch:
    """`Link` headers, an envelope, rate limit headers, and no more than 1,000 results of however many there are."""

    def __init__(self) -> None:
        given = records("github_repositories.json")
        made = map(made_up_repository, range(len(given) + 1, GITHUB_MATCHES + 1))
        self.texts = [*(text for _, text in given), *map(as_raw, made)]

    async def repositories(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", f"Bearer {GITHUB_TOKEN}") != f"Bearer {GITHUB_TOKEN}":
            return json_answer({"message": "Bad credentials", "status": "401"}, status=401)
        if "User-Agent" not in request.headers:
            return json_answer({"message": "Request forbidden by administrative rules."}, status=403)
        if not request.query.get("q"):
            return json_answer({"message": "Validation Failed", "status": "422"}, status=422)
        page = int(request.query.get("page", "1"))
        per_page = min(int(request.query.get("per_page", "30")), GITHUB_MOST_PER_PAGE)
        first = (page - 1) * per_page
        if first >= GITHUB_RESULTS:
            return json_answer({"message": "Only the first 1000 search results are available"}, status=422)
        items = self.texts[first : min(first + per_page, GITHUB_RESULTS)]
        content = {"total_count": len(self.texts), "incomplete_results": False, "items": items}
        return json_answer(content, headers=self.headers(request, page, -(-GITHUB_RESULTS // per_page)))

    @staticmethod
    def headers(request: web.Request, page: int, pages: int) -> dict[str, str]:
        named = {"prev": page - 1, "next": page + 1, "last": pages, "first": 1}
        if page == pages:
            named = {"prev": page - 1, "first": 1}
        elif page == 1:
            named = {"next": 2, "last": pages}
        links = ", ".join(
            f'<{request.url.update_query(page=number)}>; rel="{relation}"'
            for relation, number in named.items()
            if number >= 1
        )
        limits = {"Limit": "30", "Remaining": "29", "Reset": "1777885271", "Used": "1", "Resource": "search"}
        return {"Link": links, **{f"X-RateLimit-{name}": value for name, value in limits.items()}}


def made_up_coin(number: int) -> Record:
    return {
        "id": f"coin-{number:04}",
        "symbol": f"c{number % 100}",
        "name": f"Coin {number}",
        "image": f"https://coin-images.example/coins/{number}/large/coin.png?1",
        "current_price": number if number % 5 == 0 else number + 0.25,
        "market_cap": 1_000_000 - number,
        "market_cap_rank": number,
        "circulating_supply": float(number * 1000),
        "max_supply": None,
        "roi": None,
        "last_updated": f"2026-05-04T09:{number % 60:02}:00.{number:03}Z",
    }


def made_up_repository(number: int) -> Record:
    owner = f"owner-{number % 40}"
    return {
        "id": 100_000 + number,
        "name": f"repository-{number}",
        "full_name": f"{owner}/repository-{number}",
        "private": False,
        "owner": {"login": owner, "id": 9_100 + number % 40, "type": "User", "site_admin": False},
        "html_url": f"https://github.example/{owner}/repository-{number}",
        "description": f"Made-up repository {number}",
        "fork": False,
        "url": f"https://api.github.example/repos/{owner}/repository-{number}",
        "created_at": f"20{10 + number % 16}-06-01T00:00:00Z",
        "updated_at": "2026-05-04T08:00:00Z",
        "stargazers_count": 200_000 - number,
        "language": "Python",
        "license": None,
        "topics": [],
        "score": 1.0,
    }


def records(file: str) -> list[tuple[Record, Raw]]:
    """Each record of a fixture, to look at, and its own text, to serve."""
    texts = msgspec.json.decode((FIXTURES / file).read_bytes(), type=list[Raw])
    return [(json.loads(bytes(text)), text) for text in texts]


def as_raw(record: Record) -> Raw:
    return Raw(msgspec.json.encode(record))


def json_answer(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )
