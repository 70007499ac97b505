"""Cells to payloads: the fast way and the plain way agree, byte for byte."""

from __future__ import annotations

import msgspec
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


@given(
    st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", "\t", ";", "§"]),
    st.sampled_from(["", "ended"]),
)
def test_plain_lines_give_what_the_parser_gives_or_nothing(
    rows: list[tuple[str, str]], end: str, delimiter: str, last_end: str
) -> None:
    header = ("id", 'quo"te')
    text = end.join(delimiter.join(row) for row in rows) + (end if last_end else "")
    found = Payloads(header, Dialect(delimiter, '"', None)).of_plain(text.encode())
    special = {"\n", "\r", '"', "\\", delimiter} | {chr(code) for code in range(32)}
    if not special & set("".join("".join(row) for row in rows)):
        assert found == [payload(header, row) for row in rows]
    elif found is not None:  # a delimiter or line feed in a cell may happen to give full rows
        cells = [
            tuple(line.split(delimiter)) for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        ]
        assert found == [payload(header, row) for row in cells]


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
    ):
        assert payloads.of_plain(text) is None
    assert Payloads(("a",), COMMA).of_plain(b"1\n\n2\n") is None  # a blank line is no record
