from __future__ import annotations

import json

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.sources.flat_path import flat_path
from kasparro.ingestion.sources.json_records import Flaw, read_document
from kasparro.ingestion.sources.selector import compile_selector

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=20,
)
PATHS = st.sampled_from(
    ["a[]", "[]", "a.b[]", "a[].b[]", "[].a[]", "a[].b[].c[]", "a[].b", "a[].b.c[]", "[].a.b", "a[].b[].c"]
)


@given(VALUES, PATHS)
def test_a_path_leads_where_jmespath_leads(answer, path):
    found = compile_selector(path).elements(read_document(json.dumps(answer).encode()))
    assert (None if found is None else list(map(json.loads, found))) == jmespath.search(path, answer)


ANSWER = read_document(
    b"""{"made": 1.50, "shops": [
    {"id": 7.0, "name": "N", "orders": [
        {"id": 1e2, "customer": {"email": "x@h.example"}, "lines": [{"sku": "a" ,"id":1.10}, { }]},
        {"id": 2, "lines": [{"_parent": 0, "sku": "b"}, 5]}]}]}"""
)


def test_records_stay_as_received_and_take_along_what_is_declared():
    carry = {
        "order": "id",
        "email": "customer.email",
        "shop": "^.id",
        "odd name": '^."name"',
        "made": "^.^.made",
    }
    found = compile_selector("shops[].orders[].lines[]", carry).elements(ANSWER)
    of_shop = b'"shop":7.0,"odd name":"N","made":1.50}}'
    assert found == [
        b'{"sku": "a" ,"id":1.10,"_parent":{"order":1e2,"email":"x@h.example",' + of_shop,
        b'{ "_parent":{"order":1e2,"email":"x@h.example",' + of_shop,
        b'{"_parent": 0, "sku": "b","_parent":{"order":2,' + of_shop,
        b"5",
    ]


def test_a_single_object_in_a_list_takes_along_from_the_element_of_the_list():
    found = compile_selector("shops[].orders[].customer", {"id": "id"}).elements(ANSWER)
    assert found == [b'{"email": "x@h.example","_parent":{"id":1e2}}']


def test_an_element_that_is_no_json_is_one_flaw():
    text = b'{"a": [{"b": [1, NaN, 2]}, {"b": [3]}]}'
    found = compile_selector("a[].b[]").elements(read_document(text))
    assert [isinstance(element, Flaw) for element in found] == [True, False]
    assert found[1] == b"3"


@pytest.mark.parametrize(("path", "carry", "from_answer"), [
    ("a[]", "x", True),
    ("a[].b[]", "x", False),
    ("a[].b[]", "^.x", True),
    ("a[].b", "^.x", True),
    ("a[].b[].c[]", "^.x", False),
])  # fmt: skip
def test_what_is_carried_from_outside_of_all_lists_is_known(path, carry, from_answer):
    assert flat_path(path, {"x": carry}).carries_from_answer is from_answer


@pytest.mark.parametrize(
    "text", ["a", "a.b", "a[0].b", "a[*].b[]", "a[?x].b[]", "a[][]", "a[].{b: b}", "a[] | [0]"]
)
def test_other_expressions_are_not_taken_for_such_a_path(text):
    assert flat_path(text, {}) is None
