"""How long an answer asks us to wait: its headers in, seconds out.

- `Retry-After` (RFC 9110): seconds, or a date.
- `RateLimit` and `RateLimit-Policy` (the IETF's draft): by name, requests left (`r`) and seconds until there are more (`t`),
  quota (`q`) and window (`w`).
- `RateLimit-Remaining` and `-Reset` (its older drafts), `X-RateLimit-...`: requests left; seconds, a moment of the epoch, a date.

Moments are taken by the source's own clock, which `Date` tells: it may not go like ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import http_sf

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FAR: Final = 1e15
"""As good as for ever, in seconds or in milliseconds of the epoch: a number of any more digits means no more than this."""
_EPOCH: Final = 1_000_000_000
_EPOCH_MS: Final = 1_000_000_000_000
_PREFIXES: Final = ("X-RateLimit", "X-Rate-Limit", "RateLimit")
_LONGEST_HEADER: Final = 4096


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer which refuses asks us to wait: `Retry-After` if it can be read, else what `quota_wait` says."""
    given = headers.get("Retry-After", "").strip()
    wait = _until(given, told_now(headers, now), epoch=False) if given else None
    return quota_wait(headers, now) if wait is None else wait


def quota_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until there are requests left again, where an answer says that there are none; of several quotas the longest."""
    waits = [*_by_names(headers), *_by_numbers(headers, told_now(headers, now))]
    return max(waits, default=None)


def told_now(headers: Mapping[str, str], now: datetime) -> datetime:
    """What time it is for the source."""
    return _date(headers.get("Date", "")) or now


def _by_names(headers: Mapping[str, str]) -> Iterator[float]:
    """`"burst";r=0;t=12`; where `t` is missing, the window of the policy of that name."""
    windows = {name: values.get("w") for name, values in _items(headers.get("RateLimit-Policy", ""))}
    for name, values in _items(headers.get("RateLimit", "")):
        wait = values.get("t", windows.get(name))
        if values.get("r") == 0 and isinstance(wait, int) and wait >= 0:
            yield float(wait)


def _by_numbers(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    older = {name: value for name, (value, _) in _dictionary(headers.get("RateLimit", "")).items()}
    pairs = [(older.get("remaining"), older.get("reset"))]
    pairs += [(headers.get(f"{name}-Remaining"), headers.get(f"{name}-Reset")) for name in _PREFIXES]
    for remaining, reset in pairs:
        if str(remaining).strip() == "0" and reset is not None:
            wait = _until(str(reset).strip(), now, epoch=True)
            if wait is not None:
                yield wait


def _items(text: str) -> list[tuple[Any, Mapping[str, Any]]]:
    """A structured list; one that is none says nothing."""
    found = _parsed(text, "list")
    return [(value, parameters) for value, parameters in found] if isinstance(found, list) else []


def _dictionary(text: str) -> Mapping[str, Any]:
    found = _parsed(text, "dictionary")
    return found if isinstance(found, dict) else {}


def _parsed(text: str, kind: Literal["list", "dictionary"]) -> Any:
    if not text or len(text) > _LONGEST_HEADER:
        return None
    try:
        return http_sf.parse(text.encode(), tltype=kind)
    except ValueError:
        return None


def _until(value: str, now: datetime, *, epoch: bool) -> float | None:
    """Some give how many seconds are left, others the second, or millisecond, of the *epoch*, others a date."""
    if not _SECONDS.fullmatch(value):
        when = _date(value)
        return None if when is None else max(0.0, math.ceil((when - now).total_seconds()))
    number = min(float(value), _FAR)
    if not epoch or number < _EPOCH:
        return number
    return max(0.0, math.ceil((number / 1000 if number >= _EPOCH_MS else number) - now.timestamp()))


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
