"""What the values of a parent make of a request, and what its children carry."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.sources.filling import Filling, Unusable, carrying
from kasparro.schemas.ingest import ParentRecord

values = st.text(max_size=20) | st.text(st.sampled_from("./\\%?#&=@:{x}"), max_size=8) | st.integers()


def filling(url="https://h.example/o/{a}/l", **keys):
    declared = {"name": "s", "url": url, "parent": {"source": "p", "params": {"a": "a"}}, **keys}
    declaration = ApiSource.model_validate(declared)
    return Filling(declaration, declaration.parent)


def parent(value, key="k"):
    return ParentRecord(key, json.dumps({"a": value}).encode())


@given(values)
def test_whatever_a_value_is_it_is_one_segment_of_the_declared_path_or_not_sent(value):
    try:
        url = filling().of(parent(value)).target.base
    except Unusable:
        return
    assert str(url.origin()) == "https://h.example"
    assert url.raw_query_string == ""
    assert url.raw_fragment == ""
    before, segment, after = url.raw_path.removeprefix("/").split("/")
    assert (before, unquote(segment), after) == ("o", str(value), "l")
    assert segment not in {".", ".."}


@given(values)
def test_whatever_a_value_is_it_is_one_value_of_the_declared_query(value):
    try:
        url = filling("https://h.example/o?x={a}&y=1").of(parent(value)).target.base
    except Unusable:
        return
    name, encoded = url.raw_query_string.split("&")[0].split("=")
    assert (name, unquote(encoded), url.raw_path) == ("x", str(value), "/o")
    assert url.raw_query_string.endswith("&y=1")


@pytest.mark.parametrize("value", [None, [1], {"b": 1}, "", "\0", "a\nb", "x" * 1001, "\ud800"])
def test_what_is_no_value_is_not_sent(value):
    with pytest.raises(Unusable, match="'a'"):
        filling().of(parent(value))


@pytest.mark.parametrize("value", [".", "..", "../x", "x/..", "..\\x", "a/./b"])
@pytest.mark.parametrize(
    "url", ["https://h.example/o/{a}", "https://h.example/{a}/l", "https://h.example/o/{a}/l"]
)
def test_no_value_climbs_the_path(url, value):
    with pytest.raises(Unusable, match="another path"):
        filling(url).of(parent(value))


def test_no_value_completes_dots_that_are_declared():
    with pytest.raises(Unusable, match="another path"):
        filling("https://h.example/o/.{a}").of(parent("."))
    filling("https://h.example/o?x=.{a}").of(parent("."))


@pytest.mark.parametrize(("value", "sent"), [(True, "true"), (17, "17"), (1.50, "1.5"), ("007", "007")])
def test_a_value_that_is_no_text_is_written_as_json_writes_it(value, sent):
    assert str(filling().of(parent(value)).target.base).endswith(f"/o/{sent}/l")


def test_a_header_takes_what_it_can_carry():
    with_header = filling("https://h.example/o", headers={"X": "{a}"})
    assert with_header.of(parent("é")).target.headers["X"] == "é"
    with pytest.raises(Unusable, match="header X"):
        with_header.of(parent("世"))


def test_an_expression_that_does_not_fit_a_parent_leaves_that_one_out():
    declared = {"source": "p", "params": {"a": "sum(a)"}}
    with pytest.raises(Unusable, match="does not fit"):
        filling(parent=declared).of(parent("text"))


def test_a_parent_from_a_file_is_read_by_the_names_of_its_columns():
    declared = {"source": "p", "params": {"a": '"order no."'}, "include": {"n": '"order no."', "gone": "x.y"}}
    filled = filling(parent=declared).of(ParentRecord("7", b'{"order no.": "0042"}'))
    assert str(filled.target.base) == "https://h.example/o/0042/l"
    assert filled.carried == b'{"key":"7","n":"0042","gone":null}'


@pytest.mark.parametrize(
    ("record", "stored"),
    [
        (b'{"id": 1.10}', b'{"id": 1.10,"_parent":{"key":"k"}}'),
        (b"{}", b'{"_parent":{"key":"k"}}'),
        (b"{ }", b'{ "_parent":{"key":"k"}}'),
        (b'{"_parent": 5}', b'{"_parent": 5,"_parent":{"key":"k"}}'),
        (b"[1]", b"[1]"),
        (b"7", b"7"),
    ],
)
def test_a_child_carries_its_parent_behind_all_that_was_received(record, stored):
    assert carrying(record, b'{"key":"k"}') == stored


@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=4), st.text(max_size=5)
)
def test_what_a_child_carries_is_json_with_the_parents_key_whatever_it_held(record, key):
    carried = filling().of(parent("x", key)).carried
    assert json.loads(carrying(json.dumps(record).encode(), carried)) == {**record, "_parent": {"key": key}}
