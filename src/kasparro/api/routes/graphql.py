"""GET and POST /graphql, the WebSocket there, and GET /graphql/schema.

What answers them is imported with the first request: it takes a second, which nobody pays who does not ask.
"""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from types import ModuleType

from fastapi import APIRouter, Request, WebSocket
from starlette.responses import Response

from kasparro.api.dependencies import TheGraphql
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

router = APIRouter(include_in_schema=False)
strict = APIRouter(route_class=StrictRoute, include_in_schema=False)

load = partial(import_module, "kasparro.api.graphql.endpoint")


async def _endpoint() -> ModuleType:
    """In a thread, so that other requests are answered meanwhile."""
    return await asyncio.to_thread(load)


@router.get("/graphql", dependencies=[needs(Scope.READ)])
async def ask_graphql(request: Request, host: TheGraphql) -> Response:
    """A query in the address, or nothing: a page to write queries on."""
    answer: Response = await (await _endpoint()).over_http(request, host)
    return answer


@router.post("/graphql", dependencies=[needs(Scope.READ)])
async def post_graphql(request: Request, host: TheGraphql) -> Response:
    """A query in a JSON body. It reads, like every query."""
    answer: Response = await (await _endpoint()).over_http(request, host)
    return answer


@router.websocket("/graphql")
async def connect_graphql(socket: WebSocket) -> None:
    """Queries and subscriptions; the connection says itself who it is."""
    await (await _endpoint()).over_websocket(socket, socket.app.state.graphql)


@strict.get("/graphql/schema", dependencies=[needs(Scope.READ)])
async def graphql_schema(request: Request, host: TheGraphql) -> Response:
    """The schema, as text."""
    answer: Response = (await _endpoint()).schema_text(request, host)
    return answer


router.include_router(strict)
