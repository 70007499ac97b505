"""One record at a time: what is found, where it ends, and how much is looked at to find it."""

from __future__ import annotations

import pytest

from kasparro.ingestion.csv.careful import CarefulRows, Fault, Row
from kasparro.ingestion.csv.dialect import Dialect
from kasparro.ingestion.csv.encoding import declared_encoding
from kasparro.ingestion.csv.lines import LineEnds
from kasparro.schemas.ingest import RejectReason

UTF8 = declared_encoding("utf-8", b"", "f")


class CountedEnds(LineEnds):
    """Counts how many lines are looked at."""

    looked_at = 0

    def after(self, run: bytes, start: int) -> int:
        self.looked_at += 1
        return super().after(run, start)


def rows(content: bytes, ends: LineEnds, *, escapechar: str | None = None) -> list[Row | Fault]:
    careful = CarefulRows(UTF8, Dialect(",", '"', escapechar), ends)
    found, at = [], 0
    while at < len(content):
        row = careful.next(content, at, 1000, final=True, longest=False)
        assert row is not None
        assert row.start == at < row.end
        found.append(row)
        at = row.end
    return found


@pytest.mark.parametrize(
    "line",
    [
        b'a","\n',  # opens a quote, from outside and from inside of quotes
        b'"open\n',
        b'x,"y\n',
        b'"","",""x\n',
        b'"a"b","c\n',
        b'"""\n',
    ],
)
def test_quotes_that_do_not_pair_up_are_searched_for_in_linear_time(line: bytes) -> None:
    ends = CountedEnds(UTF8)
    found = rows(line * 2000, ends)
    assert sum(row.lines for row in found) == 2000
    assert ends.looked_at <= 8 * 2000


def test_a_swallowed_stretch_is_remembered_up_to_where_it_ends() -> None:
    content = b'"open\n1,"x\ny",2\n'
    careful = CarefulRows(UTF8, Dialect(",", '"', None), LineEnds(UTF8))
    fault = careful.next(content, 0, 1000, final=True, longest=False)
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.end, fault.lines) == (RejectReason.UNTERMINATED_QUOTE, 6, 1)
    assert not careful.swallowed(
        1006
    )  # text behind the closing quote is in that line: it must be read for itself
    row = careful.next(content, 6, 1000, final=True, longest=False)
    assert isinstance(row, Row)
    assert row.cells == ["1", "x\ny", "2"]


def test_more_of_the_file_is_asked_for_before_a_quote_is_given_up() -> None:
    careful = CarefulRows(UTF8, Dialect(",", '"', None), LineEnds(UTF8))
    assert careful.next(b'1,"a\n', 0, 0, final=False, longest=False) is None
    assert careful.next(b'0\n1,"a\n', 2, 0, final=False, longest=True) is None
    assert isinstance(careful.next(b'1,"a\n', 0, 0, final=False, longest=True), Fault)


def test_an_escaped_line_end_belongs_to_its_cell() -> None:
    first, second = rows(b"1,a\\\nb\n2,c\n", LineEnds(UTF8), escapechar="\\")
    assert isinstance(first, Row)
    assert (first.cells, first.lines) == (["1", "a\nb"], 2)
    assert second.lines == 1


def test_the_last_line_of_a_file_needs_no_end_behind_an_escaped_one() -> None:
    (row,) = rows(b"1,a\\\nb", LineEnds(UTF8), escapechar="\\")
    assert isinstance(row, Row)
    assert (row.cells, row.end, row.lines) == (["1", "a\nb"], 6, 2)


def test_lines_whose_ends_are_escaped_are_looked_at_in_linear_time() -> None:
    ends = CountedEnds(UTF8)
    found = rows(b'"open\n' + b"a\\\n" * 2000, ends, escapechar="\\")
    assert sum(row.lines for row in found) == 2001
    assert ends.looked_at <= 8 * 2000


def test_an_escape_at_the_end_of_the_file_is_a_fault_and_loses_nothing() -> None:
    (fault,) = rows(b"1,a\\", LineEnds(UTF8), escapechar="\\")
    assert isinstance(fault, Fault)
    assert (fault.start, fault.end) == (0, 4)


def test_a_blank_line_has_no_cells() -> None:
    blank, row = rows(b"\r\n \n", LineEnds(UTF8))
    assert isinstance(blank, Row)
    assert isinstance(row, Row)
    assert (blank.cells, row.cells) == ([], [" "])
