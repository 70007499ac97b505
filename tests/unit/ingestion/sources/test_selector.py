from __future__ import annotations

import pytest

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.json_records import read_document
from kasparro.ingestion.sources.selector import compile_selector

ANSWER = read_document(
    b'{"a": {"odd name": [1.10, {"z":1,"a":2} ]}, "n": null, "t": "x", "last": [{"id": 7}]}'
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("items", ("items",)),
        ("a.b.c", ("a", "b", "c")),
        ('a."odd name"', ("a", "odd name")),
        ("a[0]", None),
        ("a || b", None),
        ("@", None),
        ("length(a)", None),
        (r'"a\"b"', None),
    ],
)
def test_a_plain_path_is_told_from_an_expression(text, names):
    assert compile_selector(text).names == names


@pytest.mark.parametrize("text", ["a[]", "a.b[].c", "[].a", 'a[]."odd name"[].c'])
def test_a_path_into_lists_is_neither(text):
    selector = compile_selector(text)
    assert selector.names is None
    assert selector.flat is not None


def test_a_plain_path_leads_to_the_text_as_received():
    assert compile_selector('a."odd name"').elements(ANSWER) == [b"1.10", b'{"z":1,"a":2}']
    assert compile_selector("a").part(ANSWER) == b'{"odd name": [1.10, {"z":1,"a":2} ]}'


@pytest.mark.parametrize("text", ["x", "n", "t", "a", "n.x", "a.x[0]", "x || t"])
def test_what_is_no_list_has_no_elements(text):
    assert compile_selector(text).elements(ANSWER) is None


@pytest.mark.parametrize(
    ("text", "value"), [("t", "x"), ("n", None), ("a.x", None), ("last[-1].id", 7), ("t == 'x'", True)]
)
def test_a_value_is_read(text, value):
    assert compile_selector(text).value(ANSWER) == value


def test_an_expression_that_does_not_fit_is_an_error_of_ours():
    with pytest.raises(UnexpectedContent, match=r"sum\(t\)"):
        compile_selector("sum(t)").value(ANSWER)
