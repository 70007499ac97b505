"""Finding the delimiter."""

from __future__ import annotations

import csv

import pytest

from kasparro.ingestion.csv.dialect import NO_DELIMITER as NOTHING
from kasparro.ingestion.csv.dialect import RECORD_LIMIT, Dialect, find_delimiter

PLAIN = Dialect("auto", '"', None)


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\nx, y\tz\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('a;b\n"x,y;z";1\n"p,q,r";2\n', ";"),
        ('a,b\n"x\n;;;\ny",1\n', ","),
        ("name\nSmith, John\nMiller\nDoe, Jane, Dr\n", NOTHING),
        ("name\nSmith\n", NOTHING),
        ("Report of 2024\na,b,c\n1,2,3\n4,5,6\n7,8,9\n1,2,3\n", ","),  # rejects tell of the missing skip_rows
        ("a,b;c,d\n1,2;3,4\n", ","),
        ("a,b\n1,2\n3\n4,5\n6,7,8\n", ","),
        ("", NOTHING),
    ],
)
def test_the_delimiter_that_gives_rows_the_width_of_the_header_wins(sample: str, delimiter: str) -> None:
    assert find_delimiter(sample, PLAIN, header=True, complete=True) == delimiter


def test_given_names_say_how_many_columns_there_are() -> None:
    assert find_delimiter("1,5;2,5\n3,5;4,5\n", PLAIN, header=("x", "y"), complete=True) == ";"


def test_without_a_header_the_most_common_width_counts() -> None:
    assert find_delimiter("1;2\n3;4\n5,6;7\n", PLAIN, header=False, complete=True) == ";"


def test_a_quote_character_is_no_candidate() -> None:
    assert find_delimiter("a|b,c\n|1,2|,3\n", Dialect("auto", "|", None), header=True, complete=True) == ","


def test_the_library_lets_cells_grow_as_far_as_a_record_may() -> None:
    cell = "x" * 200_000  # its own limit is 131,072
    assert list(Dialect(",", '"', None).reader([cell], strict=True)) == [[cell]]
    assert csv.field_size_limit() >= RECORD_LIMIT
