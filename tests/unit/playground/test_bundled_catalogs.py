"""The catalogs that come with the project fit the data they are for."""

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import jmespath
import pytest

from integration.provider_server import FIXTURES, environment, made_up_coin, made_up_repository
from integration.salesforce_like import account
from integration.stripe_like import charge
from kasparro.core.catalog_file import load_catalog
from kasparro.core.errors import ConfigurationError
from kasparro.playground.airports import load_airportsdata, load_ourairports

ROOT = Path(__file__).resolve().parents[3]
PLAYGROUND = {
    "PLAYGROUND_URL": "http://127.0.0.1:8001",
    "PLAYGROUND_API_KEY": "made-up-key",
    "PLAYGROUND_TOKEN": "made-up-token",
}
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))


def sample():
    return load_catalog(ROOT / "kasparro.yaml", PLAYGROUND).sources


def example(name):
    return load_catalog(ROOT / "examples" / name, environment("http://127.0.0.1:8002")).sources


def mapped(source, record):
    """The text fields that the source's map makes of a record; a column name is an expression too."""
    values = {}
    for field, rule in source.map.items():
        found = (jmespath.search(path, record) for path in rule.paths)
        values[field] = next((value for value in found if value is not None), rule.const or rule.default)
    return values


def key_of(source, record):
    return tuple(jmespath.search(path, record) for path in source.key)


def of_airports(load):
    return [json.loads(bytes(record), parse_float=Decimal) for record in load().records]


def of_fixture(file):
    return json.loads((FIXTURES / file).read_text(encoding="utf-8"))


def of_faa():
    with (ROOT / "data" / "faa_airports.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


RECORDS = {
    ("kasparro.yaml", "ourairports"): lambda: of_airports(load_ourairports),
    ("kasparro.yaml", "airportsdata"): lambda: of_airports(load_airportsdata),
    ("kasparro.yaml", "faa_airports"): of_faa,
    ("coins.yaml", "coinpaprika"): lambda: of_fixture("coinpaprika_tickers.json"),
    ("coins.yaml", "coingecko"): lambda: [*of_fixture("coingecko_markets.json"), made_up_coin(10)],
    ("github_search.yaml", "repositories"): lambda: [
        *of_fixture("github_repositories.json"),
        made_up_repository(10),
    ],
    ("jsonplaceholder.yaml", "posts"): lambda: of_fixture("jsonplaceholder_posts.json"),
    ("jsonplaceholder.yaml", "users"): lambda: of_fixture("jsonplaceholder_users.json"),
    ("salesforce_like.yaml", "accounts"): lambda: [account(number) for number in range(1, 10)],
    ("stripe_like.yaml", "charges"): lambda: [charge(number) for number in range(1, 10)],
}


def test_every_declared_source_is_checked_here():
    declared = {("kasparro.yaml", name) for name in sample()}
    declared |= {(file, name) for file in EXAMPLES for name in example(file)}

    assert declared == set(RECORDS)


@pytest.mark.parametrize(("file", "name"), RECORDS)
def test_each_record_has_a_key_of_its_own_a_title_and_a_category(file, name):
    source = (sample() if file == "kasparro.yaml" else example(file))[name]
    records = RECORDS[file, name]()
    keys = Counter(key_of(source, record) for record in records)

    assert None not in {part for key in keys for part in key}
    assert keys.most_common(1)[0][1] == 1
    for record in records:
        values = mapped(source, record)
        assert values["title"], record
        assert values["category"], record
        published = values.pop("published_at", None)
        assert published is None or isinstance(published, str | int), record
        assert all(value is None or isinstance(value, str) for value in values.values()), record


def test_the_same_airport_means_the_same_in_all_three_sources():
    sources = sample()
    found = {
        "ourairports": next(r for r in of_airports(load_ourairports) if r["iata_code"] == "JFK"),
        "airportsdata": next(r for r in of_airports(load_airportsdata) if r["iata"] == "JFK"),
        "faa_airports": next(r for r in of_faa() if r["faa"] == "JFK"),
    }
    unified = {name: mapped(sources[name], record) for name, record in found.items()}

    assert unified["ourairports"] == {
        "title": "John F Kennedy International Airport",
        "description": "New York, US-NY, US",
        "url": "https://en.wikipedia.org/wiki/John_F._Kennedy_International_Airport",
        "category": "large_airport",
    }
    assert unified["airportsdata"]["title"] == "John F Kennedy International Airport"
    assert unified["airportsdata"]["description"] == "New York, New York, US"
    assert unified["faa_airports"] == {"title": "John F Kennedy Intl", "category": "airport"}


def test_a_missing_town_leaves_no_gap_in_the_description():
    source = sample()["ourairports"]
    nowhere = next(r for r in of_airports(load_ourairports) if r["municipality"] is None)

    assert mapped(source, nowhere)["description"] == f"{nowhere['iso_region']}, {nowhere['iso_country']}"


def test_the_sample_catalog_without_a_playground_says_which_variable_is_missing():
    with pytest.raises(ConfigurationError, match="PLAYGROUND_URL"):
        load_catalog(ROOT / "kasparro.yaml", {})


SECRETS = {
    "github_search.yaml": "GITHUB_TOKEN",
    "salesforce_like.yaml": "SALESFORCE_CLIENT_SECRET",
    "stripe_like.yaml": "STRIPE_API_KEY",
}


@pytest.mark.parametrize("file", sorted({file for file, _ in RECORDS if file in EXAMPLES} - set(SECRETS)))
def test_examples_without_a_secret_need_no_variable(file):
    addresses = [source.url for source in load_catalog(ROOT / "examples" / file, {}).sources.values()]

    assert all(address.startswith("https://") for address in addresses)


@pytest.mark.parametrize(("file", "secret"), SECRETS.items())
def test_the_others_ask_for_their_secret(file, secret):
    with pytest.raises(ConfigurationError, match=secret):
        load_catalog(ROOT / "examples" / file, {})
