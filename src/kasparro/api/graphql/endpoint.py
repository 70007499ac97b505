"""Where GraphQL is asked: over HTTP and over WebSocket, by whoever the door has let in. `api.routes.graphql` calls it."""

from __future__ import annotations

import secrets
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from kasparro.api.access import address_of
from kasparro.api.exchange import Exchange, exchange_of
from kasparro.api.graphql.context import Context
from kasparro.api.graphql.execution import refuse_introspection
from kasparro.api.graphql.host import Host
from kasparro.api.graphql.page import page
from kasparro.api.graphql.schema import sdl
from kasparro.api.graphql.transport import EVENTS, JSON, PAGE, RESPONSE, accepted, respond
from kasparro.api.graphql.websocket import Connection
from kasparro.api.limits import network_of
from kasparro.api.problems import problem_of
from kasparro.core.errors import RateLimited

log = structlog.get_logger(__name__)

PRODUCTION: Final = "production"
ANSWERS: Final = (RESPONSE, JSON, EVENTS)


async def over_http(request: Request, host: Host) -> Response:
    """A query's result, a subscription's events, or the page that a browser asks for with no query."""
    exchange = exchange_of(request.scope)
    if _wants_page(request, host):
        return page()
    media_type = accepted(request, ANSWERS)
    context = Context(
        host.runtime,
        host.reader,
        host.feed(),
        exchange,
        host.still_admitted(request.scope),
        check_seconds=host.check_seconds,
    )
    return await respond(
        request, context, media_type, host.subscriptions, host.client_of(request.scope, exchange)
    )


def _wants_page(request: Request, host: Host) -> bool:
    if request.method != "GET" or request.query_params or host.runtime.settings.environment == PRODUCTION:
        return False
    return PAGE in request.headers.get("accept", "")


def schema_text(request: Request, host: Host) -> Response:
    """Raises `NotAllowed` for whom introspection is refused too."""
    refuse_introspection(host.runtime.settings, exchange_of(request.scope))
    return Response(sdl(), media_type="text/plain; charset=utf-8")


async def over_websocket(socket: WebSocket, host: Host) -> None:
    """A connection, until it ends."""
    exchange = Exchange(secrets.token_hex(16))
    with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
        try:
            with host.connections.one(network_of(address_of(socket.scope))):
                await Connection(socket, host, exchange).serve()
                log.info(
                    "websocket.served",
                    duration_ms=round(exchange.milliseconds, 3),
                    key=exchange.caller.name,
                )
        except RateLimited as error:
            await socket.send_denial_response(problem_of(exchange, error))
