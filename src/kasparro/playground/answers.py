"""What the two APIs have in common: JSON answers, JSON errors, whole numbers in the query."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


def json_answer(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(content), status_code=status, headers=headers, media_type="application/json"
    )


async def json_error(_request: Request, error: Exception) -> Response:
    """Registered for HTTPException: unknown paths and methods answer JSON too."""
    if not isinstance(error, HTTPException):
        raise error
    content = {"error": {"status": error.status_code, "message": error.detail}}
    return json_answer(content, status=error.status_code, headers=error.headers)


def whole_number(request: Request, name: str, *, default: int, most: int) -> int:
    """The query parameter *name*, from 1 to *most*; anything else is a 422 that names it."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not _WHOLE_NUMBER.fullmatch(given) or not 1 <= int(given) <= most:
        raise HTTPException(422, f"{name} must be a whole number from 1 to {most}")
    return int(given)
