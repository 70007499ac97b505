"""What is JSON and what is not (RFC 8259), in the cases where parsers differ: read at once and in pieces, with the same outcome."""

from __future__ import annotations

import json

import pytest

from kasparro.core.errors import SourceError
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.envelope import USUAL, open_envelope
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.ingestion.sources.json_stream import JsonStream

JSON = [
    *(b"[]", b"[ ]", b"\n[\t]\r", b"[[]]", b"[{}]", b'[""]', b"[0]", b"[-0]", b"[0e1]", b"[0e+1]", b"[1E-2]"),
    *(b"[123.456e78]", b"[1e1000000]", b"[-123123123123123123123123123123]", b"[0.4e006699999]"),
    *(b"[%b]" % (b"9" * 4301), b"[0.%b1]" % (b"0" * 5000), b"[true]", b"[false]", b"[null]", b"[1,null,2]"),
    *(rb'["\u0060\u012a\u12AB"]', rb'["\"\\\/\b\f\n\r\t"]', rb'["\uD801\udc37"]', rb'["\ud83d\ude39\ud83d"]'),
    *(rb'["\uDADA"]', rb'["\uDd1e\uD834"]', rb'["\u0000"]', rb'["\\u0000"]', '["é€😹\u2028\u007f"]'.encode()),
    *(b'[{"a":"b","a":"c"}]', b'[{"":0}]', b'[{"a":[]}]', rb'[{"\u0061":1,"a":2}]', b'["/*not a comment*/"]'),
    *(b'[{"x":[{"id":"a"}],"id":"b"}]', b'["{","}","[","]",",",":"]', b'[" \\" , "]', b'{"items":[1]}'),
]
NO_ELEMENT = [
    *(
        b"NaN",
        b"-NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"+1",
        b"01",
        b"-01",
        b"1.",
        b".5",
        b"1e",
        b"1e+",
        b"0x1",
    ),
    *(b"--1", b"-", b"1_000", b"1 000", b"True", b"nul", b"undefined", b"'a'", b"a", b"#", b"/**/1", b"1//x"),
    *(
        "\uff11".encode(),
        rb'"\x00"',
        rb'"\u00"',
        rb'"\uD8"',
        rb'"\a"',
        b'"\t"',
        b'"\n"',
        b'"\x00"',
        b'"\x1f"',
        b"\x0c1",
    ),
    *(
        b'{"a":1,}',
        b"{a:1}",
        b"{'a':1}",
        b'{"a" 1}',
        b'{"a"}',
        b"{1:1}",
        b'{"a":1 "b":2}',
        b'{"a":/**/1}',
        b"[1 2]",
    ),
    *(b"[1,]", b"[,1]", b"[1,,2]", b'{"a":1,,"b":2}', b'{"a"::1}', b"", b'{"a":NaN}', b'"a" "b"'),
]
NO_ANSWER = [
    *(
        b"",
        b" ",
        b"1",
        b'"a"',
        b"null",
        b"true",
        b"NaN",
        b"<html>",
        b"[",
        b"[1",
        b"[1,",
        b'["a',
        b'["\\',
        b"[1}",
    ),
    *(
        b"]",
        b"[1]]",
        b"[1],",
        b"[1] [2]",
        b"[1]x",
        b"{",
        b'{"a',
        b'{"a":',
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":1}#',
        b"{]",
    ),
    *(
        b'{"items":[1',
        b'{"items":[1]',
        b'{"items":[1]]',
        b'{"items":[1}',
        b'{"items":[1],"a',
        b'{1:1,"items":[]}',
        b"\xff",
    ),
]


def in_pieces(text, step):
    stream = JsonStream(None, USUAL)
    found = [element for at in range(0, len(text), step) for element in stream.feed(text[at : at + step])]
    found += stream.end()
    around = open_envelope(stream.around(), None, lambda: "")
    return found, around


def at_once(text):
    return open_envelope(text, None, lambda: "").elements


@pytest.mark.parametrize("text", JSON)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_is_json_is_kept_as_it_is(text, step):
    found, _ = in_pieces(text, step)
    assert found == at_once(text)
    assert not any(isinstance(element, Flaw) for element in found)
    if len(text) < 4000:
        content = json.loads(text)
        assert [json.loads(element) for element in found] == (
            content if isinstance(content, list) else content["items"]
        )


@pytest.mark.parametrize("element", NO_ELEMENT)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_an_element_that_is_no_json_is_one_flaw_between_its_neighbours(element, step):
    text = b"[0," + element + b",9]"
    found, _ = in_pieces(text, step)
    assert found == at_once(text)
    assert (found[0], found[-1]) == (b"0", b"9")
    assert len(found) == 3
    assert isinstance(found[1], Flaw)


@pytest.mark.parametrize("text", NO_ANSWER)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_is_no_answer_is_an_error_both_ways(text, step):
    with pytest.raises(SourceError):
        at_once(text)
    with pytest.raises(SourceError):
        in_pieces(text, step)


@pytest.mark.parametrize("deep", [64, 65, 200, 1_000, 100_000])
def test_depth_is_bounded_by_number_and_not_by_parser(deep):
    text = b"[1," + b"[" * deep + b"]" * deep + b"]"
    found, _ = in_pieces(text, 1 << 16)
    assert found == at_once(text)
    assert isinstance(found[1], Flaw) is (deep > json_records.DEEPEST)
