"""The stand-ins for public APIs have the shapes and quirks that the examples are for."""

import aiohttp
import pytest

from integration import provider_server as providers

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client():
    async with providers.serve_providers() as base, aiohttp.ClientSession(base) as session:
        yield session


async def test_coinpaprika_answers_everything_at_once_and_digit_for_digit(client):
    async with client.get("/v1/tickers") as response:
        coins = await response.json()
        text = await response.text()

    assert len(coins) == providers.COINPAPRIKA_COINS
    assert len({coin["symbol"] for coin in coins}) < len(coins)
    assert "70123.456789012345" in text


async def test_coingecko_ends_with_a_short_page_and_then_empty_ones(client):
    pages = []
    for page in range(1, 6):
        params = {"vs_currency": "usd", "order": "id_asc", "page": page, "per_page": 250}
        async with client.get("/api/v3/coins/markets", params=params) as response:
            pages.append([coin["id"] for coin in await response.json()])

    assert [len(page) for page in pages] == [250, 250, 7, 0, 0]
    coins = [coin for page in pages for coin in page]
    assert coins == sorted(set(coins))
    assert len(coins) == providers.COINGECKO_COINS


async def test_coingecko_needs_a_currency(client):
    async with client.get("/api/v3/coins/markets") as response:
        assert response.status == 422


async def test_github_links_lead_through_a_thousand_results_and_end(client):
    headers = {"Authorization": f"Bearer {providers.GITHUB_TOKEN}"}
    url, seen = "/search/repositories?q=stars:>1&per_page=100", []
    while url:
        async with client.get(url, headers=headers) as response:
            body = await response.json()
            seen += [repository["id"] for repository in body["items"]]
            url = response.links["next"]["url"] if "next" in response.links else None

    assert body["total_count"] == providers.GITHUB_MATCHES
    assert len(seen) == len(set(seen)) == providers.GITHUB_RESULTS


async def test_github_keeps_the_query_in_its_links(client):
    params = {"q": "stars:>50000 language:c++", "per_page": "100", "sort": "stars"}
    async with client.get("/search/repositories", params=params) as response:
        following = response.links["next"]["url"]

    assert dict(following.query) == {**params, "page": "2"}


async def test_github_refuses_what_lies_beyond_a_thousand(client):
    async with client.get("/search/repositories", params={"q": "x", "per_page": 100, "page": 11}) as response:
        assert response.status == 422
        assert "first 1000" in (await response.json())["message"]


async def test_github_refuses_a_wrong_token_and_does_without_one(client):
    wrong = {"Authorization": "Bearer wrong"}
    async with client.get("/search/repositories", params={"q": "x"}, headers=wrong) as response:
        assert response.status == 401
    async with client.get("/search/repositories", params={"q": "x"}) as response:
        assert response.status == 200


async def test_jsonplaceholder_answers_bare_arrays(client):
    for path, count in (("/posts", providers.POSTS), ("/users", providers.USERS)):
        async with client.get(path) as response:
            assert len(await response.json()) == count


def test_the_environment_names_every_variable_of_the_examples():
    variables = providers.environment("http://127.0.0.1:1")

    assert variables["COINGECKO_URL"] == "http://127.0.0.1:1"
    assert set(variables) == {*providers.URL_VARIABLES, *providers.CREDENTIALS}
