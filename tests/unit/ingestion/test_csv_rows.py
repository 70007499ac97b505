"""Cells to payloads: the fast way and the plain way agree, byte for byte."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.csv.dialect import Dialect
from kasparro.ingestion.csv.rows import Payloads

COMMA = Dialect(",", '"', None)
CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def payload(header: tuple[str, ...], row: tuple[str, ...]) -> bytes:
    return msgspec.json.encode(dict(zip(header, row, strict=True)))


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=5))
def test_a_row_becomes_an_object_of_its_cells(rows: list[tuple[str, ...]]) -> None:
    for header in (("id", "name", "é"), ('quo"te', "back\\slash", "line\nbreak")):
        assert Payloads(header, COMMA).of_rows(rows) == [payload(header, row) for row in rows]


def test_wide_rows_become_objects_too() -> None:
    header = tuple(f"column_{number}" for number in range(2000))
    row = tuple(map(str, range(2000)))
    assert Payloads(header, COMMA).of_rows([row]) == [payload(header, row)]


def read(text: str, header: tuple[str, ...], delimiter: str) -> list[bytes]:
    """The payloads of *text* by the library's parser. Raises `csv.Error`."""
    lines = io.StringIO(text, newline="")
    return [payload(header, tuple(row)) for row in csv.reader(lines, delimiter=delimiter, strict=True)]


ENDS = st.sampled_from(["\n", "\r\n"])
DELIMITERS = st.sampled_from([",", "\t", ";", "§"])
HEADER = ("id", 'quo"te')


@given(
    st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), ENDS, DELIMITERS, st.sampled_from(["", "ended"])
)
def test_plain_lines_give_what_the_parser_gives_or_nothing(
    rows: list[tuple[str, str]], end: str, delimiter: str, ended: str
) -> None:
    text = end.join(delimiter.join(row) for row in rows) + (end if ended else "")
    found = Payloads(HEADER, Dialect(delimiter, '"', None)).of_plain(text.encode())
    special = {"\n", "\r", '"', "\\", delimiter} | {chr(code) for code in range(32)}
    if not special & set("".join("".join(row) for row in rows)):
        assert found == [payload(HEADER, row) for row in rows]
    elif found is not None:
        assert found == read(text, HEADER, delimiter)


SCRAPS = st.lists(
    st.sampled_from(['"', '""', ",", "a", "b,c", '"a"', '"b,c"', "\n", '"\n"', " ", "\0"]), max_size=12
)


@given(
    SCRAPS.map("".join),
    st.sampled_from(["x,y\n", '"x",y\n', 'x,"y"\n', '"x","y"\n']),
    st.sampled_from(["{row}{scrap}{row}", "{row}{row}{scrap}", "{scrap}{row}"]),
)
def test_quotes_wherever_they_stand_give_what_the_parser_gives_or_nothing(
    scrap: str, row: str, form: str
) -> None:
    text = form.format(row=row, scrap=scrap)
    found = Payloads(HEADER, COMMA).of_plain(text.encode())
    if found is not None:
        assert found == read(text, HEADER, ",")


@given(
    st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    ENDS,
    st.sampled_from([",", "\t", ";"]),
)
def test_cells_in_quotes_are_plain_as_long_as_they_have_none_inside(
    rows: list[tuple[str, str]], quoting: int, end: str, delimiter: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    found = Payloads(HEADER, Dialect(delimiter, '"', None)).of_plain(text.getvalue().encode())
    special = {'"', "\\"} | {chr(code) for code in range(32)} - {delimiter}
    if not special & set("".join("".join(row) for row in rows)):
        assert found == [payload(HEADER, row) for row in rows]
    elif found is not None:
        assert found == read(text.getvalue(), HEADER, delimiter)


@given(st.lists(st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=7), min_size=1, max_size=6))
def test_short_rows_that_are_together_as_long_as_a_full_one_are_left_to_the_parser(
    rows: list[list[str]],
) -> None:
    text = "".join(",".join(row) + "\n" for row in rows).encode()
    for width in (2, 3, 5):
        header = tuple(f"c{number}" for number in range(width))
        full = all(len(row) == width for row in rows)
        expected = [payload(header, tuple(row)) for row in rows] if full else None
        assert Payloads(header, COMMA).of_plain(text) == expected


def test_lines_that_are_not_plain_are_left_to_the_parser() -> None:
    payloads = Payloads(("a", "b"), Dialect(",", "'", "^"))
    for text in (
        b"1\n",
        b"1,2,3\n",
        b"1,2\n\n",
        b"1,2\n3\n",
        b"1,2,3\n4\n",
        b"'1',2\n",
        b"1,^2\n",
        b"1,\x00\n",
        b"1,a\rb\n",
        b"",
        b'"1",2\n',  # no quote of this file
    ):
        assert payloads.of_plain(text) is None
    assert Payloads(("a",), COMMA).of_plain(b"1\n\n2\n") is None  # a blank line is no record


@pytest.mark.parametrize(
    "text",
    [
        '"a""b",c\n',
        '"a\nb",c\n',
        'a,"\n",b\n',
        '"a",b"\n',
        '"a" ,b\n',
        ' "a",b\n',
        '"a"b,c\n',
        'a"b",c\n',
        '"a,b\n',
        '"\0",b\n',
    ],
)
def test_quotes_that_are_not_around_a_cell_of_one_line_are_left_to_the_parser(text: str) -> None:
    assert Payloads(("a", "b"), COMMA).of_plain(text.encode()) is None


def test_where_nothing_can_stand_for_a_delimiter_quotes_are_left_to_the_parser() -> None:
    assert Payloads(("a", "b"), Dialect("\0", '"', None)).of_plain(b'"a\0b"\n') is None


def test_a_cell_in_quotes_keeps_its_delimiters_and_is_no_comment() -> None:
    payloads = Payloads(("a", "b"), Dialect(",", '"', None, comment="#"))
    assert payloads.of_plain(b'"#1,2",""\n",",3') == [b'{"a":"#1,2","b":""}', b'{"a":",","b":"3"}']
    tabs = Payloads(("a", "b"), Dialect("\t", '"', None))
    assert tabs.of_plain(b'"1\t2"\t3\n') == [b'{"a":"1\\t2","b":"3"}']
