"""What followers and exports ask for: the query language, and no more of it than each takes."""

from __future__ import annotations

import pytest

from kasparro.core.errors import InvalidCursor, InvalidParameter
from kasparro.schemas.changes import FeedPosition, Place
from kasparro.schemas.query import Count
from kasparro.services.change_text import parse_changes, parse_export, parse_stream
from kasparro.services.feed_cursor import write_position


def test_without_anything_a_follower_begins_at_the_beginning():
    asked = parse_changes([])
    assert (asked.position, asked.limit) == (FeedPosition(), 100)
    assert asked.position.whole


def test_a_position_is_that_of_its_filters():
    query = parse_changes([("source", "a"), ("fields", "id")]).query
    position = FeedPosition(whole=False, places={"a": Place(1, 2)})
    text = write_position(query, position)
    assert parse_changes([("since", text), ("source", "a"), ("limit", "7")]).position == position
    with pytest.raises(InvalidCursor):
        parse_changes([("since", text)])


def test_the_last_event_wins_over_the_address():
    text = write_position(parse_stream([], None).query, FeedPosition(places={"a": Place(1, 2)}))
    assert parse_stream([("since", "now")], None).position is None
    assert parse_stream([("since", "now")], text).position == FeedPosition(places={"a": Place(1, 2)})
    with pytest.raises(InvalidCursor) as refused:
        parse_stream([], "damaged")
    assert refused.value.parameter == "Last-Event-ID"


def test_an_export_has_an_order_and_counts_nothing():
    query = parse_export([("source", "a"), ("sort", "-title"), ("fields", "title")])
    assert query.count is Count.NONE
    assert query.sort[0].descending


@pytest.mark.parametrize("parse", [parse_changes, parse_export, lambda pairs: parse_stream(pairs, None)])
@pytest.mark.parametrize("name", ["offset", "cursor", "q", "facets", "count", "nonsense"])
def test_what_is_not_taken_is_refused_by_name(parse, name):
    with pytest.raises(InvalidParameter) as refused:
        parse([(name, "1")])
    assert refused.value.parameter == name


@pytest.mark.parametrize("limit", ["0", "1001", "x", "", "1.0", " 1"])
def test_a_limit_is_bounded(limit):
    with pytest.raises(InvalidParameter):
        parse_changes([("limit", limit)])
