"""The bundled airports as ready-made JSON records: what the CSV files hold, typed, every number with its own digits.

In: the gzipped CSV files in `data/`. Out: one `msgspec.Raw` a record, which the two APIs put into their answers as it is.
Each set is read once a process.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import msgspec
from msgspec import Raw

Row = dict[str, str]

_NUMBERS = frozenset({"id", "latitude_deg", "longitude_deg", "elevation_ft"})
_FLAGS = frozenset({"scheduled_service"})


@dataclass(frozen=True, slots=True)
class AirportSet:
    """Records in the order of their keys."""

    keys: Sequence[str]
    records: Sequence[Raw]


@functools.cache
def load_ourairports() -> AirportSet:
    return _collect("ourairports.csv.gz", "ident", _ourairports_record)


@functools.cache
def load_airportsdata() -> AirportSet:
    return _collect("airportsdata.csv.gz", "icao", _airportsdata_record)


def _collect(file: str, key: str, record: Callable[[Row], dict[str, object]]) -> AirportSet:
    rows = sorted(_rows(file), key=lambda row: row[key])
    return AirportSet(
        keys=tuple(row[key] for row in rows),
        records=tuple(Raw(msgspec.json.encode(record(row))) for row in rows),
    )


def _rows(file: str) -> Iterable[Row]:
    packed = resources.files("kasparro.playground").joinpath("data", file).read_bytes()
    return csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline=""))


def _ourairports_record(row: Row) -> dict[str, object]:
    return {column: _ourairports_value(column, cell) for column, cell in row.items()}


def _ourairports_value(column: str, cell: str) -> object:
    if column in _FLAGS:
        return cell == "yes"
    return _number(cell) if column in _NUMBERS else _text(cell)


def _airportsdata_record(row: Row) -> dict[str, object]:
    return {
        "icao": row["icao"],
        "iata": row["iata"],
        "lid": _text(row["lid"]),
        "name": row["name"],
        "city": _text(row["city"]),
        "subd": _text(row["subd"]),
        "country": row["country"],
        "location": {
            "lat": _number(row["lat"]),
            "lon": _number(row["lon"]),
            "elevation_ft": _number(row["elevation"]),
        },
        "tz": row["tz"],
    }


def _text(cell: str) -> str | None:
    return cell or None


def _number(cell: str) -> Raw | None:
    """The digits of the cell, untouched; a float would round some of them."""
    return Raw(cell.encode()) if cell else None
