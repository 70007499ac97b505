from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from kasparro.ingestion.http.query import with_query, without_query


@pytest.mark.parametrize(
    ("url", "pairs", "expected"),
    [
        ("http://x.example/a", {"page": "2"}, "http://x.example/a?page=2"),
        ("http://x.example/a?b=1%2B1&c=%2f", {"page": "2"}, "http://x.example/a?b=1%2B1&c=%2f&page=2"),
        ("http://x.example/a?page=1&b", {"page": "2"}, "http://x.example/a?b&page=2"),
        ("http://x.example/a?b=1", {}, "http://x.example/a?b=1"),
        ("http://x.example/a%20b", {"q": "a&b=c d+ü"}, "http://x.example/a%20b?q=a%26b%3Dc%20d%2B%C3%BC"),
    ],
)
def test_parameters_are_replaced_and_the_others_keep_their_spelling(url, pairs, expected):
    assert str(with_query(URL(url, encoded=True), pairs.items())) == expected


def test_parameters_are_taken_out_by_name_or_value():
    url = URL("http://x.example/a?k=1&b=se%20cret&c=+", encoded=True)
    assert (
        str(without_query(url, lambda name, value: name == "k" or value == "se cret"))
        == "http://x.example/a?c=+"
    )


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4))
@settings(deadline=None)
def test_every_name_and_value_arrives(pairs):
    url = with_query(URL("http://x.example/a?z=1"), pairs.items())
    assert dict(url.query) == {"z": "1"} | pairs
