"""What tells a changed record from an unchanged one."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.identity import identifier
from kasparro.ingestion.ignoring import content_hash, leading_nowhere, payload_hash
from kasparro.schemas.ingest import FileOrigin, RawRecord


def api(*paths):
    return ApiSource(name="s", url="http://h.example/items", ignore_changes=paths)


def table(*paths, **more):
    return CsvSource(name="s", folder=Path(), path="x.csv", ignore_changes=paths, **more)


def text(record) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record).encode()


def test_a_source_that_ignores_nothing_hashes_the_text_as_received():
    assert content_hash(api()) is payload_hash


@pytest.mark.parametrize(
    ("paths", "one", "other"),
    [
        (["at"], {"id": 1, "at": "x"}, {"id": 1, "at": {"y": [1]}}),
        (["at"], {"id": 1, "at": "x"}, {"id": 1}),
        (["stats.views"], {"id": 1, "stats": {"views": 1, "x": 2}}, {"id": 1, "stats": {"views": 9, "x": 2}}),
        (["a.b.c"], {"a": {"b": {"c": 1}, "d": 2}}, {"a": {"b": {}, "d": 2}}),
        (["items.price"], {"items": [{"price": 1}, {"n": 2}]}, {"items": [{"price": 2}, {"n": 2}]}),
        (["items.price"], {"items": [[{"price": 1}]]}, {"items": [[{"price": 2}]]}),
        (["stats", "stats.views"], {"id": 1, "stats": {"views": 1}}, {"id": 1, "stats": 5}),
        (['"a.b".c'], {"a.b": {"c": 1}}, {"a.b": {"c": 2}}),
        (["at"], b'{"id": 1, "at": 1}', b'{"at":2,"id": 1}'),
    ],
)
def test_records_that_differ_only_in_what_is_ignored_are_the_same(paths, one, other):
    hashed = content_hash(api(*paths))

    assert hashed(text(one)) == hashed(text(other))


@pytest.mark.parametrize(
    ("paths", "one", "other"),
    [
        (["at"], {"id": 1, "at": "x"}, {"id": 2, "at": "x"}),
        (["stats.views"], {"stats": {"views": 1, "x": 2}}, {"stats": {"views": 1, "x": 3}}),
        (["stats.views"], {"views": 1}, {"views": 2}),
        (["stats.views"], {"stats": 1}, {"stats": 2}),
        (["a.b"], {"a.b": 1}, {"a.b": 2}),
        (["items.price"], {"items": [{"price": 1}]}, {"items": [{"price": 1}, {"price": 1}]}),
        (["at"], b'{"n": 1.0, "at": 1}', b'{"n": 1.00, "at": 1}'),
        (["at"], b'{"n": 1, "at": 1}', b'{"n": "1", "at": 1}'),
        (["at"], b'{"at": 1', b'{"at": 2'),
    ],
)
def test_what_is_not_ignored_counts_to_the_digit(paths, one, other):
    hashed = content_hash(api(*paths))

    assert hashed(text(one)) != hashed(text(other))


names = st.sampled_from(["a", "b", "c", "d.e", ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["a", "b", "c"])


def without(value, path):
    match value:
        case dict() if len(path) == 1:
            value.pop(path[0], None)
        case dict() if path[0] in value:
            without(value[path[0]], path[1:])
        case list():
            for item in value:
                without(item, path)
    return value


@given(
    st.dictionaries(names, values, max_size=5),
    st.dictionaries(names, values, max_size=5),
    st.lists(st.lists(fields, min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_two_records_have_one_hash_exactly_when_they_are_equal_without_what_is_ignored(one, other, paths):
    hashed = content_hash(api(*(".".join(path) for path in paths)))
    left, right = copy.deepcopy(one), copy.deepcopy(other)
    for path in paths:
        left, right = without(left, path), without(right, path)

    assert (hashed(text(one)) == hashed(text(other))) == (json.dumps(left) == json.dumps(right))


def test_the_name_of_a_column_is_taken_whole():
    hashed = content_hash(table("stats.views"))

    assert hashed(text({"id": "1", "stats.views": "1"})) == hashed(text({"id": "1", "stats.views": "2"}))


def test_a_row_that_has_no_key_is_identified_by_all_of_its_content():
    rows = [RawRecord(text({"n": "1", "seen": day}), FileOrigin("x.csv", 0, 1, 1)) for day in ("mon", "tue")]
    by_columns = identifier(table("seen"))(rows)
    one_by_one = [identifier(table("seen"))([row])[0] for row in rows]

    assert by_columns == one_by_one
    assert len({one.external_id for one in by_columns}) == 2
    assert len({one.payload_hash for one in by_columns}) == 1


def test_paths_that_no_record_has_lead_nowhere():
    records = [b'{"id": 1, "stats": [{"views": 1}]}', b"[]", b"{"]

    assert leading_nowhere(api("stats.views", "stats.likes", "views"), records) == ["stats.likes", "views"]
    assert leading_nowhere(table("stats.views"), records) == ["stats.views"]
