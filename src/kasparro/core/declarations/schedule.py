"""When a source is ingested by itself: `schedule`, a cron expression in UTC, as croniter and procrastinate read it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from croniter import CroniterBadDateError, CroniterError, croniter  # type: ignore[import-untyped]  # it has no types
from pydantic import AfterValidator, StringConstraints

from kasparro.core.declarations.base import refuse

_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week", "second")
_ALIASES: Final = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_ANY_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)
_NOT_REPEATABLE: Final = re.compile(r"[hr](?:\(|/|$)", re.IGNORECASE)


def check_cron(text: str) -> str:
    """Accept *text* if it has five fields, or six (the sixth is the second), and a moment it names ever comes."""
    if text.lower() in _ALIASES:
        return text
    fields = text.split()
    if len(fields) not in {5, 6}:
        refuse(
            f"must have 5 fields (minute, hour, day of month, month, day of week) or a sixth for the second; it has {len(fields)}"
        )
    for position, field in enumerate(fields):
        if not _is_field(position, field):
            refuse(f"has a bad {_FIELDS[position]} field (number {position + 1} of {len(fields)})")
    try:
        croniter(text, _ANY_TIME).get_next(datetime)
    except CroniterBadDateError:
        refuse("names a day that never comes")
    except CroniterError:
        refuse("is not a cron expression")
    return text


def _is_field(position: int, field: str) -> bool:
    if _NOT_REPEATABLE.match(field):  # croniter would draw another moment at each start
        return False
    others = ["*"] * 6
    others[position] = field
    try:
        croniter.expand(" ".join(others))
    except (CroniterError, ValueError, KeyError, IndexError):  # croniter lets some of its own faults through
        return False
    return True


Cron = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(check_cron)
]
