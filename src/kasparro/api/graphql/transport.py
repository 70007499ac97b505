"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), and results as server-sent events.

The media type that a client accepts decides: `application/graphql-response+json` tells by its status whether the operation could
be executed, `application/json` is 200 for whatever was understood, `text/event-stream` is the protocol of graphql-sse, one
connection an operation. Called by `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
from graphql import ExecutionResult
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kasparro.api.graphql.clients import Register
from kasparro.api.graphql.context import Context
from kasparro.api.graphql.execution import Answer, Asked, Operation, admitted, answer, refused, stream, told
from kasparro.api.graphql.request import MOST_BODY, asked_of_address, asked_of_json, read_json
from kasparro.api.problems import RETRY_AFTER
from kasparro.api.streaming import PartsResponse
from kasparro.core.errors import KasparroError, QueryRefused

JSON: Final = "application/json"
RESPONSE: Final = "application/graphql-response+json"
EVENTS: Final = "text/event-stream"
PAGE: Final = "text/html"
UNBUFFERED: Final = {"X-Accel-Buffering": "no", "Vary": "Accept"}
HEARTBEAT: Final = b":\n\n"
HEARTBEAT_SECONDS: Final = 15.0

ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=list)
"""graphql-core has lists of its own kinds in a path."""


def accepted(request: Request, offered: tuple[str, ...]) -> str:
    """The media type of *offered* that the client likes best. Without a word, and for `*/*`, JSON. Raises 406."""
    header = ",".join(request.headers.getlist("accept"))
    if not header.strip():
        return JSON
    best, liked = "", 0.0
    for one in header.split(","):
        kind, *parameters = [part.strip().lower() for part in one.split(";")]
        quality = _quality(parameters)
        if "charset=" in one.lower() and not any(
            p in {"charset=utf-8", 'charset="utf-8"'} for p in parameters
        ):
            continue
        if kind in {"*/*", "application/*"}:
            kind = JSON
        if kind in offered and quality > liked:
            best, liked = kind, quality
    if not best:
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"answers here are {', '.join(offered)}")
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            with suppress(ValueError):
                return max(0.0, min(1.0, float(parameter[2:])))
            return 0.0
    return 1.0


async def asked_of(request: Request) -> Asked:
    """What is asked. Raises `InvalidQuery`, `QueryRefused`, 413 and 415."""
    if request.method == "GET":
        return asked_of_address(request.query_params.multi_items())
    kind, *parameters = [part.strip().lower() for part in request.headers.get("content-type", "").split(";")]
    charsets = [p for p in parameters if p.startswith("charset=")]
    if kind != JSON or any(p.partition("=")[2].strip('"') not in {"utf-8", "utf8"} for p in charsets):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the query as {JSON} in UTF-8")
    body = await request.body()
    if len(body) > MOST_BODY:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a query has at most {MOST_BODY} bytes")
    return asked_of_json(read_json(body, "the body"))


async def respond(
    request: Request, context: Context, media_type: str, subscriptions: Register, client: str
) -> Response:
    """The answer to *request*, or its stream, which counts among the *subscriptions* of its *client*."""
    try:
        asked = await asked_of(request)
    except KasparroError as error:
        return _response(refused(error, context.exchange), _json_of(media_type), always=True)
    try:
        operation = admitted(asked, context.runtime.settings, context.exchange)
        if operation.subscribes and media_type != EVENTS:
            raise QueryRefused("a subscription is answered as text/event-stream, or over WebSocket")
    except KasparroError as error:
        return _response(refused(error, context.exchange), _json_of(media_type))
    if media_type == EVENTS:
        return await _events(operation, context, subscriptions, client)
    return _response(await answer(operation, context), media_type)


def _json_of(media_type: str) -> str:
    """What an error is written as, that comes before any event."""
    return RESPONSE if media_type == EVENTS else media_type


def _response(told: Answer, media_type: str, *, always: bool = False) -> Response:
    """*always*: the status is told in plain JSON, too."""
    status = told.status if always or media_type == RESPONSE else HTTPStatus.OK
    headers = {"Vary": "Accept"}
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        headers |= RETRY_AFTER
    return Response(ENCODER.encode(told.content), status, headers, f"{media_type}; charset=utf-8")


async def _events(operation: Operation, context: Context, subscriptions: Register, client: str) -> Response:
    """An error that comes before the first result is told as such, with its status."""
    if not operation.subscribes:
        return PartsResponse(_once(await answer(operation, context)), EVENTS, UNBUFFERED)
    subscriptions.check(client)
    opened = await stream(operation, context)
    if isinstance(opened, Answer):
        return _response(opened, RESPONSE)
    return PartsResponse(_counted(opened, context, subscriptions, client), EVENTS, UNBUFFERED)


async def _once(told: Answer) -> AsyncGenerator[bytes, None]:
    yield _next(told)
    yield COMPLETE


async def _counted(
    results: AsyncIterator[ExecutionResult], context: Context, subscriptions: Register, client: str
) -> AsyncGenerator[bytes, None]:
    with subscriptions.one(client):
        async with aclosing(_parts(results, context)) as parts:
            async for part in parts:
                yield part


async def _parts(results: AsyncIterator[ExecutionResult], context: Context) -> AsyncGenerator[bytes, None]:
    """The results as events, and a comment where there was none for a while."""
    context.reader = asyncio.current_task()
    yield HEARTBEAT
    coming: asyncio.Task[Any] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(results, None))
            done, _ = await asyncio.wait((coming,), timeout=HEARTBEAT_SECONDS)
            if not done:
                yield HEARTBEAT
                continue
            result, coming = coming.result(), None
            if result is None and context.feed.ended:
                return  # no word of an end: the client goes on elsewhere
            if result is None:
                break
            yield _next(told(result, context.exchange))
        yield COMPLETE
    except KasparroError as error:
        yield _next(refused(error, context.exchange))
        yield COMPLETE
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait((coming,))
        await results.aclose()  # type: ignore[attr-defined]  # it is a generator


COMPLETE: Final = b"event: complete\ndata:\n\n"


def _next(told: Answer) -> bytes:
    return b"event: next\ndata: " + ENCODER.encode(told.content) + b"\n\n"
