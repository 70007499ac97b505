"""Which field that went is which field that came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.drift.renames import LIKELY, Trait, likeness, name_likeness, renames, value_likeness

TIMES = ["2024-01-02T03:04:05Z", "2023-11-12T13:14:15Z", "2022-01-01T00:00:00Z"]
NAMES = ["Schaumburg Regional", "Lansdowne Airport", "Jekyll Island"]


def always(_before, _after):
    return True


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Trait("full_name", ["text"], NAMES), Trait("name", ["text"], NAMES)),
        (Trait("user_name", ["text"], ["a1", "b2", "c3"]), Trait("userName", ["text"], ["d4"])),
        (Trait("created_at", ["text"], TIMES), Trait("created", ["text"], ["2025-05-05T05:05:05Z"])),
        (Trait("title", ["text"], NAMES), Trait("headline", ["text"], NAMES)),
        (Trait("Lat", ["number"], ["1.5", "2.5", "3.5"]), Trait("latitude", ["number"], ["9.5"])),
        (Trait("fullName", [], []), Trait("full_name", [], [])),
    ],
)
def test_one_field_under_two_names_is_recognised(before, after):
    assert likeness(before, after) >= LIKELY


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Trait("name", ["text"], NAMES), Trait("name_count", ["number"], ["1", "2", "3"])),
        (Trait("iata", ["text"], ["ORD", "JFK", "LAX"]), Trait("website", ["text"], ["https://a.example/x"])),
        (
            Trait("is_open", ["boolean"], ["true", "false"]),
            Trait("has_tower", ["boolean"], ["true", "false"]),
        ),
        (Trait("price", ["number"], ["1", "2", "3"]), Trait("stock", ["number"], ["100", "250"])),
    ],
)
def test_two_fields_are_not_taken_for_one(before, after):
    assert likeness(before, after) < LIKELY


def test_fields_that_stood_side_by_side_are_two():
    trait = Trait("name", ["text"], NAMES)

    assert renames([trait], [Trait("names", ["text"], NAMES)], lambda _before, _after: False) == []


def test_the_likeliest_pair_wins():
    gone = [Trait("created", ["text"], TIMES)]
    come = [Trait("created_at", ["text"], TIMES), Trait("updated_at", ["text"], ["2025-05-05T05:05:05Z"])]

    assert [(one.before, one.after) for one in renames(gone, come, always)] == [("created", "created_at")]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
traits = st.builds(
    Trait,
    names,
    st.lists(st.sampled_from(["text", "number", "boolean"]), max_size=2, unique=True),
    st.lists(st.text(max_size=12), max_size=6),
)


@given(traits, traits)
def test_likeness_is_between_nothing_and_the_same(one, other):
    assert 0 <= likeness(one, other) <= 1
    assert name_likeness(one.name, one.name) == 1


@given(
    st.lists(traits, max_size=5, unique_by=lambda t: t.name),
    st.lists(traits, max_size=5, unique_by=lambda t: t.name),
)
def test_a_field_is_in_one_pair_at_most_whatever_the_order(gone, come):
    found = renames(gone, come, always)

    assert len({one.before for one in found}) == len({one.after for one in found}) == len(found)
    assert found == renames(gone[::-1], come[::-1], always)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=3, max_size=8, unique=True))
def test_the_same_values_are_the_best_sign(values):
    assert value_likeness(values, values) == 1
