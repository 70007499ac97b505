"""Cron expressions that are accepted mean what they say to croniter, which runs them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from kasparro.core.declarations.schedule import Cron

CRON = TypeAdapter(Cron)
MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def fault(text: str) -> str:
    with pytest.raises(ValidationError) as refusal:
        CRON.validate_python(text)
    [details] = refusal.value.errors()
    return details["ctx"]["refusals"][0].message


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 */6 * * *",
        "15,45 8-18 * * mon-fri",
        "0 0 1 jan *",
        "0 0 29 2 *",
        "0 0 L * *",
        "* * * * * */10",
        "@hourly",
        "@daily",
    ],
)
def test_a_usual_expression_is_accepted_and_runs(text):
    assert croniter(CRON.validate_python(text), MOMENT).get_next(datetime) > MOMENT


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("60 * * * *", "minute field (number 1 of 5)"),
        ("* 24 * * *", "hour field (number 2 of 5)"),
        ("* * 32 * *", "day of month field (number 3 of 5)"),
        ("* * * 13 *", "month field (number 4 of 5)"),
        ("* * * * 8", "day of week field (number 5 of 5)"),
        ("* * * * * 60", "second field (number 6 of 6)"),
        ("*/0 * * * *", "minute field"),
        ("* x * * *", "hour field"),
        ("R * * * *", "minute field"),
        ("h(0-5) * * * *", "minute field"),
    ],
)
def test_the_bad_field_is_named(text, field):
    assert field in fault(text)


@pytest.mark.parametrize("text", ["* * * *", "* * * * * * *", "@often", "daily"])
def test_the_number_of_fields_is_told(text):
    assert f"it has {len(text.split())}" in fault(text)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4 *"])
def test_a_day_that_never_comes_is_refused(text):
    assert "never comes" in fault(text)


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="0123456789*/,-LWrh#?()@ajn", min_size=1, max_size=4), min_size=5, max_size=6)
)
def test_whatever_is_accepted_runs(fields):
    text = " ".join(fields)
    try:
        CRON.validate_python(text)
    except ValidationError:
        return
    assert croniter(text, MOMENT).get_next(datetime) > MOMENT
