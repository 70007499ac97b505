from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import ResponseTooLarge, TruncatedContent
from kasparro.ingestion.sources.json_lines import JsonLines
from kasparro.ingestion.sources.json_records import Flaw

OBJECTS = st.lists(
    st.dictionaries(
        st.text(max_size=5), st.integers() | st.text(max_size=8) | st.lists(st.none()), max_size=4
    ),
    max_size=10,
)


def read(text, cuts=(), *, framed=True):
    lines = JsonLines(framed=framed)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += lines.feed(text[start:end])
    return found + lines.end()


@given(
    OBJECTS,
    st.sampled_from(["\n", "\r\n", "", " ", "\n\n", "\x1e", "\n\x1e"]),
    st.sampled_from([None, 1]),
    st.data(),
)
def test_values_come_out_however_they_are_separated_and_cut(objects, separator, indent, data):
    objects = [{"first": 1}, *objects]
    text = (separator.join(json.dumps(o, indent=indent) for o in objects) + separator).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    assert [json.loads(element) for element in read(text, cuts)] == objects


@given(
    OBJECTS, OBJECTS, st.sampled_from([b"NaN", b'{"a": NaN}', b"oops", b'{"a": 1', b'"x', b"]"]), st.data()
)
def test_a_line_that_is_no_json_is_one_flaw(before, behind, bad, data):
    lines = [json.dumps(o).encode() for o in [{"first": 1}, *before]]
    text = b"".join(line + b"\n" for line in [*lines, bad, *(json.dumps(o).encode() for o in behind)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    found = read(text, cuts)
    assert isinstance(found[len(lines)], Flaw)
    assert [json.loads(e) for e in found if not isinstance(e, Flaw)] == [{"first": 1}, *before, *behind]


def test_the_text_of_a_record_is_the_one_received():
    assert read(b' {"b": 1.10, "a":  1e400} \r\n[1 ,2]\n') == [b'{"b": 1.10, "a":  1e400}', b"[1 ,2]"]


def test_nothing_is_no_record():
    assert read(b"") == read(b" \n\r\n") == read(b"\n", framed=False) == []
    with pytest.raises(TruncatedContent, match="empty"):
        read(b"", framed=False)


@pytest.mark.parametrize("text", [b'{"a": 1}\n{"a": ', b'{"a": 1}\n{"a": "x', b'{\n"a": 1', b'{"a": 1}\nnul'])
@pytest.mark.parametrize("framed", [True, False])
def test_a_last_line_that_is_not_whole_is_a_cut_and_never_the_end(text, framed):
    with pytest.raises(TruncatedContent):
        read(text, framed=framed)


def test_a_last_line_without_an_end_is_whole_only_where_http_says_so():
    assert read(b'{"a": 1}\n{"a": 2}', framed=True) == [b'{"a": 1}', b'{"a": 2}']
    with pytest.raises(TruncatedContent, match="may have been cut"):
        read(b'{"a": 1}\n{"a": 2}', framed=False)


def test_values_over_several_lines_may_end_with_the_connection():
    assert read(b'{\n"a": 1\n}{\n"a": 2\n}', framed=False) == [b'{\n"a": 1\n}', b'{\n"a": 2\n}']


def test_a_record_is_bounded():
    with pytest.raises(ResponseTooLarge, match="a record"):
        read(b'{"a": "' + b"y" * 40 * 2**20, range(0, 40 * 2**20, 2**20))
