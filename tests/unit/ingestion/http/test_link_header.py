from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.ingestion.http.link_header import link_target, links

GITHUB = (
    '<https://api.github.com/search?q=a,b&page=1>; rel="prev", <https://api.github.com/search?q=a,b&page=3>; rel="next", '
    '<https://api.github.com/search?q=a,b&page=9>; rel="last"'
)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (GITHUB, "https://api.github.com/search?q=a,b&page=3"),
        ("</b>; rel=next", "/b"),
        ("</b>;rel=next", "/b"),
        ("</b> ; REL = NEXT", "/b"),
        ('</b>; rel="last next"', "/b"),
        ('</b>; title="a, <c>; rel=\\"x\\""; rel="next"', "/b"),
        ('</a>; title="x; rel=next", </b>; rel=next', "/b"),
        ('</b>; rel="prev"; rel="next"', None),
        ("</b>; rel*=utf-8''x; rel=next", None),
        ("</b>", None),
        ("</b>; rel", None),
        ("", None),
        ("rel=next", None),
        (', , </a>; x, </b>; results="true"; rel="next"; cursor="0:1:0"', "/b"),
        ("</a", None),
        ("< /b >; rel=next", "/b"),
        ('</a>; rel=next; anchor="/other", </b>; rel=next', "/b"),
        ('</b>; rel=next, </c>; title="never closed, </d>; rel=prev', "/b"),
        ('broken; "</x>; rel=next", </b>; rel=next', "/b"),
    ],
)
def test_the_next_link_is_found(header, target):
    assert link_target(header, "next") == target


url_text = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>"), max_size=20)
relation = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8)
quoted = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15)


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@given(
    st.lists(st.tuples(url_text, st.lists(relation, min_size=1, max_size=3), quoted), min_size=1, max_size=5),
    st.booleans(),
)
@settings(deadline=None)
def test_what_was_written_is_read(written, title_first):
    parts = []
    for target, relations, title in written:
        parameters = [f'title="{escape(title)}"', f'rel="{" ".join(relations)}"']
        parts.append("; ".join([f"<{target}>", *(parameters if title_first else reversed(parameters))]))
    assert list(links(", ".join(parts))) == [(target, relations) for target, relations, _ in written]


@given(st.text('<>;,="\\ relnxt*', max_size=60) | st.text(max_size=60))
@settings(deadline=None)
def test_no_header_is_too_strange(header):
    list(links(header))


@pytest.mark.parametrize("part", [",", "<", '\\"', '"', "<>,", '<>;rel="', "<a>;;", "x,>", '"\\'])
def test_a_header_of_megabytes_is_read_in_one_go(part):
    """As many as a server may send: quadratic time would be hours."""
    assert link_target(part * (4_000_000 // len(part)), "next") is None
