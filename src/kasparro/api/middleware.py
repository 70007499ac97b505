"""The outermost layer: every request gets an id, every answer the headers all answers have, every exchange one log line.

Whatever nobody expected ends here: logged once, answered without a word about what it was.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kasparro.api.exchange import KEY, Exchange
from kasparro.api.problems import internal_error

log = structlog.get_logger(__name__)

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class ExchangeMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = scope[KEY] = Exchange(_request_id(scope))
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._answer(scope, receive, _completing(send, exchange))
            finally:
                _log(scope, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[KEY]
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            exchange.code = "client_disconnected"
        except Exception:  # the boundary of a request: one that fails must not end the server
            log.exception("request.failed")
            if exchange.status is None:
                await internal_error(exchange)(scope, receive, send)


def _request_id(scope: Scope) -> str:
    """The caller's own id if it gave a sane one, so that its logs and ours can be joined."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _completing(send: Send, exchange: Exchange) -> Send:
    async def complete(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(ALWAYS)
            headers["X-Request-ID"] = exchange.request_id
            headers["Server-Timing"] = f"app;dur={exchange.milliseconds}"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return complete


def _log(scope: Scope, exchange: Exchange) -> None:
    """The path is that of the route: ids and query values may say more than a log should know."""
    event = {
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", None),
        "status": exchange.status,
        "duration_ms": exchange.milliseconds,
    }
    log.info("request.served", **event, **({"code": exchange.code} if exchange.code else {}))
