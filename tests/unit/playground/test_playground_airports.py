import csv
import gzip
import io
import json
from decimal import Decimal
from importlib import resources

import pytest

from kasparro.playground.airports import load_airportsdata, load_ourairports

BOTH = pytest.mark.parametrize("load", [load_ourairports, load_airportsdata])


def rows(file):
    packed = resources.files("kasparro.playground").joinpath("data", file).read_bytes()
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline="")))


def decoded(load):
    return [json.loads(bytes(record), parse_float=Decimal) for record in load().records]


def as_written(record):
    """Every number of a record as the text that stands in the JSON."""
    return json.loads(bytes(record), parse_float=str, parse_int=str)


@BOTH
def test_keys_are_unique_and_in_order(load):
    keys = load().keys

    assert list(keys) == sorted(set(keys))
    assert all(keys)
    assert len(keys) == len(load().records)


@BOTH
def test_each_key_stands_beside_its_record(load):
    key = {load_ourairports: "ident", load_airportsdata: "icao"}[load]

    assert [record[key] for record in decoded(load)] == list(load().keys)


@BOTH
def test_a_set_is_read_once(load):
    assert load() is load()


def test_every_number_of_ourairports_has_the_digits_of_the_file():
    served = {record["ident"]: record for record in map(as_written, load_ourairports().records)}

    for row in rows("ourairports.csv.gz"):
        for column in ("id", "latitude_deg", "longitude_deg", "elevation_ft"):
            assert served[row["ident"]][column] == (row[column] or None), (row["ident"], column)


def test_every_number_of_airportsdata_has_the_digits_of_the_file():
    served = {record["icao"]: record["location"] for record in map(as_written, load_airportsdata().records)}

    for row in rows("airportsdata.csv.gz"):
        expected = {"lat": row["lat"], "lon": row["lon"], "elevation_ft": row["elevation"]}
        assert served[row["icao"]] == expected


def test_some_digits_would_not_survive_a_float():
    texts = [
        row[column] for row in rows("ourairports.csv.gz") for column in ("latitude_deg", "longitude_deg")
    ]

    assert any(repr(float(text)) != text for text in texts)


def test_values_of_ourairports_have_types():
    for record in decoded(load_ourairports):
        assert type(record["id"]) is int
        assert type(record["scheduled_service"]) is bool
        assert type(record["elevation_ft"]) in {int, type(None)}
        assert isinstance(record["latitude_deg"], int | Decimal)
        assert "" not in record.values()


def test_every_cell_of_the_files_is_served():
    nested = {"lat", "lon", "elevation"}
    ours = {record["ident"]: record for record in decoded(load_ourairports)}
    data = {record["icao"]: record for record in decoded(load_airportsdata)}

    for row in rows("ourairports.csv.gz"):
        assert row.keys() == ours[row["ident"]].keys()
        assert ours[row["ident"]]["keywords"] == (row["keywords"] or None)
        assert ours[row["ident"]]["scheduled_service"] is (row["scheduled_service"] == "yes")
    for row in rows("airportsdata.csv.gz"):
        texts = {column: cell or None for column, cell in row.items() if column not in nested}
        assert texts == {name: value for name, value in data[row["icao"]].items() if name != "location"}


def test_north_america_is_a_text_and_not_a_missing_value():
    assert any(record["continent"] == "NA" for record in decoded(load_ourairports))
