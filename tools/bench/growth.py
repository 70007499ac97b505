"""Whether a table that grows slows down what is added to it: the same load into an empty table, and into one that is large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from bench import product
from bench.data import write
from bench.generated import COLUMNS, generated
from bench.measuring import Chain, Ran, Step, fresh, tell
from bench.sections import Place, Section
from bench.server import MIGRATED

LOAD = 500_000
TIMES = 10
KEYS = {"raw_data_csv": "external_id", "normalized_data": "source_id"}
CATALOG = (
    "sources: {growth: {type: csv, path: rows.csv, key: id,"
    " map: {title: name, author: owner, published_at: created_at, category: kind}}}\n"
)


@dataclass(slots=True)
class Growing:
    """A source that has new rows whenever it is asked, and only new ones."""

    folder: Path
    count: int
    given: int = field(default=0)

    def load(self, url: str) -> Ran:
        rows = generated(self.count, self.given)
        write(self.folder / "rows.csv", COLUMNS, rows)
        self.given += self.count
        return product.ingest(self.folder, url, {"processed": self.count, "inserted": self.count})


@contextmanager
def growth_section(place: Place) -> Iterator[Section]:
    """The empty table is a new one in each round, the large one the same in all: it grows a little more in each."""
    count = min(place.rows, LOAD)
    large = source(place, "large", count)
    with place.server.database("bench_large", MIGRATED) as url:
        large.load(url)
        tell(f"growth: filling the tables to {TIMES * count:,} rows")
        fill(url, TIMES)
        at_zero, at_many = "at-0", f"at-{TIMES * count}"
        empty = partial(load_into_empty, place, count)
        chains = [
            Chain((Step(at_zero, count, empty, product.TABLES),), fresh(MIGRATED)),
            Chain((Step(at_many, count, large.load, product.TABLES),), lambda _: nullcontext(url)),
        ]
        yield Section("growth", {"rows": count, "rows there": TIMES * count}, chains)


def load_into_empty(place: Place, count: int, url: str) -> Ran:
    return source(place, "empty", count).load(url)


def source(place: Place, name: str, count: int) -> Growing:
    folder = place.folder / "growth" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kasparro.yaml").write_text(CATALOG)
    return Growing(folder, count)


def fill(url: str, times: int) -> None:
    """Make *times* as many rows of those that are there, by copies whose keys lie between theirs."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table, key in KEYS.items():
            names = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('id', %s)",
                [table, key],
            )
            others = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
            statement = sql.SQL(
                "INSERT INTO {table} ({key}, {others})"
                " SELECT {key} || '-' || copy, {others} FROM {table}, generate_series(2, {times}) copy"
            ).format(
                table=sql.Identifier(table), key=sql.Identifier(key), others=others, times=sql.Literal(times)
            )
            connection.execute(statement)
