"""Times as sources write them, read and written with nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.moments import (
    DAY,
    EARLIEST,
    LATEST,
    SECOND,
    as_datetime,
    format_named,
    of_datetime,
    of_timedelta,
)

MOMENTS = st.integers(EARLIEST, LATEST)
AFTER_1900 = st.integers(of_datetime(datetime(1900, 1, 1, tzinfo=UTC)), LATEST)


@given(MOMENTS)
def test_what_is_written_in_iso_8601_reads_the_same_to_the_nanosecond(moment):
    form = format_named("iso8601")
    assert form.read(form.write(moment)) == moment


@given(
    st.sampled_from(["epoch_s", "epoch_ms", "epoch_us", "date", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M"]),
    AFTER_1900,
)
def test_what_is_written_is_cut_down_to_a_unit_and_never_up(name, moment):
    form = format_named(name)
    assert 0 <= moment - form.read(form.write(moment)) < form.unit


@given(MOMENTS, MOMENTS)
def test_the_order_of_moments_is_the_order_of_times(one, other):
    if one // 1000 < other // 1000:
        assert as_datetime(one) < as_datetime(other)
    assert (of_datetime(as_datetime(one)), as_datetime(one).tzinfo) == (one // 1000 * 1000, UTC)


@given(
    AFTER_1900.filter(lambda moment: moment < LATEST - DAY).map(
        lambda moment: as_datetime(moment).replace(tzinfo=None)
    ),
    st.integers(-14 * 60, 14 * 60),
)
def test_an_offset_names_the_same_instant(naive, minutes):
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = format_named("iso8601").read
    assert read(aware.isoformat()) == read(naive.isoformat()) - minutes * 60 * SECOND


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("iso8601", "2024-05-01", "1714521600"),
        ("iso8601", "2024-05-01T00:00:00", "1714521600"),
        ("iso8601", "20240501T020000.5+0200", "1714521600.5"),
        ("iso8601", " 2024-05-01T00:00:00.123456789123Z ", "1714521600.123456789"),
        ("iso8601", "2024-05-01T00:00:00,1234567Z", "1714521600.1234567"),
        ("date", "2024-05-01T12:00:00Z", "1714564800"),
        ("epoch_s", 1714521600, "1714521600"),
        ("epoch_s", Decimal("1714521600.123456789"), "1714521600.123456789"),
        ("epoch_s", "-1.5", "-1.5"),
        ("epoch_ms", 1714521600123, "1714521600.123"),
        ("epoch_us", "1714521600123456", "1714521600.123456"),
        ("%d/%m/%Y", "01/05/2024", "1714521600"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-05-01T02:00:00+0200", "1714521600"),
    ],
)
def test_moments_are_read_exactly(name, value, seconds):
    assert format_named(name).read(value) == Decimal(seconds) * SECOND


@pytest.mark.parametrize("value", [17, "17", Decimal("17.0"), 10**40, -3])
def test_an_integer_is_itself(value):
    form = format_named("integer")
    assert form.read(value) == int(Decimal(str(value)))
    assert not form.timed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iso8601", 1714521600),
        ("iso8601", "yesterday"),
        ("iso8601", "10000-01-01T00:00:00Z"),
        ("iso8601", "0001-01-01T00:00:00+14:00"),
        ("epoch_s", "soon"),
        ("epoch_s", True),
        ("epoch_s", Decimal("NaN")),
        ("epoch_s", Decimal("1e300")),
        ("epoch_s", 10**15),
        ("epoch_s", "9" * 100),
        ("epoch_ms", None),
        ("epoch_ms", ["1"]),
        ("integer", "1.5"),
        ("integer", Decimal("1e9999999")),
        ("%d.%m.%Y", "2024-05-01"),
    ],
)
def test_what_is_no_moment_is_refused(name, value):
    with pytest.raises((ValueError, OverflowError)):
        format_named(name).read(value)


@pytest.mark.parametrize(
    ("pattern", "unit"), [("%d.%m.%Y", DAY), ("%Y-%m-%d %H", 3600 * SECOND), ("%H:%M %d", 60 * SECOND), ("%s", DAY),
                          ("%Y%m%d%H%M%S", SECOND), ("%H:%M:%S.%f", 1000)]
)  # fmt: skip
def test_the_unit_of_a_pattern_is_that_of_its_finest_part(pattern, unit):
    assert format_named(pattern).unit == unit


def test_a_length_of_time_counts_nanoseconds():
    assert of_timedelta(timedelta(days=1, microseconds=1)) == DAY + 1000
