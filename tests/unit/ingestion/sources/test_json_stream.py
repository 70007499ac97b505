from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent
from kasparro.ingestion.sources import json_records, json_stream
from kasparro.ingestion.sources.envelope import USUAL
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.json_stream import JsonStream

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["[", '"', "},{", "\\"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "a", "]", '"']), inner, max_size=4)
    ),
    max_leaves=12,
)
RECORDS = st.lists(VALUES | st.fixed_dictionaries({"id": SCALARS, "lines": VALUES}), max_size=12)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", " :\t")])


def read(text, cuts, names=None):
    stream = JsonStream(names, USUAL)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += stream.feed(text[start:end])
    return found + stream.end(), stream


def cuts_of(data, text):
    return sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))


@given(RECORDS, SEPARATORS, st.booleans(), st.data())
def test_however_an_array_is_cut_the_elements_are_those_of_a_parser(records, separators, ascii_only, data):
    text = json.dumps(records, separators=separators, ensure_ascii=ascii_only).encode()
    found, stream = read(text, cuts_of(data, text))
    assert [json.loads(element) for element in found] == records
    assert found == json_records.elements(text)
    assert json.loads(stream.around()) == records[-1:]


@given(RECORDS, VALUES, VALUES, SEPARATORS, st.data())
def test_what_is_around_the_records_is_kept_with_the_last_of_them(records, before, behind, separators, data):
    answer = {"first": before, "data": {"x": before, "rows": records, "y": behind}, "next": behind}
    text = json.dumps(answer, separators=separators).encode()
    found, stream = read(text, cuts_of(data, text), ("data", "rows"))
    assert [json.loads(element) for element in found] == records
    around = json.loads(stream.around())
    assert around.pop("data") == {**answer.pop("data"), "rows": records[-1:]}
    assert around == answer


@given(RECORDS.filter(bool), SEPARATORS, st.data())
def test_a_list_that_has_not_ended_is_cut_wherever_that_is(records, separators, data):
    text = json.dumps(records, separators=separators).encode()
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(TruncatedContent):
        read(cut, cuts_of(data, cut))


@given(RECORDS, st.sampled_from([b"NaN", b'{"id": 1e}', b'"\\ud800"', b"[" * 600 + b"]" * 600]), st.data())
def test_a_bad_element_is_a_flaw_and_leaves_its_neighbours_alone(records, bad, data):
    texts = [json.dumps(record).encode() for record in records]
    at = data.draw(st.integers(0, len(texts)))
    text = b"[" + b", ".join([*texts[:at], bad, *texts[at:]]) + b"]"
    found, _ = read(text, cuts_of(data, text))
    assert found == json_records.elements(text)
    assert [json.loads(e) for i, e in enumerate(found) if i != at and not isinstance(e, Flaw)] == records


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:1a\\ ', max_size=60).map(str.encode), st.data())
def test_whatever_comes_it_is_records_or_an_error_of_ours(text, data):
    with suppress(UnexpectedContent, TruncatedContent):
        read(text, cuts_of(data, text))


@pytest.mark.parametrize("text", [b"[1,]", b"[,1]", b"[1,,2]", b"[,]"])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_comma_too_many_is_as_wrong_as_in_an_answer_that_comes_at_once(text, step):
    found, _ = read(text, range(step, len(text), step))
    assert found == json_records.elements(text)


def test_lists_are_looked_for_where_they_usually_are():
    found, stream = read(b'{"x": {"data": [1]}, "results": null, "data": [2, 3], "n": 1}', [20, 40])
    assert found == [b"2", b"3"]
    assert stream.around() == b'{"x": {"data": [1]}, "results": null, "data": [3], "n": 1}'


def test_where_no_list_is_all_of_the_answer_is_around_it():
    text = b'{"error": {"items": [1]}, "items": {"a": 1}}'
    found, stream = read(text, [5, 30])
    assert (found, stream.around()) == ([], text)


def test_what_is_around_the_records_and_each_of_them_is_bounded():
    with pytest.raises(ResponseTooLarge, match="before the records"):
        read(b'{"x": "' + b"y" * 40 * 1024 * 1024 + b'", "items": []}', range(0, 40 * 2**20, 2**20))
    with pytest.raises(ResponseTooLarge, match="behind the records"):
        read(b'{"items": [], "x": "' + b"y" * 20 * 1024 * 1024 + b'"}', range(0, 20 * 2**20, 2**20))
    with pytest.raises(ResponseTooLarge, match="a record"):
        read(b'["' + b"y" * 70 * 1024 * 1024 + b'"]', range(0, 70 * 2**20, 2**20))


def test_cutting_takes_time_in_proportion_to_the_length():
    for text in (
        b"0" * 3_000_000,
        b'["' + b'\\"x' * 500_000,
        b"[" * 300_000,
        b"[" + b"{" * 300_000,
        b"[1," * 200_000,
    ):
        with suppress(UnexpectedContent, TruncatedContent):
            read(text, range(1 << 16, len(text), 1 << 16))


def test_a_guess_is_only_one():
    """Nested objects that look just like the beginning of a record do not mislead."""
    record = {"id": 1, "lines": [{"id": n} for n in range(200)]}
    text = json.dumps([record] * 50).encode()
    found, _ = read(text, range(1000, len(text), 1000))
    assert [json.loads(element) for element in found] == [record] * 50
    assert json_stream.LARGEST_RECORD >= json_stream.LARGEST_ENVELOPE
