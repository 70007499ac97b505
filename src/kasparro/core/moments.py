"""Moments as sources write them, read into integers and written again, exactly: no float, no rounding to microseconds.

A moment is a number of nanoseconds since 1970 (UTC), of the format `integer` the number itself. Declarations check with these
formats what they are given; `ingestion.incremental` compares, keeps and sends moments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
INTEGER: Final = "integer"
FORMATS: Final = ("iso8601", "date", "epoch_s", "epoch_ms", "epoch_us", INTEGER)

_FRACTION: Final = re.compile(r"[.,]([0-9]{7,})")
_NANOSECOND_DIGITS: Final = 9
_PER_SECOND: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_FINEST: Final = (("f", 1_000), ("STcX", SECOND), ("M", 60 * SECOND), ("HI", 3_600 * SECOND))
_LONGEST: Final = 60
"""Characters of a number or an integer; what is longer is none of any use."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way of writing moments. `read` raises ValueError; `write` cuts down to a multiple of `unit`, never up."""

    name: str
    read: Callable[[Any], int]
    write: Callable[[int], str | int]
    unit: int

    @property
    def timed(self) -> bool:
        return self.name != INTEGER


def format_named(name: str) -> Format:
    """The format *name*: one of `FORMATS`, or a strptime pattern."""
    match name:
        case "iso8601":
            return Format(name, read_iso8601, _write_iso8601, SECOND)
        case "date":
            return Format(name, read_iso8601, lambda moment: as_datetime(moment).date().isoformat(), DAY)
        case "epoch_s" | "epoch_ms" | "epoch_us":
            unit = SECOND // _PER_SECOND[name]
            return Format(name, lambda value: _read_epoch(value, unit), lambda moment: moment // unit, unit)
        case "integer":
            return Format(name, _read_integer, lambda moment: moment, 1)
        case pattern:
            return _patterned(pattern)


def as_datetime(moment: int) -> datetime:
    """To the microsecond, cut down."""
    return EPOCH + timedelta(microseconds=moment // 1_000)


def of_datetime(time: datetime) -> int:
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


def of_timedelta(length: timedelta) -> int:
    return (length // timedelta(microseconds=1)) * 1_000


EARLIEST: Final = of_datetime(datetime.min.replace(tzinfo=UTC))
LATEST: Final = of_datetime(datetime.max.replace(tzinfo=UTC))


def read_iso8601(value: Any) -> int:
    """ISO 8601, a date alone too; without an offset it is UTC. Digits beyond the nanosecond are cut off."""
    if not isinstance(value, str):
        raise ValueError("is not text")  # noqa: TRY004  # bad data
    text = value.strip()
    moment = _of_naive_or_aware(datetime.fromisoformat(text))
    fraction = _FRACTION.search(text)
    return moment + (int(fraction[1][6:_NANOSECOND_DIGITS].ljust(3, "0")) if fraction else 0)


def _of_naive_or_aware(time: datetime) -> int:
    return _possible(of_datetime(time.replace(tzinfo=UTC) if time.tzinfo is None else time))


def _possible(moment: int) -> int:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("is outside the years 1 to 9999")
    return moment


def _write_iso8601(moment: int) -> str:
    """With as many digits of a second as it has: none, 3, 6 or 9."""
    seconds, fraction = divmod(moment, SECOND)
    text = as_datetime(seconds * SECOND).replace(tzinfo=None).isoformat()
    if not fraction:
        return f"{text}Z"
    digits = f"{fraction:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def _read_epoch(value: Any, unit: int) -> int:
    number = _number(value)
    if number.adjusted() > _LONGEST:
        raise ValueError("is outside the years 1 to 9999")
    return _possible(int((number * unit).to_integral_value(ROUND_FLOOR)))


def _read_integer(value: Any) -> int:
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError("is not a whole number")
    return int(number)


def _number(value: Any) -> Decimal:
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str) or len(text) > _LONGEST:
        raise ValueError("is not a number")
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError("is not a number") from None
    if not number.is_finite() or number.adjusted() > _LONGEST:
        raise ValueError("is not a number")
    return number


def _patterned(pattern: str) -> Format:
    def read(value: Any) -> int:
        return _of_naive_or_aware(datetime.strptime(str(value).strip(), pattern))  # noqa: DTZ007  # made aware on the spot

    directives = set(re.findall(r"%(.)", pattern))
    unit = next((unit for letters, unit in _FINEST if directives & set(letters)), DAY)
    return Format(pattern, read, lambda moment: as_datetime(moment).strftime(pattern), unit)
