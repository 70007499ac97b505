"""Lengths of time as people write them: text or a number of seconds in, `timedelta` out. Called by the declarations."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|[smhdw])")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")
_BARE: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")

_EXPECTED: Final = "must be a length of time such as 500ms, 30s, 5m, 6h, 1d or 1h30m"


class CalendarPeriod(StrEnum):
    """A period that ends with the calendar (UTC), as quotas do."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def parse_duration(value: Any) -> timedelta:
    """Read `30s`, `1h30m`, `500ms`; a bare number is in seconds. Raises `ValueError`, which never repeats *value*."""
    match value:
        case timedelta():
            return value
        case bool():
            raise ValueError(_EXPECTED)
        case int() | float():
            return _of_seconds(value)
        case str():
            return _of_seconds(_seconds(value.strip().lower()))
        case _:
            raise ValueError(_EXPECTED)


def format_duration(value: timedelta) -> str:
    """Write *value* so that `parse_duration` reads it back, to the millisecond; the shortest form that is exact."""
    left = round(value / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_period(value: Any) -> CalendarPeriod | timedelta:
    """Read the period of a quota: `hour`, `day`, `month`, or a length of time."""
    if isinstance(value, str) and value.strip().lower() in set(CalendarPeriod):
        return CalendarPeriod(value.strip().lower())
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError("must be hour, day, month, or a length of time such as 30d") from error


def _seconds(text: str) -> float:
    if _BARE.fullmatch(text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        raise ValueError(_EXPECTED)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _of_seconds(seconds: float) -> timedelta:
    try:
        length = timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:  # ValueError: not a number
        raise ValueError(_EXPECTED) from error
    if length < timedelta(0):
        raise ValueError("must not be negative")
    return length


_PATTERN: Final = r"^\s*([0-9]+(\.[0-9]+)?(ms|[smhdwSMHDW])?)+\s*$"
_DURATION_SCHEMA: Final = {
    "anyOf": [{"type": "string", "pattern": _PATTERN}, {"type": "number", "minimum": 0}],
}

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A field written as `30s`; serialised the same way."""

Period = Annotated[
    CalendarPeriod | timedelta,
    PlainValidator(parse_period),
    WithJsonSchema(
        {"anyOf": [{"enum": [period.value for period in CalendarPeriod]}, *_DURATION_SCHEMA["anyOf"]]}
    ),
]
