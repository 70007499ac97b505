"""The form of a request, before anybody reads it: one Host, an address, headers, parameters and a body of bounded size."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kasparro.api.exchange import exchange_of
from kasparro.api.problems import HTTP_CODES, problem

MOST_ADDRESS: Final = 32 * 1024
"""Bytes of path and query."""

MOST_HEADERS: Final = 32 * 1024
MOST_FIELDS: Final = 100
"""Header fields, and parameters of a query."""

MOST_BODY: Final = 1 << 20

Fault = tuple[HTTPStatus, str]


class Bounds:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length, fault = _examine(scope)
        if fault is not None:
            status, detail = fault
            refusal = problem(exchange_of(scope), status, HTTP_CODES[status], detail)
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive if length is not None else _counting(receive), send)


def _examine(scope: Scope) -> tuple[int | None, Fault | None]:
    """The declared length of the body, and what is wrong, if anything is."""
    size, hosts, length = 0, 0, 0 if scope["method"] in {"GET", "HEAD"} else None
    coding = b""
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = int(value) if value.isdigit() else MOST_BODY + 1
        elif name == b"transfer-encoding":
            length = None
        elif name == b"content-encoding":
            coding = value.strip().lower()
    fault = _fault(scope, size, hosts, length or 0)
    if fault is None and coding not in {b"", b"identity"}:
        fault = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is sent as it is, not packed"
    return length, fault


def _fault(scope: Scope, size: int, hosts: int, length: int) -> Fault | None:
    query = scope["query_string"]
    if len(scope.get("raw_path") or b"") + len(query) > MOST_ADDRESS:
        return HTTPStatus.REQUEST_URI_TOO_LONG, f"path and query may have {MOST_ADDRESS} bytes"
    if query.count(b"&") >= MOST_FIELDS:
        return HTTPStatus.BAD_REQUEST, f"a query may have {MOST_FIELDS} parameters"
    if size > MOST_HEADERS or len(scope["headers"]) > MOST_FIELDS:
        return (
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"there may be {MOST_FIELDS} headers with {MOST_HEADERS} bytes",
        )
    if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):
        return HTTPStatus.BAD_REQUEST, "a request has exactly one Host"
    if length > MOST_BODY:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MOST_BODY} bytes"
    return None


def _counting(receive: Receive) -> Receive:
    """*receive* for a body whose length nobody has told."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BODY:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MOST_BODY} bytes")
        return message

    return counted
