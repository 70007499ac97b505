"""Times as sources write them in, aware UTC out. Nothing is guessed: a number needs a declared unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ReadTime = Callable[[Any], datetime]
"""Raises ValueError with a sentence that does not repeat the value."""


def time_reader(form: str | None) -> ReadTime:
    """The reader for a rule's `as`: iso8601 (the default), epoch_s, epoch_ms, date, or a strptime pattern."""
    match form:
        case None | "iso8601":
            return _iso8601
        case "epoch_s":
            return lambda value: _epoch(value, per_second=1)
        case "epoch_ms":
            return lambda value: _epoch(value, per_second=1000)
        case "date":
            return _date
        case pattern:
            return lambda value: _pattern(value, pattern)


def _iso8601(value: Any) -> datetime:
    """ISO 8601; a time without an offset is UTC."""
    if not isinstance(value, str):
        raise ValueError("is a number; say what it counts with `as: epoch_s` or `as: epoch_ms`")  # noqa: TRY004  # bad data
    try:
        moment = datetime.fromisoformat(value.strip())
        return (
            moment if moment.tzinfo is UTC else _utc(moment)
        )  # most are; the general way takes twice as long
    except (ValueError, OverflowError):
        raise ValueError("is not an ISO 8601 time; say how it is written with `as:`") from None


def _epoch(value: Any, per_second: int) -> datetime:
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else None
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite():
        raise ValueError("is not a number of seconds or milliseconds since 1970")
    try:
        return EPOCH + timedelta(microseconds=int((number * 1_000_000 / per_second).to_integral_value()))
    except (ArithmeticError, OverflowError):
        raise ValueError("is outside the years 1 to 9999") from None


def _date(value: Any) -> datetime:
    try:
        return datetime.strptime(str(value).strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("is not a date like 2024-01-31") from None


def _pattern(value: Any, pattern: str) -> datetime:
    try:
        return _utc(datetime.strptime(str(value).strip(), pattern))  # noqa: DTZ007  # made aware on the spot
    except (ValueError, OverflowError):
        raise ValueError(f"is not written as {pattern}") from None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
