"""GET /airportsdata/airports: an opaque cursor in the body, a bearer token, a rate limit that answers 429.

The limit lets a load of the whole set through in a few seconds, and stops one that neither paces itself nor waits when told.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kasparro.core import clock
from kasparro.playground.airports import AirportSet
from kasparro.playground.answers import json_answer, whole_number
from kasparro.playground.cursor import CursorInvalid, decode_cursor, encode_cursor
from kasparro.playground.keys import same_secret
from kasparro.playground.rate_limit import Quota, TokenBucket

PATH = "/airportsdata/airports"
DEFAULT_LIMIT = 200
MOST_LIMIT = 500
BURST = 10
PER_SECOND = 5.0


class AirportsDataApi:
    def __init__(self, token: str, airports: AirportSet, bucket: TokenBucket) -> None:
        self._token = token
        self._airports = airports
        self._bucket = bucket

    async def airports(self, request: Request) -> Response:
        self._authenticate(request)
        headers = self._pass_rate_limit()
        limit = whole_number(request, "limit", default=DEFAULT_LIMIT, most=MOST_LIMIT)
        start = self._start(request.query_params.get("cursor"))
        end = start + limit
        keys, records = self._airports.keys, self._airports.records
        next_cursor = encode_cursor(keys[end - 1]) if end < len(keys) else None
        return json_answer({"items": records[start:end], "next_cursor": next_cursor}, headers=headers)

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_secret(token.strip(), self._token):
            raise HTTPException(
                401,
                "a valid bearer token is needed",
                headers={"WWW-Authenticate": 'Bearer realm="airportsdata"'},
            )

    def _pass_rate_limit(self) -> dict[str, str]:
        quota = self._bucket.take()
        headers = _rate_limit_headers(self._bucket.capacity, quota)
        if quota.allowed:
            return headers
        wait = max(math.ceil(quota.retry_after), 1)
        raise HTTPException(
            429, f"too many requests; try again in {wait} s", headers={**headers, "Retry-After": str(wait)}
        )

    def _start(self, cursor: str | None) -> int:
        if cursor is None:
            return 0
        try:
            return bisect_right(self._airports.keys, decode_cursor(cursor))
        except CursorInvalid as error:
            raise HTTPException(400, "cursor is not one that this API handed out") from error


def _rate_limit_headers(limit: int, quota: Quota) -> dict[str, str]:
    """`Reset` is when the whole limit is back, in seconds since 1970, as GitHub has it."""
    reset = clock.now() + timedelta(seconds=quota.full_after)
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(quota.remaining),
        "X-RateLimit-Reset": str(math.ceil(reset.timestamp())),
    }
