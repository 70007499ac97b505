"""What a stream takes of a batch that its channel read, wherever the stream is by then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kasparro.api.feed import MOST_PENDING, Subscription, rest_of
from kasparro.api.feed_pages import Batch
from kasparro.schemas.changes import Change, Changed, ChangeOp, FeedPosition, Place
from kasparro.schemas.query import RecordQuery

ALL = RecordQuery()


def changed(before, after, changes=(), op=ChangeOp.UPSERT):
    """Of one source, whose epoch is 1; a place is (version, id)."""
    told = [Change(op, "a", Place(1, *place), place[0], place[1]) for place in changes]
    return Changed(at(before), told, at(after), more=False)


def at(place, epoch=1, **more):
    return FeedPosition(places={"a": Place(epoch, *place), **more})


def test_a_stream_within_a_batch_takes_what_is_behind_it():
    batch = changed((3, None), (5, None), [(4, 7), (4, 9), (5, 2)])
    assert [c.id for c in rest_of(batch, at((4, 7))).changes] == [9, 2]
    assert [c.id for c in rest_of(batch, at((4, None))).changes] == [2]
    assert [c.id for c in rest_of(batch, at((3, None))).changes] == [7, 9, 2]
    assert rest_of(batch, at((4, None))).after == at((5, None))


def test_a_stream_that_is_ahead_takes_nothing_and_stays_there():
    batch = changed((3, None), (5, None), [(5, 2)])
    rest = rest_of(batch, at((6, None)))
    assert (rest.changes, rest.after) == ([], at((6, None)))


def test_what_cannot_be_told_is_looked_up():
    batch = changed((3, None), (5, None), [(5, 2)])
    assert rest_of(batch, at((2, None))) is None
    assert rest_of(batch, at((4, None), epoch=2)) is None
    assert rest_of(batch, at((4, None), b=Place(1, 1))) is None
    assert rest_of(batch, FeedPosition(places={"a": Place(1, 4, 5, walking=True)})) is None
    assert rest_of(changed((3, None), (1, 0), [(1, 0)], ChangeOp.RESET), at((3, None))) is None


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), unique=True).map(sorted), st.data())
def test_before_and_rest_are_the_whole(places, data):
    cut = data.draw(st.sampled_from([(0, None), *places, (5, None)]))
    batch = changed((0, None), (5, None), places)
    rest = rest_of(batch, at(cut))
    taken = [p for p in places if p <= (cut[0], cut[1] or 9)]
    assert taken + [(c.version, c.id) for c in rest.changes] == places


def test_a_stream_whose_buffer_is_full_has_fallen_behind_and_is_offered_nothing_until_it_looks():
    subscription = Subscription(None)
    batch = Batch(ALL, changed((1, None), (2, None)))
    for _ in range(MOST_PENDING):
        assert subscription.offer(batch, patience=60)
    assert len(subscription.pending) == MOST_PENDING
    assert subscription.offer(batch, patience=60)
    assert subscription.offer(batch, patience=60)
    assert not subscription.pending

    assert not subscription.caught_up()
    assert subscription.caught_up()
    assert subscription.offer(batch, patience=60)
    assert list(subscription.pending) == [batch]


def test_a_stream_that_has_fallen_behind_and_does_not_look_in_time_is_not_kept():
    subscription = Subscription(None)
    batch = Batch(ALL, changed((1, None), (2, None)))
    for _ in range(MOST_PENDING):
        assert subscription.offer(batch, patience=0)
    assert not subscription.offer(batch, patience=0)
    assert not subscription.pending
