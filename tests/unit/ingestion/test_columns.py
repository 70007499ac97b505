"""Rows taken by columns come out as they do one by one: the fast way is only ever faster."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.column_mapping import ColumnNormaliser
from kasparro.ingestion.columns import as_array, column_names, columns_reader, piecewise
from kasparro.ingestion.identity import _by_columns, identifier
from kasparro.ingestion.identity import one_by_one as identified_one_by_one
from kasparro.ingestion.normalise import normaliser, one_by_one
from kasparro.schemas.data import DataRecord
from kasparro.schemas.ingest import FileOrigin, Keyed, Landed, RawRecord, Reject

HERE = FileOrigin("x.csv", 0, 1, 1)


def table(**keys):
    return CsvSource(name="s", folder=Path(), path="x.csv", **keys)


def record(row) -> RawRecord:
    return RawRecord(row if isinstance(row, bytes) else msgspec.json.encode(row), HERE)


def keyed(rows) -> list[Keyed]:
    return [Keyed(f"k{number}", b"h" * 16, record(row)) for number, row in enumerate(rows)]


def seen(outcome):
    """An outcome to compare: the order of a JSON object's members says nothing."""
    return json.loads(outcome.data) if isinstance(outcome, Landed) else outcome


names = st.lists(st.sampled_from(["id", "name", "when", "a b", "é", "type", "url"]), min_size=1, unique=True)
cells = st.one_of(
    st.sampled_from(
        ["", "NA", "2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05+02:00", "31.12.2024"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
rules = st.sampled_from(
    [
        {},
        {"title": "name"},
        {"title": ["name", "type"], "url": "name"},
        {"published_at": "when"},
        {"published_at": ["when", "name"], "category": {"const": "c"}},
        {"title": {"path": "name", "default": "none"}, "published_at": {"path": "when", "as": "date"}},
        {"title": "join(' ', [name, type])"},
        {"content": "no such column"},
    ]
)


@st.composite
def tables(draw):
    header = draw(names)
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(header, cells)), min_size=1, max_size=40))
    return rows, draw(rules), draw(st.sampled_from([("",), (), ("", "NA")]))


@given(tables())
def test_rows_are_normalised_by_columns_as_they_are_one_by_one(given_table):
    rows, field_map, nulls = given_table
    declaration = table(map=field_map, null_values=nulls)
    one = one_by_one(declaration)

    outcomes = normaliser(declaration)(keyed(rows))

    assert [seen(outcome) for outcome in outcomes] == [seen(one(row)) for row in keyed(rows)]


@given(
    tables(),
    st.sampled_from([None, ("id",), ("name",), ("name", "type"), ("é", "id", "a b"), ("id.name",)]),
)
def test_rows_are_identified_by_columns_as_they_are_one_by_one(given_table, key):
    rows, _, _ = given_table
    declaration = table(key=key)
    one = identified_one_by_one(declaration)

    assert identifier(declaration)([record(row) for row in rows]) == [one(record(row)) for row in rows]


def test_a_plain_batch_does_go_by_columns():
    """The properties above would hold if it never did."""
    rows = [{"id": str(n), "name": f"n{n}", "when": "2024-01-02T00:00:00Z"} for n in range(50)]
    declaration = table(map={"title": "name", "published_at": "when"})

    assert len(ColumnNormaliser(declaration)(keyed(rows)) or []) == 50
    assert len(_by_columns(declaration)([record(row) for row in rows]) or []) == 50
    assert len(_by_columns(table(key=("id", "name")))([record(row) for row in rows]) or []) == 50


def test_one_bad_row_among_many_costs_only_itself():
    rows = [{"id": str(n), "when": "2024-01-02"} for n in range(1000)]
    rows[617]["when"] = "not a time"

    outcomes = normaliser(table(map={"published_at": "when"}))(keyed(rows))

    assert [type(outcome) for outcome in outcomes].count(Landed) == 999
    assert isinstance(outcomes[617], Reject)
    assert outcomes[617].field == "published_at"


def test_rows_of_files_with_other_columns_are_told_apart():
    rows = [{"id": "1", "name": "a"}, {"id": "2", "title": "b"}] * 30

    outcomes = normaliser(table())(keyed(rows))

    assert [json.loads(outcome.data)["title"] for outcome in outcomes] == ["a", "b"] * 30
    assert {tuple(json.loads(outcome.data)["metadata"]) for outcome in outcomes} == {("id",)}


def test_a_row_without_an_id_among_rows_that_have_one_is_known_by_its_content():
    rows = [record({"id": "1"}), record({"x": "2"}), record({"x": '"id":'})]

    outcomes = identifier(table())(rows)

    assert outcomes[0].external_id == "1"
    assert [outcome.external_id for outcome in outcomes[1:]] == [o.payload_hash.hex() for o in outcomes[1:]]


def test_datarecord_has_no_checks_but_those_of_its_fields():
    """Columns are checked field by field: a check of the whole record would be passed over."""
    decorators = DataRecord.__pydantic_decorators__

    assert not decorators.model_validators
    assert not decorators.root_validators
    assert not decorators.field_validators
    assert not decorators.validators


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_column_whose_name_must_be_escaped_goes_one_by_one(name):
    assert columns_reader((name,)) is None
    [outcome] = normaliser(table(key=(name,)))(keyed([{name: "x"}]))
    assert json.loads(outcome.data)["metadata"] == {name: "x"}


def test_what_is_no_row_has_no_columns():
    assert column_names(b"[1]") == ()
    assert column_names(b'{"a": 1}') == ()
    assert column_names(b"\xff") == ()


def test_a_nul_character_goes_one_by_one():
    assert as_array([b'{"a":"\\u0000"}']) is None


@given(st.lists(st.integers(0, 9), max_size=2000), st.integers(0, 9))
def test_pieces_come_out_in_order_whatever_the_fast_way_refuses(items, bad):
    def fast(some):
        return None if bad in some else [(item, "fast") for item in some]

    outcomes = piecewise(fast, lambda item: (item, "slow"), items)

    assert [item for item, _ in outcomes] == items
    assert all(how == "slow" for item, how in outcomes if item == bad)
