"""The outermost layer: every request gets an id, every answer the headers all answers have, every exchange one log line and
its place in the metrics.

Whatever nobody expected ends here: logged once, answered without a word about what it was.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kasparro.api.codings import NOTHING, Accepted, accepted
from kasparro.api.compression import Compressing
from kasparro.api.exchange import KEY, Exchange
from kasparro.api.head import HeadersSent, as_get, headers_only
from kasparro.api.headers import completed
from kasparro.api.problems import internal_error
from kasparro.api.served import Served
from kasparro.core.database_time import METER
from kasparro.core.logging_config import REQUEST_ID

log = structlog.get_logger(__name__)

SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class ExchangeMiddleware:
    def __init__(self, app: ASGIApp, served: Served) -> None:
        self.app = app
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given, accepts = _given(scope)
        exchange = scope[KEY] = Exchange(given or secrets.token_hex(16), accepts)
        self._served.begin()
        before, metered = REQUEST_ID.set(exchange.request_id), METER.set(exchange.database)
        send = _completing(scope, send, exchange)
        within = scope
        if scope["method"] == "HEAD":
            within, send = as_get(scope), headers_only(send)
        if accepts.best is not None:
            send = Compressing(send, accepts.best).send
        try:
            await self._answer(within, receive, send)
        except HeadersSent:
            pass  # all that was asked for
        finally:
            route = getattr(within.get("route"), "path", None)
            self._served.end(scope["method"], route, exchange, ours=given is None)
            METER.reset(metered)
            REQUEST_ID.reset(before)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[KEY]
        try:
            await self.app(scope, receive, send)
        except HeadersSent:
            raise
        except ClientDisconnect:
            exchange.code = "client_disconnected"
        except Exception:  # the boundary of a request: one that fails must not end the server
            log.exception("request.failed")
            if exchange.status is None:
                await internal_error(exchange)(scope, receive, send)


def _given(scope: Scope) -> tuple[str | None, Accepted]:
    """The caller's own id if it gave a sane one, so that its logs and ours can be joined; and the codings that it accepts."""
    given, codings = None, NOTHING
    values: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            values.append(value)
        elif name == b"x-request-id" and given is None:
            given = value
    if values:
        codings = accepted(b",".join(values))
    return given.decode() if given is not None and SANE_ID.fullmatch(given) else None, codings


def _completing(scope: Scope, send: Send, exchange: Exchange) -> Send:
    async def complete(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = int(message["status"])
            own = message.get("headers", ())
            message["headers"] = completed(own, exchange.told, scope["scheme"])
        await send(message)

    return complete
