"""What an HTTP status means for the request: an answer with an error status in, the error to raise out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from kasparro.core.errors import AuthenticationFailed, PermanentSourceError, SourceError, TransientSourceError

EXCERPT: Final = 200
_PASSING: Final = frozenset({408, 425, 429})
_NEVER: Final = frozenset({501, 505})
_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_EPOCH: Final = 1_000_000_000


def status_error(status: int, headers: Mapping[str, str], said: str, now: datetime) -> SourceError:
    """Classify *status*; *said* tells what was sent as a credential. The caller adds the place and what the body says.

    A 403 that comes with a time to wait is a rate limit, as GitHub's are.
    """
    wait = asked_wait(headers, now)
    named = f"answered {status} {_phrase(status)}".rstrip()
    if _is_passing(status) or (status == HTTPStatus.FORBIDDEN and wait is not None):
        return TransientSourceError(named, retry_after=wait)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return AuthenticationFailed(
            named, hint=f"With this request {said}; check `auth` and the secret it names"
        )
    refusal = PermanentSourceError(named, hint=_hint(status))
    refusal.status = status
    return refusal


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds the source asks us to wait: `Retry-After` (RFC 9110, section 10.2.3), else the reset of a used-up rate limit."""
    given = headers.get("Retry-After", "").strip()
    if _WHOLE_SECONDS.fullmatch(given):
        return float(given)
    if given:
        return _until(given, now)
    if headers.get("X-RateLimit-Remaining", "").strip() == "0":
        return _reset(headers.get("X-RateLimit-Reset", "").strip(), now)
    return None


def excerpt(content: bytes) -> str:
    """The beginning of a body as one line of text; twice as long as needed, so that redaction sees what is cut off."""
    text = content[: 20 * EXCERPT].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_passing(status: int) -> bool:
    return status in _PASSING or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NEVER)


def _until(date: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, math.ceil((aware - now).total_seconds()))


def _reset(value: str, now: datetime) -> float | None:
    """Some give the second of the epoch, others how many seconds are left."""
    if not _WHOLE_SECONDS.fullmatch(value):
        return None
    return max(0.0, math.ceil(int(value) - now.timestamp())) if int(value) >= _EPOCH else float(value)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _hint(status: int) -> str | None:
    match status:
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return "Check the source's `url`"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return "Check the source's `method`"
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return "Check the source's `params`, `body` and `pagination`"
        case _:
            return None
