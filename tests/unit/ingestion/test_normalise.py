"""From raw record to DataRecord: what is kept, converted, rejected."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.identity import identifier, payload_hash
from kasparro.ingestion.normalise import normaliser
from kasparro.schemas.data import DataRecord
from kasparro.schemas.ingest import ApiOrigin, FileOrigin, Keyed, Landed, RawRecord, Reject

HERE = ApiOrigin("http://test", 1, 0)


def api(**keys):
    return ApiSource(name="s", url="http://test", **keys)


def table(**keys):
    return CsvSource(name="s", folder=Path(), path="x.csv", **keys)


def exact(text: bytes):
    return json.loads(text, parse_float=Decimal)


def outcome(record, declaration=None):
    payload = record if isinstance(record, bytes) else json.dumps(record).encode()
    [outcome] = normaliser(declaration or api())(
        [Keyed("k", payload_hash(payload), RawRecord(payload, HERE))]
    )
    return outcome


def data(record, declaration=None):
    landed = outcome(record, declaration)
    assert isinstance(landed, Landed), landed
    assert landed.data is not None
    return exact(landed.data)


@pytest.mark.parametrize("declare", [api, table])
def test_an_expression_that_does_not_take_a_records_values_rejects_that_record(declare):
    declaration = declare(map={"title": "join(' ', [first, last])"})
    assert data({"first": "a", "last": "b"}, declaration)["title"] == "a b"

    reject = outcome({"first": "a"}, declaration)

    assert isinstance(reject, Reject)
    assert (reject.reason, reject.field) == ("wrong_type", "title")


def test_left_out_fields_fall_back_to_their_usual_names():
    record = {
        "name": "n",
        "summary": "s",
        "body": "b",
        "creator": "c",
        "created_at": "2024-05-01",
        "link": "l",
        "type": "t",
    }

    assert data(record) == {
        "source": "s",
        "source_id": "k",
        "title": "n",
        "description": "s",
        "content": "b",
        "author": "c",
        "published_at": "2024-05-01T00:00:00Z",
        "url": "l",
        "category": "t",
        "metadata": {"created_at": "2024-05-01"},
    }


def test_what_no_mapping_took_is_in_metadata_to_the_digit():
    got = data(
        b'{"title": "t", "a": 1.10, "b": 123456789012345678901234567890, "c": 0, "d": null, "e": [1.50, {"f": 1E2}]}'
    )

    assert got["metadata"] == {
        "a": Decimal("1.10"),
        "b": 123456789012345678901234567890,
        "c": 0,
        "d": None,
        "e": [Decimal("1.50"), {"f": Decimal("1E2")}],
    }
    assert str(got["metadata"]["a"]) == "1.10"


@pytest.mark.parametrize(
    ("rule", "record", "expected"),
    [
        ("login", {"login": "x"}, "x"),
        ("owner.login", {"owner": {"login": "x"}}, "x"),
        ("owner.login", {"owner": None}, None),
        ("owner.login", {"owner": "text"}, None),
        (["a", "b"], {"a": None, "b": "second"}, "second"),
        (["a", "b"], {"a": "", "b": "second"}, ""),
        ("const:fixed", {}, "fixed"),
        ({"path": "a", "default": "d"}, {}, "d"),
        ({"path": "a", "default": "d"}, {"a": "x"}, "x"),
        ({"const": 5}, {}, "5"),
        ("tags[0]", {"tags": ["x", "y"]}, "x"),
        ("join(', ', tags)", {"tags": ["x", "y"]}, "x, y"),
        ("n", {"n": 0}, "0"),
        ("n", {"n": False}, "false"),
    ],
)
def test_a_rule_fills_its_field(rule, record, expected):
    assert data(record, api(map={"author": rule}))["author"] == expected


def test_a_converted_value_leaves_its_original_in_metadata():
    got = data(b'{"n": 1.10, "when": "2024-05-01 10:00"}', api(map={"title": "n", "published_at": "when"}))

    assert (got["title"], got["published_at"]) == ("1.10", "2024-05-01T10:00:00Z")
    assert got["metadata"] == {"n": Decimal("1.10"), "when": "2024-05-01 10:00"}


def test_a_value_taken_as_it_is_does_not_repeat_in_metadata():
    assert (
        data({"n": "x", "when": "2024-05-01T10:00:00Z"}, api(map={"title": "n", "published_at": "when"}))[
            "metadata"
        ]
        == {}
    )


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (None, "2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"),
        (None, "2024-05-01", "2024-05-01T00:00:00Z"),
        ("epoch_s", 1714557600, "2024-05-01T10:00:00Z"),
        ("epoch_s", "1714557600.5", "2024-05-01T10:00:00.500000Z"),
        ("epoch_ms", 1714557600123, "2024-05-01T10:00:00.123000Z"),
        ("date", "2024-05-01", "2024-05-01T00:00:00Z"),
        ("%d.%m.%Y", "01.05.2024", "2024-05-01T00:00:00Z"),
    ],
)
def test_times_become_aware_utc(form, value, expected):
    rule = "t" if form is None else {"path": "t", "as": form}
    assert data({"t": value}, api(map={"published_at": rule}))["published_at"] == expected


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (None, 1714557600),
        (None, "yesterday"),
        (None, ""),
        (None, "10000-01-01"),
        ("epoch_s", "x"),
        ("epoch_s", 1e300),
        ("epoch_s", True),
        ("epoch_ms", "NaN"),
        ("date", "2024-05-01T10:00"),
        ("%d.%m.%Y", "2024-05-01"),
        (None, [1]),
        ("epoch_s", {}),
    ],
)
def test_a_time_that_cannot_be_read_rejects_the_record_and_names_the_field(form, value):
    rule = "t" if form is None else {"path": "t", "as": form}
    reject = outcome({"t": value}, api(map={"published_at": rule}))

    assert isinstance(reject, Reject)
    assert (reject.reason, reject.field, reject.external_id) == ("invalid_time", "published_at", "k")


def test_a_fallback_that_does_not_fit_leaves_the_field_empty_and_the_value_in_metadata():
    got = data({"created_at": "yesterday", "type": {"a": 1}})
    assert (got["published_at"], got["category"]) == (None, None)
    assert got["metadata"] == {"created_at": "yesterday", "type": {"a": 1}}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a": "\\u0000"}', "invalid_text"),
        (b'{"a\\u0000": 1}', "invalid_text"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "too_deep"),
        (b'{"a": 1e200000}', "number_out_of_range"),
        (b'{"a": 1e-20000}', "number_out_of_range"),
        (b'{"a": ' + b"9" * 140000 + b"}", "number_out_of_range"),
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b'{"a": "\\ud800"}', "invalid_text"),
        (b'{"a": 1', "invalid_text"),
    ],
)
def test_what_the_dataset_cannot_hold_is_a_reject(payload, reason):
    reject = outcome(payload)
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert reject.payload == payload


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a": "\\\\u0000 is only a backslash and a u"}',
        b'{"a": "e9999 [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
        b'{"a": 0e99999}',
        b'{"a": 1e400}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}",
    ],
)
def test_what_only_looks_dangerous_passes(payload):
    assert isinstance(outcome(payload), Landed)


def test_cells_stay_text_and_null_values_become_null():
    got = data(
        {"id": "007", "name": "x", "empty": "", "n": "1.10"}, table(map={"title": "name", "author": "empty"})
    )

    assert got["author"] is None
    assert got["metadata"] == {"id": "007", "empty": None, "n": "1.10"}


def test_a_column_name_that_is_no_expression_can_be_mapped():
    got = data({"Full Name": "x", "a.b": "y"}, table(map={"title": "Full Name", "author": "a.b"}))
    assert (got["title"], got["author"], got["metadata"]) == ("x", "y", {})


@pytest.mark.parametrize(
    ("key", "record", "expected"),
    [
        (None, {"id": 7}, "7"),
        (None, {"id": "007"}, "007"),
        ("a.b", {"a": {"b": "x"}}, "x"),
        (["a", "b"], {"a": "x", "b": 1}, "x|1"),
        (["a", "b"], {"a": "x|y", "b": "z"}, "x\\|y|z"),
        (["a", "b"], {"a": "x", "b": "y|z"}, "x|y\\|z"),
    ],
)
def test_the_key_becomes_the_identity(key, record, expected):
    keyed = identifier(api(key=key))([RawRecord(json.dumps(record).encode(), HERE)])[0]
    assert isinstance(keyed, Keyed)
    assert keyed.external_id == expected


def test_an_identity_that_is_too_long_is_a_reject():
    reject = identifier(api())([RawRecord(json.dumps({"id": "x" * 256}).encode(), HERE)])[0]
    assert isinstance(reject, Reject)
    assert reject.reason == "identity_too_long"


def test_a_row_without_a_key_is_identified_by_its_content():
    identify = identifier(table())
    rows = [RawRecord(p, FileOrigin("x", 0, 1, 1)) for p in (b'{"a":"1"}', b'{"a":"2"}', b'{"a":"1"}')]
    first, second, third = (one.external_id for one in identify(list(rows)))
    assert first == third != second


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False).map(float)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), json_values, max_size=8
    )
)
def test_any_object_keeps_every_field_somewhere(record):
    got = outcome(json.dumps(record).encode())
    assert isinstance(got, Landed)
    assert got.data is not None
    written = msgspec.json.decode(got.data)
    kept = written["metadata"]
    for name, value in record.items():
        if name in kept:
            assert kept[name] == value
        else:
            assert value in [
                written[f]
                for f in ("title", "description", "content", "author", "published_at", "url", "category")
            ]


@pytest.mark.parametrize("payload", [b'{"a": "\\u0000"}', b'{"a": "\\\\\\u0000"}'])
def test_a_cell_with_a_nul_is_a_reject(payload):
    reject = outcome(payload, table())
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.field) == ("invalid_text", "a")


def test_the_public_model_refuses_a_nul_as_well():
    with pytest.raises(ValidationError):
        DataRecord(source="s", source_id="1", title="a\0b")
    assert DataRecord(source="s", source_id="1", title="a\nb\n").title == "a\nb\n"
