from __future__ import annotations

import json
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent
from kasparro.ingestion.sources.xml_stream import XmlStream, declared_charset

TEXT = st.text(alphabet="ab <>&\"'é", max_size=6)


def read(text, names=("list", "item"), cuts=()):
    stream = XmlStream(names)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += stream.feed(text[start:end])
    return [json.loads(element) for element in found + stream.end()], json.loads(stream.around())


@given(st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=3)), max_size=6), st.data())
def test_records_come_out_by_the_rule_however_they_are_cut(rows, data):
    items = "".join(
        f"<item a={quoteattr(a)}><b>{escape(b)}</b>{''.join(f'<c>{escape(c)}</c>' for c in cs)}</item>"
        for a, b, cs in rows
    )
    text = f"<r><n>5</n><list>{items}</list><next>x</next></r>".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))

    def value(content):
        return content if content.strip() else None

    def several(contents):
        values = list(map(value, contents))
        return {} if not values else {"c": values[0] if len(values) == 1 else values}

    found, around = read(text, cuts=cuts)
    assert found == [{"@a": a, "b": value(b), **several(cs)} for a, b, cs in rows]
    assert around == {"n": "5", "list": {"item": found[-1:]} if rows else None, "next": "x"}


def test_the_rule_for_text_attributes_and_elements():
    found, _ = read(
        b"<r><list><item>a</item><item/><item> </item><item k='v'>t<x/>u</item>"
        b"<item><y:b xmlns:y='u'>1</y:b><![CDATA[<&>]]></item></list></r>"
    )
    assert found == [
        "a",
        None,
        None,
        {"@k": "v", "x": None, "#text": "tu"},
        {"y:b": {"@xmlns:y": "u", "#text": "1"}, "#text": "<&>"},
    ]


def test_records_directly_below_the_outermost_element_and_elsewhere_of_the_same_name():
    found, around = read(b"<f><item>1</item><other><item>2</item></other><item>3</item></f>", ("item",))
    assert found == ["1", "3"]
    assert around == {"item": ["3"], "other": {"item": "2"}}


@given(st.data())
def test_an_answer_that_has_not_ended_is_cut_wherever_that_is(data):
    text = b"<r><list><item a='1'><b>x &amp; y</b></item><item/></list></r>"
    with pytest.raises((TruncatedContent, UnexpectedContent)) as caught:
        read(text[: data.draw(st.integers(1, len(text) - 1))])
    assert caught.type is TruncatedContent


LAUGHS = b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><r><list><item>&b;</item></list></r>'


@pytest.mark.parametrize("text", [
    LAUGHS,
    b'<!DOCTYPE r SYSTEM "http://h.example/x.dtd"><r/>',
    b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
], ids=["laughs", "external DTD", "external entity"])  # fmt: skip
def test_dtds_and_entities_are_refused(text):
    with pytest.raises(UnexpectedContent, match="DTD or entities"):
        read(text)


@pytest.mark.parametrize("text", [b"<r><a></b></r>", b"<r/><r/>", b"{}", b"<r>&nbsp;</r>", b"<r>\x00</r>"])
def test_what_is_no_xml_is_said_to_be(text):
    with pytest.raises(UnexpectedContent, match="not XML"):
        read(text)


def test_depth_and_sizes_are_bounded():
    with pytest.raises(UnexpectedContent, match="500 levels"):
        read(b"<r>" + b"<a>" * 600)
    large = b"y" * 10 * 2**20
    with pytest.raises(ResponseTooLarge, match="a record"):
        read(b"<r><list><item>" + large)
    with pytest.raises(ResponseTooLarge, match="around the records"):
        read(b"<r><x>" + large)
    with pytest.raises(ResponseTooLarge, match="a piece"):
        read(b"<r><!--" + large * 2, cuts=range(2**20, 20 * 2**20, 2**20))


def test_the_declared_encoding_is_found_and_then_ignored():
    assert declared_charset(b"<?xml version='1.0' encoding='ISO-8859-1'?><r/>") == "ISO-8859-1"
    assert declared_charset(b"<?xml version='1.0'?><r encoding='x'/>") is None
    found, _ = read("<?xml version='1.0' encoding='ISO-8859-1'?><r><list><item>é</item></list></r>".encode())
    assert found == ["é"]
