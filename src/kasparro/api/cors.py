"""Pages of other sites (CORS), and what they may ask. `main` puts it before the guard: a browser's preflight has no key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kasparro.api.exchange import exchange_of
from kasparro.api.problems import problem
from kasparro.core.errors import NotAllowed

ASKED: Final = [
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
]
"""Headers that a page may send. Streams with a key are read by scripts that send `Last-Event-ID` themselves."""

EXPOSED: Final = [
    *("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("X-As-Of", "X-Request-ID", "X-Stale"),
]
"""Headers that a page may read."""


class Pages(CORSMiddleware):
    """Starlette's, but that a preflight is refused as everything else is."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        return response if response.status_code < HTTPStatus.BAD_REQUEST else _Refused(response)


class _Refused(Response):
    """*response*, with its reason as a problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = problem(
            exchange_of(scope),
            HTTPStatus.FORBIDDEN,
            NotAllowed.code,
            f"a page of this site may not ask for this: {self.reason}",
            hint="CORS_ORIGINS on the server names the sites that may",
            headers=self.kept,
        )
        await refusal(scope, receive, send)

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.reason = bytes(response.body).decode()
        self.kept = {
            name: value for name, value in response.headers.items() if not name.startswith("content-")
        }
