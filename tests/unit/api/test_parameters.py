from __future__ import annotations

import pytest

from kasparro.api.parameters import check_names
from kasparro.core.errors import InvalidParameter

KNOWN = ["limit", "offset", "source"]


def test_known_names_pass_in_any_order():
    check_names(["source", "limit"], KNOWN)
    check_names([], [])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("limt", "Did you mean 'limit'?"),
        ("ofset", "Did you mean 'offset'?"),
        ("page", "Known are: limit, offset, source"),
        ("", "Known are: limit, offset, source"),
        ("x" * 100_000, "Known are: limit, offset, source"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name, hint):
    with pytest.raises(InvalidParameter) as refused:
        check_names(["limit", name], KNOWN)

    assert (refused.value.parameter, refused.value.hint) == (name, hint)


def test_where_there_are_none_it_is_said():
    with pytest.raises(InvalidParameter) as refused:
        check_names(["x"], [])

    assert refused.value.hint == "It takes none"


def test_a_name_given_twice_is_refused():
    with pytest.raises(InvalidParameter, match="given 3 times"):
        check_names(["limit", "offset", "limit", "limit"], KNOWN)
