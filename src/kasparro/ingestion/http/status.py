"""What an HTTP status means for the request: an answer with an error status in, the error to raise out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

from kasparro.core.errors import AuthenticationFailed, PermanentSourceError, SourceError, TransientSourceError
from kasparro.ingestion.http.quota import asked_wait

EXCERPT: Final = 200
_PASSING: Final = frozenset({408, 425, 429})
_NEVER: Final = frozenset({501, 505})


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


def excerpt(content: bytes) -> str:
    """The beginning of a body as one line of text; twice as long as needed, so that redaction sees what is cut off."""
    text = content[: 20 * EXCERPT].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_passing(status: int) -> bool:
    return status in _PASSING or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NEVER)


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
