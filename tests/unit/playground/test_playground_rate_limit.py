import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kasparro.playground.rate_limit import TokenBucket


class Clock:
    """Time that passes when told."""

    def __init__(self):
        self.at = 1_000.0

    def __call__(self):
        return self.at


def test_a_burst_passes_and_the_next_request_does_not():
    bucket = TokenBucket(3, 1.0, Clock())

    assert [bucket.take().allowed for _ in range(5)] == [True, True, True, False, False]


def test_remaining_counts_down_to_zero():
    bucket = TokenBucket(3, 1.0, Clock())

    assert [bucket.take().remaining for _ in range(4)] == [2, 1, 0, 0]


def test_a_refused_request_costs_nothing():
    clock = Clock()
    bucket = TokenBucket(1, 1.0, clock)
    bucket.take()
    waits = [bucket.take().retry_after for _ in range(10)]

    assert waits == [1.0] * 10


@given(
    capacity=st.integers(1, 50),
    per_second=st.floats(0.05, 100),
    pauses=st.lists(st.floats(0, 3), max_size=60),
)
@example(capacity=1, per_second=0.6, pauses=[0.0, 0.0]).via("1000 s and 5/3 s do not add up exactly")
def test_after_waiting_as_long_as_told_the_request_passes(capacity, per_second, pauses):
    clock = Clock()
    bucket = TokenBucket(capacity, per_second, clock)
    for pause in pauses:
        clock.at += pause
        quota = bucket.take()
        if not quota.allowed:
            clock.at += quota.retry_after
            assert bucket.take().allowed


@given(
    capacity=st.integers(1, 20),
    per_second=st.floats(0.1, 20),
    pauses=st.lists(st.floats(0, 2), max_size=100),
)
def test_no_more_pass_than_the_burst_and_what_was_regained(capacity, per_second, pauses):
    clock = Clock()
    bucket = TokenBucket(capacity, per_second, clock)
    passed = 0
    for pause in pauses:
        clock.at += pause
        passed += bucket.take().allowed

    assert passed <= math.floor(capacity + (clock.at - 1_000) * per_second + 1e-6)


def test_the_bucket_is_full_again_when_it_said_so():
    clock = Clock()
    bucket = TokenBucket(4, 0.5, clock)
    full_after = [bucket.take().full_after for _ in range(4)][-1]
    clock.at += full_after

    assert full_after == pytest.approx(8)
    assert bucket.take().remaining == 3


def test_an_idle_bucket_holds_no_more_than_its_capacity():
    clock = Clock()
    bucket = TokenBucket(2, 10.0, clock)
    clock.at += 3_600

    assert [bucket.take().allowed for _ in range(3)] == [True, True, False]
