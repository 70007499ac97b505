"""The example catalogs, ingested from a server that answers in the shape of the real APIs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ingest_kit import one, rows, writer
from integration.provider_server import (
    COINGECKO_COINS,
    COINPAPRIKA_COINS,
    GITHUB_RESULTS,
    POSTS,
    USERS,
    environment,
    serve_providers,
)
from integration.salesforce_like import ACCOUNTS
from integration.stripe_like import CHARGES
from kasparro.core.config import Settings
from kasparro.core.etl_config import Catalog, load_catalog
from kasparro.runtime import ingestion_service
from kasparro.schemas.ingest import RunCounters, RunStatus

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("coins.yaml", {"coinpaprika": COINPAPRIKA_COINS, "coingecko": COINGECKO_COINS}),
        ("github_search.yaml", {"repositories": GITHUB_RESULTS}),
        ("jsonplaceholder.yaml", {"posts": POSTS, "users": USERS}),
        ("stripe_like.yaml", {"charges": CHARGES}),
        ("salesforce_like.yaml", {"accounts": ACCOUNTS}),
    ],
)
async def test_an_example_ingests_everything_and_the_second_time_nothing(database_url, example, expected):
    async with serve_providers() as base, writer(database_url) as db:
        catalog = unhurried(load_catalog(EXAMPLES / example, environment(base)))
        service = ingestion_service(catalog, Settings(_env_file=None), db)
        assert set(catalog.sources) == set(expected)
        for name, count in expected.items():
            declared = catalog.source(name)
            first = await service.ingest(name)
            second = await service.ingest(name)

            assert (first.status, first.counters, first.error) == (
                RunStatus.SUCCESS,
                RunCounters(inserted=count),
                None,
            )
            again = count if declared.incremental is None else second.counters.processed
            assert second.counters == RunCounters(unchanged=again)
            assert again == count or 0 < again < count / 4
            assert (
                await one(db, "SELECT record_count FROM etl_checkpoint WHERE source = %(s)s", {"s": name})
                == count
            )
        untitled = "SELECT source, source_id FROM normalized_data WHERE data->>'title' IS NULL"
        assert await rows(db, untitled) == []


async def test_coins_of_two_providers_are_matched_by_name_and_symbol(database_url):
    """Not by the symbol alone, which two of them share; and whichever provider comes first."""
    together = "SELECT array_agg(source || ' ' || source_id ORDER BY source) FROM entity_link GROUP BY entity_id HAVING count(*) > 1"
    async with serve_providers() as base, writer(database_url) as db:
        catalog = unhurried(load_catalog(EXAMPLES / "coins.yaml", environment(base)))
        service = ingestion_service(catalog, Settings(_env_file=None), db)
        for name in ("coingecko", "coinpaprika"):
            assert (await service.ingest(name)).status is RunStatus.SUCCESS

        assert sorted(coins for (coins,) in await rows(db, together)) == [
            ["coingecko bitcoin", "coinpaprika btc-bitcoin"],
            ["coingecko bitcorn", "coinpaprika btc-bitcorn"],
            ["coingecko ethereum", "coinpaprika eth-ethereum"],
        ]
        assert await rows(db, "SELECT conflict FROM entity_link WHERE conflict IS NOT NULL") == []


def unhurried(catalog: Catalog) -> Catalog:
    """The rate limits are the providers'; the fixture has none, and tests do not wait."""
    sources = {
        name: declared.model_copy(update={"rate_limit": None}) for name, declared in catalog.sources.items()
    }
    return replace(catalog, sources=sources)
