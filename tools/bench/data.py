"""The files that are ingested: as they are, with one per cent more rows behind them, and with every hundredth row changed."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

Row = list[str]
PART = 100
"""Every which row is changed, and as many are appended."""


@dataclass(frozen=True, slots=True)
class Table:
    """Where rows come from and how a catalog declares them."""

    name: str
    columns: Callable[[], list[str]]
    rows: Callable[[int], Iterator[Row]]
    """So many; fewer where there are not as many."""
    more: Callable[[int, int], Iterator[Row]]
    """So many with new keys; and how many are there already."""
    changing: str
    """The column in which a changed row differs."""
    key: tuple[str, ...]
    options: str
    """The rest of the declaration, as YAML in one line."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder with a catalog and `rows.csv`, in the place of which each version of the file can be put."""

    name: str
    folder: Path
    columns: list[str]
    key: tuple[str, ...]
    count: int

    @property
    def part(self) -> int:
        """How many rows are changed, and how many appended."""
        return -(-self.count // PART)

    @property
    def path(self) -> Path:
        return self.folder / "rows.csv"

    def show(self, version: str) -> None:
        """Make *version* (original, empty, appended or changed) the file that the catalog names."""
        self.path.unlink(missing_ok=True)
        os.link(self.folder / f"{version}.csv", self.path)


def prepared(table: Table, folder: Path, rows: int) -> Dataset:
    folder.mkdir()
    columns = table.columns()
    count = write(folder / "original.csv", columns, table.rows(rows))
    dataset = Dataset(table.name, folder, columns, table.key, count)
    dataset.show("original")
    write(folder / "empty.csv", columns, ())
    write(folder / "appended.csv", columns, chain(table.rows(count), table.more(dataset.part, count)))
    changed = with_changes(table.rows(count), columns.index(table.changing))
    write(folder / "changed.csv", columns, changed)
    (folder / "kasparro.yaml").write_text(
        f"sources: {{{table.name}: {{type: csv, path: rows.csv, key: [{', '.join(table.key)}], {table.options}}}}}\n"
    )
    return dataset


def with_changes(rows: Iterable[Row], column: int) -> Iterator[Row]:
    for number, row in enumerate(rows):
        yield row if number % PART else [*row[:column], row[column] + "*", *row[column + 1 :]]


def write(path: Path, columns: list[str], rows: Iterable[Row]) -> int:
    """How many rows there were."""
    count = 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
