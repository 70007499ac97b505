"""Conditional requests (RFC 9110, section 13): the headers of an answer in, those that ask whether it has changed out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST: Final = 1_000
_APART: Final = timedelta(seconds=1)


class NotModified(Exception):
    """An answer is what it was when its conditions were given. Ends a fetch, and goes as far as `incremental.conditional`."""


def conditions_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What to send with the next request for the same. A `Last-Modified` of the very second of the answer proves nothing."""
    found = {}
    etag, modified = headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip()
    if 0 < len(etag) <= _LONGEST:
        found["If-None-Match"] = etag
    if modified and _is_past(modified, headers.get("Date", "")):
        found["If-Modified-Since"] = modified
    return found


def _is_past(modified: str, date: str) -> bool:
    try:
        return parsedate_to_datetime(date) - parsedate_to_datetime(modified) >= _APART
    except (ValueError, TypeError, OverflowError):
        return False
