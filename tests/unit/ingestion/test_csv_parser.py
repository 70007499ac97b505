"""Runs to records: the three ways agree, and where a run is cut does not matter."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.ingestion.csv.careful import FIELD_LIMIT
from kasparro.ingestion.csv.dialect import RECORD_LIMIT, Dialect
from kasparro.ingestion.csv.encoding import Encoding, declared_encoding
from kasparro.ingestion.csv.lines import LineBuffer, LineEnds
from kasparro.ingestion.csv.parser import REJECT_BYTES, RUN_BYTES, Parsed, RecordParser
from kasparro.schemas.ingest import FileOrigin, RawRecord, Reject, RejectReason

UTF8 = declared_encoding("utf-8", b"", "f")
COMMA = Dialect(",", '"', None)
PIECES = st.sampled_from(
    [
        b"1,2\n",
        b"a,b\r\n",
        b'"',
        b"\n",
        b"\r",
        b",",
        b"a",
        b'a","',
        b'""',
        b'"x\ny",2\n',
        b"\xff",
        b"1,2,3\n",
        "é,ß\n".encode(),
    ]
)


def parser(encoding: Encoding = UTF8, dialect: Dialect = COMMA) -> RecordParser:
    return RecordParser("f.csv", encoding, dialect, ("id", "name"))


def whole(content: bytes) -> list[RawRecord | Reject]:
    return list(in_runs(content, max(len(content), 1)))


def in_runs(content: bytes, size: int) -> Iterator[RawRecord | Reject]:
    """Parse *content* in runs of *size* bytes, longer ones where nothing was used up."""
    buffer = LineBuffer(_reader(content), LineEnds(UTF8), 0)
    parse, line, length = parser().parse, 1, size
    while True:
        run, final = buffer.run(length)
        if not run and final:
            return
        parsed = parse(run, buffer.offset, line, final=final, longest=False) if run else Parsed((), 0, 0, 0)
        buffer.take(parsed.size)
        line += parsed.lines
        length = size if parsed.size else 2 * length
        yield from parsed.items


def _reader(content: bytes):
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        position += size
        return content[position - size : position]

    return read


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=40), st.integers(1, 40))
def test_where_a_run_is_cut_does_not_matter(pieces: list[bytes], size: int) -> None:
    content = b"".join(pieces)
    assert list(in_runs(content, size)) == whole(content)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=30))
def test_the_three_ways_give_the_same_records(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    careful = parser()._one_by_one(content, 10, 5, final=True, longest=True)
    well_formed = parser()._well_formed(LineEnds(UTF8).split(content), 10, 5, final=True)
    plain = parser()._plain(content)
    assert well_formed is None or list(well_formed.items) == list(careful.items)
    assert plain is None or plain == [item.payload for item in careful.items]
    assert list(parser().parse(content, 10, 5, final=True, longest=True).items) == list(careful.items)


@pytest.mark.parametrize("content", [b"1,2\n3,4\n", b"1,2\r\n3,4\r\n", b"1,2\r\n3,4"])
def test_the_common_cases_take_the_fast_way(content: bytes) -> None:
    assert parser()._plain(content) == [b'{"id":"1","name":"2"}', b'{"id":"3","name":"4"}']


def test_quoted_cells_and_blank_and_ragged_rows_need_no_careful_way() -> None:
    lines = LineEnds(UTF8).split(b'"1","x\ny"\n\n3\n4,5\n')
    parsed = parser()._well_formed(lines, 0, 1, final=True)
    assert parsed is not None
    assert [item.origin.line for item in parsed.items if isinstance(item.origin, FileOrigin)] == [1, 4, 5]
    assert parsed.rejects == 1


def test_an_open_record_waits_for_a_longer_run() -> None:
    parsed = parser().parse(b'1,2\n3,"open\n', 0, 1, final=False, longest=False)
    assert (len(parsed.items), parsed.size, parsed.lines) == (1, 4, 1)
    assert parser().parse(b'3,"open\n', 4, 2, final=False, longest=False).size == 0


def test_a_quote_that_is_never_closed_costs_one_line_and_names_it() -> None:
    first, *rest = whole(b'1,"open\n2,b\n3,"c"\n4,d\n')
    assert isinstance(first, Reject)
    assert (first.reason, first.payload) == (RejectReason.UNTERMINATED_QUOTE, b'"1,\\"open"')
    assert first.message.startswith(
        "line 1: a quote is opened here, and text follows the closing one 2 lines"
    )
    assert [item.payload for item in rest] == [
        b'{"id":"2","name":"b"}',
        b'{"id":"3","name":"c"}',
        b'{"id":"4","name":"d"}',
    ]


def test_text_behind_a_closing_quote_on_the_same_line_is_kept() -> None:
    (record,) = whole(b'"12" monitor,"a"b\n')
    assert json.loads(record.payload) == {"id": "12 monitor", "name": "ab"}


def test_a_record_beyond_the_limit_is_given_up_and_the_rest_goes_on() -> None:
    run = b'1,"open\n' + (b"2," + b"b" * 997 + b"\n") * (RECORD_LIMIT // 1000)
    fields = parser()
    parsed = fields.parse(run, 0, 1, final=False, longest=True)
    first, *rest = parsed.items
    assert isinstance(first, Reject)
    assert "not closed within 16 MiB" in first.message
    assert {json.loads(item.payload)["id"] for item in rest} == {"2"}
    assert RUN_BYTES <= parsed.size < 2 * RUN_BYTES  # then the fast ways take over again


def test_a_cell_beyond_the_limit_is_a_reject_that_keeps_its_beginning() -> None:
    items = whole(b"1,2\n3," + b"x" * (FIELD_LIMIT + 1) + b"\n" + b"4," + b"y" * FIELD_LIMIT + b"\n")
    assert [type(item) for item in items] == [RawRecord, Reject, RawRecord]
    reject = items[1]
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.field) == (RejectReason.FIELD_TOO_LARGE, "name")
    assert len(reject.payload) == REJECT_BYTES + 2


def test_an_undecodable_row_names_its_first_bad_byte() -> None:
    first, second = whole(b'1,"\xc3\xa9\nb\xff"\n2,3\n')
    assert isinstance(first, Reject)
    assert first.reason == RejectReason.UNDECODABLE
    assert first.message == "line 1: byte 7 (0xff) is not valid utf-8 (declared)"
    assert first.payload == rb'"1,\"' + "é".encode() + rb"\nb\\xff\"" + b'"'
    assert second.payload == b'{"id":"2","name":"3"}'


def test_a_character_cut_by_the_end_of_a_utf_16_file_is_a_reject() -> None:
    encoding = declared_encoding("utf-16-le", b"", "f")
    content = "1,2\n3,4".encode("utf-16-le") + b"x"
    parsed = parser(encoding).parse(content, 0, 1, final=True, longest=False)
    assert [getattr(item, "reason", None) for item in parsed.items] == [None, RejectReason.UNDECODABLE]


def test_lone_surrogates_of_a_codec_that_makes_them_are_rejects() -> None:
    encoding = declared_encoding("utf-7", b"", "f")
    parsed = parser(encoding).parse(b"1,+2AA-\n2,x\n", 0, 1, final=True, longest=False)
    assert [getattr(item, "reason", None) for item in parsed.items] == [RejectReason.UNDECODABLE, None]


def test_without_a_quote_character_quotes_are_text() -> None:
    parsed = parser(dialect=Dialect("\t", None, None)).parse(
        b'1\t"Weird Al\n', 0, 1, final=True, longest=False
    )
    assert [json.loads(item.payload) for item in parsed.items] == [{"id": "1", "name": '"Weird Al'}]


def test_a_line_too_long_to_be_looked_at_is_a_reject() -> None:
    parsed = parser().overlong(b"x" * 10, 17 * 1024 * 1024, 5, 2)
    (reject,) = parsed.items
    assert isinstance(reject, Reject)
    assert reject.reason == RejectReason.FIELD_TOO_LARGE
    assert parsed.size == 17 * 1024 * 1024
