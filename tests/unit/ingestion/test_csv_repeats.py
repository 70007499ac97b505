"""Equal rows told apart, in bounded memory."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.csv.repeats import Repeats
from kasparro.schemas.ingest import FileOrigin, RawRecord, Reject, RejectReason

ORIGIN = FileOrigin("f.csv", 0, 1, 1)


def record(row: int) -> RawRecord:
    return RawRecord(b"%d" % row, ORIGIN)


def numbers(repeats: Repeats, rows: list[int]) -> list[int]:
    return [
        item.repeat for item in repeats.numbered([record(row) for row in rows]) if isinstance(item, RawRecord)
    ]


@given(st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=8))
def test_each_row_gets_the_number_of_equal_ones_before_it_however_they_are_cut(runs: list[list[int]]) -> None:
    repeats, seen = Repeats(), Counter[int]()
    for run in runs:
        expected = []
        for row in run:
            expected.append(seen[row])
            seen[row] += 1
        assert numbers(repeats, run) == expected


def test_many_rows_are_remembered() -> None:
    repeats, rows = Repeats(), list(range(20_000))
    assert set(numbers(repeats, rows)) == {0}
    assert set(numbers(repeats, rows)) == {1}
    assert set(numbers(repeats, rows[::-1])) == {2}


@pytest.mark.parametrize("limit", [1, 3, 2000])
def test_rows_beyond_the_limit_are_not_told_apart_and_the_others_still_are(limit: int) -> None:
    repeats, known, late = Repeats(limit), list(range(limit)), list(range(limit, limit + 5))
    assert numbers(repeats, known + late + late + known) == [0] * (limit + 10) + [1] * limit
    assert repeats.full


def test_rejects_are_passed_on() -> None:
    reject = Reject(b"1", ORIGIN, RejectReason.RAGGED_ROW, "")
    assert Repeats().numbered([record(1), reject, record(1)]) == [
        record(1),
        reject,
        RawRecord(b"1", ORIGIN, 1),
    ]
