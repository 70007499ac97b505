from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import InvalidCursor
from kasparro.schemas.query import Condition, Count, Field, Op, Order, Position, RecordQuery, SearchMode
from kasparro.services.record_cursor import read_cursor, write_cursor

TITLE, STARS = Field("title"), Field("metadata", ("stars",))
MANY_KEYS = RecordQuery(sort=(Order(TITLE), Order(STARS, descending=True), Order(Field("created_at"))))
SEARCH = RecordQuery(search="x")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)
TIMES = st.sampled_from(
    [
        "2024-07-01T12:00:00.000001+00:00",
        "infinity",
        "-infinity",
        "12000-01-01T00:00:00+00:00",
        "0044-03-15T00:00:00+00:00 BC",
        "0001-02-29T00:00:00+00:00 BC",
    ]
)
POSITIONS = st.builds(
    Position,
    st.tuples(
        st.none() | TEXT,
        st.none()
        | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda d: format(d, "f")),
        st.none() | TEXT,
        TIMES,
        st.integers(1, 2**63 - 1).map(str),
    ),
    st.just(SearchMode.WORDS),
    st.none() | st.integers(0, 2**63 - 1),
    st.sampled_from(Count),
)


@given(position=POSITIONS)
def test_what_is_written_is_read_again(position):
    assert read_cursor(write_cursor(MANY_KEYS, position), MANY_KEYS) == position


@pytest.mark.parametrize("rank", ["0.6079271", "1", "0", "6.0792713e-05", "1e-20"])
def test_the_rank_of_a_search_is_a_place_too(rank):
    position = Position((rank, "7"), SearchMode.SIMILAR, 3, Count.EXACT)

    assert read_cursor(write_cursor(SEARCH, position), SEARCH) == position


def test_a_cursor_fits_into_a_url():
    worst = RecordQuery(sort=tuple(Order(Field(name)) for name in ("title", "author", "content", "url")))
    cursor = write_cursor(worst, Position(("\U0001f600" * 100,) * 4 + ("1",)))

    assert len(cursor) < 3000
    assert cursor.replace("-", "").replace("_", "").isalnum()


OTHERS = [
    RecordQuery(),
    replace(MANY_KEYS, sort=MANY_KEYS.sort[:2]),
    replace(MANY_KEYS, sort=(*MANY_KEYS.sort[:2], Order(Field("created_at"), descending=True))),
    replace(MANY_KEYS, where=(Condition(TITLE, Op.EQ, ("x",)),)),
    replace(MANY_KEYS, search="x"),
]
PLACE = Position(("a", "1", None, "2024-07-01T12:00:00+00:00", "7"))


@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_a_cursor_belongs_to_its_query(other):
    with pytest.raises(InvalidCursor, match="another query"):
        read_cursor(write_cursor(MANY_KEYS, PLACE), other)


def test_what_does_not_change_the_order_may_change_between_pages():
    other = replace(MANY_KEYS, limit=99, fields=(TITLE,), facets=(Field("source"),), count=Count.NONE)

    assert read_cursor(write_cursor(MANY_KEYS, PLACE), other) == PLACE


@given(data=st.data())
def test_a_damaged_cursor_is_refused(data):
    cursor = write_cursor(MANY_KEYS, PLACE)
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_=.,\n é").filter(lambda c: c != cursor[at]))

    with pytest.raises(InvalidCursor):
        read_cursor(cursor[:at] + other + cursor[at + 1 :], MANY_KEYS)


@given(text=st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidCursor):
        read_cursor(text, MANY_KEYS)


def forged(query: RecordQuery, *content: object) -> str:
    """A cursor whose checksum is right, as anybody can make one who reads this code."""
    payload = msgspec.json.encode([query.fingerprint(), *content])
    checksum = blake2b(payload, digest_size=8, person=b"cursor").digest()
    return base64.urlsafe_b64encode(b"1" + checksum + payload).rstrip(b"=").decode()


KEYS = list(PLACE.keys)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        KEYS[:-1],
        [*KEYS, "1"],
        ["x" * 256, *KEYS[1:]],
        ["a\0", *KEYS[1:]],
        ["a", "NaN", *KEYS[2:]],
        ["a", "1" * 1501, *KEYS[2:]],
        ["a", "1'; DROP TABLE etl_run--", *KEYS[2:]],
        [*KEYS[:3], "2024-02-30T00:00:00+00:00", "7"],
        [*KEYS[:3], "294999-01-01T00:00:00+00:00", "7"],
        [*KEYS[:3], "4713-01-01T00:00:00+00:00 BC", "7"],
        [*KEYS[:3], "0000-01-01T00:00:00+00:00", "7"],
        [*KEYS[:3], "now", "7"],
        [*KEYS[:4], "9223372036854775808"],
        [*KEYS[:4], "\u0661"],
        [1, *KEYS[1:]],
    ],
)
def test_a_forged_place_is_checked_like_any_value(keys):
    with pytest.raises(InvalidCursor):
        read_cursor(forged(MANY_KEYS, "words", None, "none", keys), MANY_KEYS)


def test_a_forged_total_is_checked_too():
    for total in (-1, 2**63):
        with pytest.raises(InvalidCursor):
            read_cursor(forged(MANY_KEYS, "words", total, "none", KEYS), MANY_KEYS)
    assert read_cursor(forged(MANY_KEYS, "words", 5, "exact", KEYS), MANY_KEYS).total == 5


@pytest.mark.parametrize("rank", ["1e-99", "inf", "-1", "1e5", "nan"])
def test_a_forged_rank_is_refused(rank):
    with pytest.raises(InvalidCursor):
        read_cursor(forged(SEARCH, "words", None, "none", [rank, "1"]), SEARCH)
