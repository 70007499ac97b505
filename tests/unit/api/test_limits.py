from __future__ import annotations

import asyncio

import pytest

from kasparro.api.limits import Counters, Failures, Limiter, Standing, network_of


class Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_what_is_left_is_counted_down_and_is_all_there_again_after_a_minute(time):
    async def go():
        limiter = Limiter(None, time)
        first = [await limiter.take("key:a", 2) for _ in range(3)]
        time.now += 59
        late = await limiter.take("key:a", 2)
        time.now += 1
        return [*first, late, await limiter.take("key:a", 2)]

    assert asyncio.run(go()) == [
        Standing(True, 2, 1, 60),
        Standing(True, 2, 0, 60),
        Standing(False, 2, 0, 60),
        Standing(False, 2, 0, 1),
        Standing(True, 2, 1, 60),
    ]


def test_everybody_has_a_limit_of_their_own(time):
    async def go():
        limiter = Limiter(None, time)
        return [(await limiter.take(who, 1)).allowed for who in ("key:a", "key:b", "address:a", "key:a")]

    assert asyncio.run(go()) == [True, True, True, False]


def test_failures_block_for_the_rest_of_their_minute(time):
    failures = Failures(2, time)
    blocked = []
    for _ in range(2):
        blocked.append(failures.blocked("a"))
        failures.note("a")
    time.now += 20
    blocked += [failures.blocked("a"), failures.blocked("b")]
    time.now += 40

    assert [*blocked, failures.blocked("a")] == [0, 0, 40, 0, 0]


def test_there_are_never_too_many_counters(time):
    counters = Counters(time, most=100)
    for number in range(1000):
        time.now += 0.1
        counters.count(f"address:{number}")
        assert len(counters) <= 100

    assert counters.seen("address:999") == 1


def test_what_is_over_goes_before_what_still_counts(time):
    counters = Counters(time, most=3)
    counters.count("old")
    time.now += 61
    for name in ("a", "b", "c"):
        counters.count(name)

    assert [counters.seen(name) for name in ("old", "a", "b", "c")] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_whom_an_address_belongs_to(address, network):
    assert network_of(address) == network
