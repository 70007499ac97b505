"""CSV files: the floor, Kasparro's first load and what comes after it, and where asked for the peers, all on one file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from bench import flights, product
from bench.data import Dataset, Table, prepared
from bench.floor import Floor
from bench.generated import COLUMNS, generated
from bench.measuring import Chain, Ran, Step, tell
from bench.sections import Place, Section
from bench.server import MIGRATED

FLIGHTS = Table(
    name="flights",
    columns=flights.columns,
    rows=flights.flights,
    more=lambda count, _there: flights.flights_of_the_next_year(count),
    changing="tailnum",
    key=("time_hour", "carrier", "flight", "origin"),
    options='null_values: ["", NA], map: {title: flight, author: carrier, published_at: time_hour, category: dest}',
)
GENERATED = Table(
    name="generated",
    columns=lambda: COLUMNS,
    rows=generated,
    more=generated,
    changing="tags",
    key=("id",),
    options="map: {title: name, author: owner, published_at: created_at, category: kind}",
)


def flights_section(place: Place) -> Section | None:
    if not flights.available():
        tell("the flights cannot be had: the package registry does not answer, or pip is not there. Left out")
        return None
    return csv_section(place, FLIGHTS)


def generated_section(place: Place) -> Section:
    return csv_section(place, GENERATED)


def csv_section(place: Place, table: Table) -> Section:
    dataset = prepared(table, place.folder / table.name, place.rows)
    floor = prepared_floor(place, dataset)
    chains = [
        Chain((Step("floor", dataset.count, floor.run, product.TABLES),), MIGRATED),
        Chain(steps_of_the_product(dataset), MIGRATED),
        *place.peers(dataset),
    ]
    facts = {
        "rows": dataset.count,
        "columns": len(table.columns()),
        "mib": round(dataset.path.stat().st_size / 2**20, 1),
        "key": ", ".join(dataset.key),
    }
    return Section(table.name, facts, chains, needed=frozenset({"floor", "ingest"}))


def prepared_floor(place: Place, dataset: Dataset) -> Floor:
    with place.server.database("bench", MIGRATED) as url:
        first_load(dataset, url)
        return Floor.prepared(url, dataset.folder)


def steps_of_the_product(dataset: Dataset) -> tuple[Step, ...]:
    count, part = dataset.count, dataset.part
    return (
        Step("ingest", count, partial(first_load, dataset), product.TABLES),
        Step("rerun", count, partial(rerun, dataset), product.TABLES, writes_nothing=True),
        Step("full", count, partial(full_rerun, dataset), product.TABLES, writes_nothing=True),
        Step("append", part, partial(after_appending, dataset), product.TABLES),
        Step("changed", count, partial(after_changes, dataset), product.TABLES),
    )


def first_load(dataset: Dataset, url: str) -> Ran:
    dataset.show("original")
    return product.ingest(dataset.folder, url, {"processed": dataset.count, "inserted": dataset.count})


def rerun(dataset: Dataset, url: str) -> Ran:
    """Nothing has changed; whether that is seen by the file or row by row is Kasparro's business."""
    return product.ingest(dataset.folder, url, {"inserted": 0, "updated": 0, "failed": 0})


def full_rerun(dataset: Dataset, url: str) -> Ran:
    return product.ingest(
        dataset.folder, url, {"processed": dataset.count, "unchanged": dataset.count}, "--full"
    )


def after_appending(dataset: Dataset, url: str) -> Ran:
    dataset.show("appended")
    return product.ingest(dataset.folder, url, {"inserted": dataset.part, "updated": 0, "failed": 0})


def after_changes(dataset: Dataset, url: str) -> Ran:
    """The appended rows are absent again, which deletes nothing."""
    dataset.show("changed")
    return product.ingest(
        dataset.folder,
        url,
        {"inserted": 0, "updated": dataset.part, "unchanged": dataset.count - dataset.part},
    )
