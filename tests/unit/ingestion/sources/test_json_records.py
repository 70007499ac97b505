from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import TruncatedContent, UnexpectedContent
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.json_split import split_array, split_object
from kasparro.schemas.ingest import RejectReason

texts = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\[]{},:\ud800 \n'), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
indents = st.sampled_from([None, 1, 4])
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n\t", " :\n")])


@given(st.lists(values, max_size=6), indents, separators, st.booleans())
@settings(deadline=None, max_examples=50)
def test_the_slow_way_finds_the_same_elements_as_a_parser(items, indent, separator, ascii_only):
    text = json.dumps(items, indent=indent, separators=separator, ensure_ascii=ascii_only)
    if not ascii_only and any("\ud800" <= c <= "\udfff" for c in text):
        text = json.dumps(items, indent=indent, separators=separator)
    parts = split_array(text.encode())
    assert [json.loads(part) for part in parts] == items
    assert [part.strip(b" \t\r\n") for part in parts] == parts
    position = 0
    for part in parts:  # verbatim, in order
        position = text.encode().index(part, position) + len(part)


@given(st.lists(values, max_size=6), separators)
@settings(deadline=None, max_examples=50)
def test_the_fast_and_the_slow_way_agree(items, separator):
    text = json.dumps(items, separators=separator).encode()
    assert json_records.elements(text) == split_array(text)


@given(st.dictionaries(texts, values, max_size=6), separators)
@settings(deadline=None, max_examples=50)
def test_members_are_the_same_both_ways(obj, separator):
    text = json.dumps(obj, separators=separator).encode()
    assert {key: json.loads(part) for key, part in split_object(text).items()} == obj
    assert json_records.members(text) == split_object(text)


@given(st.lists(values, min_size=1, max_size=5), st.data())
@settings(deadline=None, max_examples=50)
def test_a_text_cut_anywhere_is_never_taken_for_whole(items, data):
    text = json.dumps(items).encode()
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(TruncatedContent):
        json_records.elements(cut)


@given(
    st.lists(values, max_size=3),
    st.lists(values, max_size=3),
    st.sampled_from(["NaN", "01", "'x'", "[1 2]", "{1:2}", "tru"]),
)
@settings(deadline=None, max_examples=50)
def test_one_bad_element_leaves_its_neighbours_alone(before, after, bad):
    around = [*map(json.dumps, before), bad, *map(json.dumps, after)]
    found = json_records.elements(f"[{','.join(around)}]".encode())
    flaw = found.pop(len(before))
    assert isinstance(flaw, Flaw)
    assert (json.loads(flaw.payload), flaw.reason) == (bad, RejectReason.INVALID_JSON)
    assert [json.loads(text) for text in found] == [*before, *after]


@given(st.binary(max_size=40) | st.text('[]{},:"\\u d8001n', max_size=40).map(str.encode))
@settings(deadline=None, max_examples=50)
def test_whatever_comes_it_is_elements_or_an_error_of_ours(junk):
    try:
        text = b"[" + junk.decode().encode()
    except UnicodeDecodeError:
        return
    try:
        found = json_records.elements(text)
    except (TruncatedContent, UnexpectedContent):
        return
    for element in found:
        if not isinstance(element, Flaw):
            json.loads(element)


@pytest.mark.parametrize(
    "element", [rb'"\ud800"', rb'"\uDFFF"', rb'{"\udc00": ["\\\ud83d"]}', rb'"\ud83dx"', rb'"\udc00\ud83d"']
)
def test_a_lone_surrogate_is_json_and_stays(element):
    assert json_records.elements(b"[1, %s]" % element) == [b"1", element]


@pytest.mark.parametrize(
    "element", [rb'"\ud80"', rb'"\ud800\x"', rb'{"a": "\ud800"', rb'"\ud800" 1', rb"\ud800"]
)
def test_a_lone_surrogate_does_not_excuse_other_faults(element):
    with_other = b"[%s, 1]" % element
    try:
        found = json_records.elements(with_other)
    except (TruncatedContent, UnexpectedContent):
        return
    assert isinstance(found[0], Flaw)


def test_nesting_that_no_parser_takes_is_said_to_be_too_deep():
    for levels in (501, 900, 100_000):
        deep = b"[" * levels + b"]" * levels
        first, second = json_records.elements(b"[%s, 1]" % deep)
        assert isinstance(first, Flaw)
        assert (first.reason, second) == (RejectReason.TOO_DEEP, b"1")
        assert json.loads(first.payload).encode() == deep


def test_nesting_that_parsers_take_is_handed_on():
    deep = b"[" * 500 + b"]" * 500
    wide = b'["%s", %s]' % (b"[" * 600, b"[1]," * 600 + b"1")
    assert json_records.elements(b"[%s, %s]" % (deep, wide)) == [deep, wide]


def test_a_long_string_without_an_end_takes_no_longer_than_it_is_long():
    with pytest.raises(TruncatedContent):
        json_records.elements(b'["' + b'\\"x' * 500_000)


def test_of_a_repeated_member_the_last_counts_both_ways():
    assert json_records.members(b'{"a": 1, "a": [2]}') == {"a": b"[2]"}
    assert json_records.members(b'{"a": 1, "a": [2], "b": NaN}') == {"a": b"[2]", "b": b"NaN"}


def test_following_a_path_leads_to_the_text_or_to_nothing():
    document = json_records.read_document(b'{"a": {"b c": {"d": [1.10 ]}}, "s": "a"}')
    assert document.follow(("a", "b c", "d")) == b"[1.10 ]"
    assert document.follow(("a", "x", "d")) is None
    assert document.follow(("s", "a")) is None
    assert json_records.read_document(b"[1]").follow(("a",)) is None


@pytest.mark.parametrize("lone", ["", ', "\\ud800"'])
def test_values_keep_every_digit(lone):
    text = f'[1.10, 123456789012345678901234567890, 1e400, {"9" * 5000}, true, null, "ä", {{"k": []}}{lone}]'
    read = json_records.value(text.encode())
    assert read[0] == Decimal("1.10")
    written = json.loads(json_records.text_of(read), parse_float=str, parse_int=str)
    assert written[:4] == ["1.10", "123456789012345678901234567890", "1E+400", "9" * 5000]
    assert json.loads(json_records.text_of(read[4:])) == json.loads(f'[true, null, "ä", {{"k": []}}{lone}]')


@pytest.mark.parametrize("text", [b"[NaN]", b"[1e99999999999999999999]", b"[" * 5000 + b"]" * 5000, b"[1"])
def test_a_text_that_cannot_be_evaluated_is_an_error_of_ours(text):
    with pytest.raises(UnexpectedContent):
        json_records.value(text)
