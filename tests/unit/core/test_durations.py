"""Lengths of time as text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.durations import CalendarPeriod, format_duration, parse_duration, parse_period

LONGEST = 10**12


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("6h", 21_600),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("1h30m", 5_400),
        (" 10S ", 10),
        ("45", 45),
        ("0.25", 0.25),
        (7, 7),
        (0.5, 0.5),
        (timedelta(seconds=3), 3),
        ("0s", 0),
    ],
)
def test_a_length_of_time_is_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "-3s",
        "3 s",
        "1y",
        "1e3",
        "5q",
        "\N{ARABIC-INDIC DIGIT ONE}s",
        "1s!",
        "9" * 13,
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        -1,
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="must"):
        parse_duration(value)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=LONGEST))
def test_what_is_written_is_read_back(milliseconds):
    length = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(length)) == length


@settings(deadline=None)
@given(st.text())
def test_no_text_is_repeated_in_the_refusal_and_none_crashes(text):
    secret = f"hidden{text}"
    with pytest.raises(ValueError, match="length of time") as refusal:
        parse_duration(secret)
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize("text", ["9" * 12 + "w", "9" * 12 + "d" + "9" * 12 + "d"])
def test_more_than_a_timedelta_holds_is_refused(text):
    with pytest.raises(ValueError, match="length of time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("hour", CalendarPeriod.HOUR),
        ("Day", CalendarPeriod.DAY),
        ("month", CalendarPeriod.MONTH),
        ("30d", timedelta(days=30)),
    ],
)
def test_a_quota_runs_by_the_calendar_or_by_length(text, period):
    assert parse_period(text) == period


def test_an_unknown_period_names_the_known_ones():
    with pytest.raises(ValueError, match="must be hour, day, month"):
        parse_period("fortnight")
