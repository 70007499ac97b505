"""Where a fetch stands: cursors that resume exactly, slices finished in any order, and a mark that never runs ahead."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.moments import LATEST
from kasparro.ingestion.incremental.progress import Fetch, Unfinished, read_cursor


def resumed(cursor):
    """Through JSON, as the database keeps it."""
    stored = read_cursor(json.loads(json.dumps(cursor), parse_float=Decimal))
    assert stored is not None
    return Fetch(stored.mark, stored.fetch) if stored.fetch is not None else None


def numbers(fetch):
    return [part.number for part in fetch.left()]


@given(st.integers(0, 300), st.integers(1, 100))
def test_slices_meet_without_a_gap_and_end_where_the_fetch_does(length, step):
    parts = list(Fetch(None, Unfinished(None, 1000, 1000 + length, step)).left())

    bounds = [bound for part in parts for bound in (part.since, part.until)]
    assert bounds[::2] == [1000 + number * step for number in range(len(parts))]
    assert bounds[2::2] == bounds[1:-1:2]
    assert bounds[-1:] == ([1000 + length] if length else [])


@given(st.permutations(range(6)), st.integers(0, 5))
def test_slices_that_are_finished_in_any_order_are_not_left_after_any_stop(order, stopped_after):
    fetch = Fetch(5, Unfinished(None, 0, 60, 10))
    done = order[:stopped_after]
    for number in done:
        fetch.see(number, {"page": 2}, [number * 10 + 3])
        fetch.see(number, None, [number * 10 + 7])
    again = resumed(fetch.cursor())

    assert numbers(again) == [number for number in range(6) if number not in done]
    first_missing = min(numbers(again))
    assert again.mark == max(5, first_missing * 10 - 3) if first_missing else again.mark == 5
    for number in numbers(again):
        again.see(number, None, [number * 10 + 7])
    assert (again.complete, again.cursor()) == (True, {"mark": 57})


def test_a_slice_goes_on_at_its_page_with_what_it_has_seen():
    fetch = Fetch(None, Unfinished(None, 0, 20, 10))
    fetch.see(0, {"page": 2}, [9])
    again = resumed(fetch.cursor())

    assert again.after(0) == {"page": 2}
    assert again.after(1) is None
    again.see(0, None, [4])
    assert again.mark == 9


def test_the_mark_waits_for_the_end_and_what_came_after_the_beginning_does_not_count():
    fetch = Fetch(3, Unfinished(begun=10))
    fetch.see(0, {"page": 2}, [12, 9])
    assert fetch.mark == 3
    fetch.see(0, None, [8])
    assert (fetch.mark, fetch.complete) == (9, True)


def test_of_a_sorted_source_every_page_moves_the_mark():
    fetch = Fetch(3, Unfinished(begun=10), ascending=True)
    assert fetch.see(0, {"page": 2}, [4, 4, 11])
    assert fetch.cursor() == {"mark": 11}
    assert not fetch.see(0, {"page": 3}, [5])
    assert fetch.cursor()["fetch"]["open"] == {"0": {"after": {"page": 3}, "seen": 5}}


@pytest.mark.parametrize(
    ("mark", "moments", "back"), [(None, [1], False), (5, [], False), (5, [4], True), (5, [4, 5], False)]
)
def test_a_fetch_of_older_moments_only_went_back(mark, moments, back):
    fetch = Fetch(mark, Unfinished())
    fetch.see(0, None, moments)
    assert fetch.went_back is back
    assert fetch.mark == max([*([mark] if mark else []), *moments], default=None)


@given(st.one_of(st.none(), st.integers(-(2**70), 2**70)))
def test_a_mark_of_any_size_comes_back(mark):
    stored = read_cursor({"mark": mark})
    assert stored is not None
    assert stored.mark == mark
    assert resumed(Fetch(mark, Unfinished(LATEST, -LATEST, LATEST, LATEST)).cursor()).mark == mark


@pytest.mark.parametrize("cursor", [{"page": 7}, {"mark": "x"}, {"mark": 1, "fetch": {"open": {"0": {}}}}])
def test_a_cursor_of_another_kind_is_not_understood(cursor):
    assert read_cursor(cursor) is None
