from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.api.records import ENCODER, readable, record_of
from kasparro.core.errors import StorageError
from kasparro.schemas.data import StoredRecord
from kasparro.storage.dataset import DatasetPage, DatasetRow

TIME = "2024-01-01T00:00:00.000000Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def row(data: str, *, created_at: str | None = TIME, updated_at: str | None = TIME) -> DatasetRow:
    return DatasetRow(7, "alpha", "1", data, created_at, updated_at)


@given(metadata=st.dictionaries(TEXT, JSON, max_size=3))
def test_what_is_stored_is_what_is_served(metadata):
    encoded = ENCODER.encode(record_of(row(json.dumps({"title": "T", "metadata": metadata}))))

    assert json.loads(encoded)["metadata"] == metadata
    assert StoredRecord.model_validate_json(encoded).title == "T"


def test_the_text_of_a_value_is_copied_and_not_written_again():
    text = '{"a": 1.10, "b": 1E5, "c": 123456789012345678901234567890.5, "d": "\\u00e9"}'

    assert text.encode() in ENCODER.encode(record_of(row(f'{{"metadata": {text}}}')))


def test_a_field_that_is_not_stored_is_null_and_one_that_is_not_ours_is_left_out():
    served = json.loads(ENCODER.encode(record_of(row('{"surprise": 1}'))))

    assert served["title"] is None
    assert served["metadata"] == {}
    assert "surprise" not in served


BAD = {
    "no object": row("[]"),
    "too deep": row(f'{{"metadata": {"[" * 5000}{"]" * 5000}}}'),
    "no creation": row("{}", created_at=None),
    "no update": row("{}", updated_at=None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_no_record_is_told_by_its_id(name):
    with pytest.raises(StorageError, match="record 7 "):
        record_of(BAD[name])


def test_rows_that_are_no_records_are_left_out_of_a_page():
    good = row("{}")

    assert readable(DatasetPage(6, [good, *BAD.values(), good])) == [record_of(good)] * 2
