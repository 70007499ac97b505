"""Column names: as received, each column its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.csv.header import distinct, numbered


@pytest.mark.parametrize(
    ("received", "names"),
    [
        (["id", "name"], ("id", "name")),
        (["name", "name", "name"], ("name", "name_2", "name_3")),
        (["a", "a", "a_2"], ("a", "a_3", "a_2")),  # a name of the file is never taken away
        (["", "x", ""], ("column_1", "x", "column_3")),
        (["", "column_1"], ("column_1_2", "column_1")),
        ([" id ", "id"], (" id ", "id")),  # nothing is trimmed
    ],
)
def test_names_are_kept_and_made_different(received: list[str], names: tuple[str, ...]) -> None:
    assert distinct(received) == names


@given(st.lists(st.sampled_from(["", "a", "a_2", "column_1", "column_2", "a_3"]), max_size=8))
def test_no_two_columns_share_a_name_and_first_names_stay(received: list[str]) -> None:
    names = distinct(received)
    assert len(set(names)) == len(names) == len(received)
    for position, name in enumerate(received):
        if name and name not in received[:position]:
            assert names[position] == name


def test_one_name_in_every_column_does_not_take_for_ever() -> None:
    names = distinct(["a", "a_3"] * 100_000)
    assert (names[:4], len(set(names))) == (("a", "a_3", "a_2", "a_3_2"), 200_000)


def test_columns_without_a_header_are_numbered_from_one() -> None:
    assert numbered(3) == ("column_1", "column_2", "column_3")
