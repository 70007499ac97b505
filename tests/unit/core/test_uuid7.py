"""Identifiers that are ours."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.uuid7 import from_parts, uuid7

TIMES = st.integers(0, (1 << 48) - 1)
CHANCE = st.integers(0, (1 << 80) - 1)


@given(TIMES, CHANCE, TIMES, CHANCE)
def test_they_are_of_version_7_and_sort_by_time(one, chance, other, other_chance):
    made = UUID(from_parts(one, chance))
    assert (made.version, made.variant, made.int >> 80) == (7, "specified in RFC 4122", one)
    if one < other:
        assert str(made) < from_parts(other, other_chance)


def test_two_are_never_the_same():
    assert len({uuid7() for _ in range(10_000)}) == 10_000
