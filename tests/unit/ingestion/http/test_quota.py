"""What the headers of an answer ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.http.quota import asked_wait, quota_wait

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NAMES = [
    "Retry-After",
    "Date",
    "RateLimit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
]
PIECES = [
    "0",
    "17",
    '"a"',
    ";r=0",
    ";t=5",
    ";w=9",
    "remaining=0",
    "reset=",
    ",",
    "(",
    ")",
    "-",
    ".",
    "e",
    " ",
    "GMT",
    "\xe9",
]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "9" * 12}, 999_999_999_999),
        ({"Retry-After": "9" * 40}, 1e15),
        ({"Retry-After": "9" * 400}, 1e15),
        ({"Retry-After": "soon", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 30),
        ({"Retry-After": "Mon, 04 May 2026 12:01:00 GMT"}, 60),
        ({"Retry-After": "Monday, 04-May-26 12:01:00 GMT"}, 60),
        ({"Retry-After": "Mon May  4 12:01:00 2026"}, 60),
        ({"Retry-After": "Mon, 04 May 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": "Mon, 04 May 2026 14:01:00 +0200"}, 60),
        ({"Retry-After": "never"}, None),
        ({"Retry-After": "Mon, 99 May 2026 12:00:00 GMT"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 9)}, 9),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) - 9)}, 0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "60"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{int(NOW.timestamp()) + 9}500"}, 10),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "Mon, 04 May 2026 12:01:00 GMT"}, 60),
        ({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "7"}, 7),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "7"}, 7),
        ({"RateLimit": "limit=10, remaining=0, reset=7"}, 7),
        ({"RateLimit": "limit=10, remaining=1, reset=7"}, None),
        ({"RateLimit": '"default";r=0;t=7'}, 7),
        ({"RateLimit": '"default";r=2;t=7'}, None),
        ({"RateLimit": '"a";r=0;t=7, "b";r=0;t=9, "c";r=1;t=900'}, 9),
        ({"RateLimit": '"a";r=0', "RateLimit-Policy": '"a";q=5;w=70, "b";q=9;w=1'}, 70),
        ({"RateLimit": '"a";r=0'}, None),
        ({"RateLimit": '"a";r=0;t=-1'}, None),
        ({"RateLimit": '"a";r=0;t="soon"'}, None),
        ({"RateLimit": '"a;r=0;t=7'}, None),
        ({"Retry-After": "3", "RateLimit": '"a";r=0;t=7'}, 3),
        ({"Date": "Mon, 04 May 2026 09:00:00 GMT", "Retry-After": "Mon, 04 May 2026 09:00:40 GMT"}, 40),
        ({"Date": "nonsense", "Retry-After": "Mon, 04 May 2026 12:00:40 GMT"}, 40),
    ],
)
def test_how_long_the_source_asks_us_to_wait(headers, wait):
    assert asked_wait(headers, NOW) == wait


def test_a_good_answer_says_when_its_quota_is_there_again_and_not_when_to_try_again():
    assert quota_wait({"Retry-After": "9"}, NOW) is None
    assert quota_wait({"Retry-After": "9", "RateLimit": '"a";r=0;t=7'}, NOW) == 7


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))
    )
)
def test_whatever_a_source_sends_is_a_wait_or_nothing(headers):
    wait = asked_wait(headers, NOW)
    assert wait is None or wait >= 0
