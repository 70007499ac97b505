"""Positions as texts: whatever is written is read again, and nothing else is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import InvalidCursor
from kasparro.schemas.changes import Change, ChangeOp, FeedPosition, Place
from kasparro.schemas.query import INT64_MAX, Condition, Field, Op, RecordQuery
from kasparro.services.feed_cursor import read_position, texts_behind, write_position

ALL = RecordQuery()
OTHER = RecordQuery(where=(Condition(Field("category"), Op.EQ, ("x",)),))

numbers = st.integers(0, INT64_MAX)
places = st.one_of(
    st.builds(Place, numbers, numbers, st.none() | numbers),
    st.builds(Place, numbers, numbers, numbers, st.just(True)),
)
positions = st.builds(
    FeedPosition,
    st.booleans(),
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,49}", fullmatch=True), places),
)


@given(positions)
def test_a_position_comes_back_as_it_was_and_fits_into_a_url(position):
    text = write_position(ALL, position)
    assert read_position(text, ALL, "since") == position
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(positions, st.lists(st.tuples(st.sampled_from(["a", "b", "m", "z"]), st.none() | places)))
def test_what_is_behind_each_of_several_changes_is_written_as_each_by_itself(position, moves):
    changes = [Change(ChangeOp.UPSERT, source, place) for source, place in moves]
    written = list(texts_behind(ALL, position, changes))
    for change in changes:
        position = position.moved(change.source, change.place)
        assert written.pop(0) == write_position(ALL, position)
    assert written == []


@given(positions)
def test_a_position_of_other_filters_is_refused(position):
    with pytest.raises(InvalidCursor) as refused:
        read_position(write_position(ALL, position), OTHER, "since")
    assert refused.value.parameter == "since"


@given(positions, st.data())
def test_a_damaged_position_is_refused(position, data):
    text = write_position(ALL, position)
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("AZaz09-_+ é"))
    damaged = text[:at] + character + text[at + 1 :]
    if damaged != text:
        with pytest.raises(InvalidCursor):
            read_position(damaged, ALL, "since")


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidCursor):
        read_position(text, ALL, "since")


@pytest.mark.parametrize("place", [Place(-1, 0), Place(1, INT64_MAX + 1), Place(1, 1, None, walking=True)])
def test_a_place_that_cannot_be_is_refused(place):
    with pytest.raises(InvalidCursor):
        read_position(write_position(ALL, FeedPosition(places={"a": place})), ALL, "since")
