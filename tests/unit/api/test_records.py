from __future__ import annotations

import json
from typing import Any

import pytest

from kasparro.api.records import page_texts, readable, record_bytes
from kasparro.core.errors import StorageError
from kasparro.schemas.query import Count, RecordQuery, SearchMode
from kasparro.storage.dataset import DatasetPage, DatasetRow


def as_read(before: bytes, after: bytes) -> dict[str, Any]:
    return json.loads(b'{"request_id":"r"' + before + b"1.5" + after)


def row(record: str | None, number: int = 7) -> DatasetRow:
    return DatasetRow(number, "alpha", record)


def test_the_text_of_a_record_is_copied_and_not_written_again():
    text = '{"a" : 1.10, "b": 1E5, "c": 123456789012345678901234567890.5, "d": "\\u00e9"}'

    assert record_bytes(row(text)) == text.encode()


BAD = {
    "no object": row(None),
    "too deep": row(f'{{"metadata": {"[" * 5000}{"]" * 5000}}}'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_no_record_is_told_by_its_id(name):
    with pytest.raises(StorageError, match="record 7 "):
        record_bytes(BAD[name])


def test_a_record_with_many_brackets_that_are_not_nested_is_served():
    text = json.dumps({"metadata": {"list": [[]] * 1000}})

    assert record_bytes(row(text)) == text.encode()


def test_rows_that_are_no_records_are_left_out_of_a_page():
    good = row("{}")

    assert readable(DatasetPage([good, *BAD.values(), good], 6, Count.EXACT)) == [b"{}"] * 2


def test_facets_and_search_are_told_only_where_they_were_asked_for():
    plain = DatasetPage([row("{}")], 1, Count.EXACT)
    rich = DatasetPage(
        [], 0, Count.EXACT, facets='{"author" : []}', mode=SearchMode.SIMILAR, sources=["alpha"]
    )

    answers = [as_read(*page_texts(RecordQuery(), page, "next")) for page in (plain, rich)]

    assert list(answers[0]) == [
        *("request_id", "total_count", "count", "limit", "offset", "next_cursor", "api_latency_ms", "data"),
    ]
    assert answers[0]["next_cursor"] == "next"
    assert answers[1]["facets"] == {"author": []}
    assert answers[1]["search"] == {"mode": "similar", "sources": ["alpha"]}
