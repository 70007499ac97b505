"""Sources that depend on others, and paging that finds itself, by the command line."""

from __future__ import annotations

import psycopg
import pytest

from cli_process import PATIENCE, Kasparro, gated_api

CATALOG = """
sources:
  visits:
    type: api
    url: {url}/items
    params: {{airport: "{{airport}}"}}
    key: id
    pagination: {{type: page, param: page}}
    rate_limit: {{concurrency: 1}}
    parent: {{source: airports, params: {{airport: id}}, include: [name]}}
  airports:
    type: csv
    path: airports.csv
    key: id
"""


@pytest.fixture
def kasparro(tmp_path, database_url):
    made = Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "5"})
    made.csv("airports", 3)
    return made


@pytest.fixture
def api():
    with gated_api() as api:
        api.pages = 3
        yield api


def test_a_child_is_ingested_after_its_parent_whatever_their_order_and_looked_at_without_either(
    kasparro, api
):
    kasparro.catalog(CATALOG.format(url=api.url))
    api.allow(9)

    previewed = kasparro.json("sources", "preview", "visits", "-n", "6")
    visits, airports = kasparro.json("ingest")

    assert [one["received"]["_parent"] for one in previewed[::5]] == [{"key": "0", "name": "airports 0"}] * 2
    assert (airports["source"], airports["records_inserted"]) == ("airports", 3)
    assert (visits["source"], visits["records_inserted"], visits["status"]) == ("visits", 45, "success")


def test_a_process_that_is_killed_within_a_parent_goes_on_there(kasparro, api, database_url):
    kasparro.catalog(CATALOG.format(url=api.url))
    kasparro.json("ingest", "airports")
    api.allow(2)
    with kasparro.start("ingest", "visits", ETL_LEASE_SECONDS="2") as process:
        api.wait_until_asked_for(3)
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not connection.execute("SELECT 1 FROM raw_data_api WHERE external_id = '0|4'").fetchone():
                connection.execute("SELECT pg_sleep(0.02)")
        process.kill()
        process.wait(PATIENCE)
    before = len(api.asked)
    api.allow(9)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE source_lease SET expires_at = now()")

    (report,) = kasparro.json("ingest", "visits")

    assert report["status"] == "success"
    assert 30 <= report["records_processed"] <= 40
    assert api.asked[before] in (2, 3)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT external_id FROM raw_data_api ORDER BY id").fetchall()
    assert sorted(key for (key,) in rows) == sorted(f"{parent}|{n}" for parent in range(3) for n in range(15))


def test_what_auto_has_found_is_printed(kasparro, api):
    kasparro.catalog(f"sources:\n  things:\n    type: api\n    url: {api.url}/items\n    pagination: auto\n")
    api.allow(9)

    checked = kasparro.json("sources", "check", "things")
    shown = kasparro.run("sources", "check", "things").stdout

    assert checked["more"] is False
    assert "found nothing in the answer that leads to another page" in checked["notices"][0]
    assert checked["notices"][0] in shown
