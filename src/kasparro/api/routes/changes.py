"""GET /data/changes and /data/stream: new and changed records in commit order, by polling or as they come."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from kasparro.api.change_description import CHANGES_PARAMETERS, STREAM_PARAMETERS
from kasparro.api.change_events import changes_bytes
from kasparro.api.dependencies import TheExchange, TheFeed, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.security import needs
from kasparro.api.streaming import PartsResponse
from kasparro.core.config import Scope
from kasparro.schemas.changes import Changed
from kasparro.schemas.data import ChangesResponse
from kasparro.services.change_text import parse_changes, parse_stream

router = APIRouter(tags=["data"])

UNBUFFERED: Final = {"X-Accel-Buffering": "no"}
"""Intermediaries are to pass events on as they come."""

EVENTS: Final[dict[str, Any]] = {
    "description": "Events `upsert`, `delete`, `reset` and `gap`, each with a `ChangeEvent` as its data",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: ZiVX...\nevent: upsert\ndata: {"op":"upsert","source":"faa_airports","version":7,"id":42,'
            '"source_id":"SEA","record":{"id":42}}\n\n',
        }
    },
}


@router.get(
    "/data/changes",
    dependencies=[needs(Scope.READ)],
    response_model=ChangesResponse,
    responses=problems(HTTPStatus.BAD_REQUEST, *DATABASE),
    openapi_extra={"parameters": CHANGES_PARAMETERS},
)
async def list_changes(runtime: TheRuntime, exchange: TheExchange, request: Request) -> Response:
    """What is new and changed since a position, in commit order of each source; none is left out, none comes twice."""
    asked = parse_changes(request.query_params.multi_items())
    if asked.position is None:
        now = await runtime.changes.now(asked.query)
        changed = Changed(now, (), now, more=False)
    else:
        changed = await runtime.changes.read(asked.query, asked.position, asked.limit)
    return Response(changes_bytes(exchange, asked.query, changed), media_type="application/json")


@router.get(
    "/data/stream",
    dependencies=[needs(Scope.READ)],
    response_class=PartsResponse,
    responses={200: EVENTS, **problems(HTTPStatus.BAD_REQUEST, *DATABASE)},
    openapi_extra={"parameters": STREAM_PARAMETERS},
)
async def stream_changes(feed: TheFeed, request: Request) -> Response:
    """The same as it happens, as server-sent events, until the client goes; a stream that broke goes on where it was."""
    asked = parse_stream(request.query_params.multi_items(), request.headers.get("last-event-id"))
    first = await feed.begin(asked.query, asked.position)
    return PartsResponse(feed.stream(asked.query, first), "text/event-stream", UNBUFFERED)
