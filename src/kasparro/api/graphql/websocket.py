"""GraphQL over WebSocket: the protocol graphql-transport-ws (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).

A connection says who it is in its headers or in `connection_init`, as browsers have to. Its key is looked at again for as long as
it is open. Whatever a client does wrong ends it with the code that the protocol has for that. Called by `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from kasparro.api.access import Credentials, credentials_of
from kasparro.api.exchange import Exchange
from kasparro.api.graphql.context import Context
from kasparro.api.graphql.execution import Answer, admitted, answer, refused, stream, told
from kasparro.api.graphql.host import Host
from kasparro.api.graphql.request import asked_of_json, read_json
from kasparro.api.graphql.transport import ENCODER
from kasparro.api.security import log_refusal
from kasparro.core import clock
from kasparro.core.config import Scope
from kasparro.core.errors import KasparroError, NotAllowed, NotAuthenticated, RateLimited

log = structlog.get_logger(__name__)

PROTOCOL: Final = "graphql-transport-ws"
MOST_MESSAGES: Final = 200
"""A second: whoever sends more is cut off."""
LONGEST_ID: Final = 128
LONGEST_REASON: Final = 120
"""Bytes; a control frame has room for no more."""

INVALID, UNAUTHORIZED, FORBIDDEN, NO_PROTOCOL, TIMEOUT = 4400, 4401, 4403, 4406, 4408
DUPLICATE, TOO_MANY, TRY_LATER = 4409, 4429, 1013
INTERNAL, RESTART = 1011, 1012


class Closing(Exception):
    """Ends the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client. Its operations are tasks; each says of itself when it is done."""

    def __init__(self, socket: WebSocket, host: Host, exchange: Exchange) -> None:
        self._socket = socket
        self._host = host
        self._exchange = exchange
        self._scope = like_a_request(socket.scope)
        self._credentials = credentials_of(self._scope)
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._over: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()
        self._second = (0, 0)
        self._watching: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until either side closes."""
        if PROTOCOL not in self._socket.scope["subprotocols"]:
            await self._socket.accept()
            await self._socket.close(NO_PROTOCOL, "Subprotocol not acceptable")
            return
        await self._socket.accept(PROTOCOL)
        talking = asyncio.create_task(self._talk(), name="a websocket's messages")
        try:
            await asyncio.wait((talking, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            talking.cancel()
            await self._end(talking)
        if self._over.done():
            closing = self._over.result()
            reason = closing.reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(closing.code, reason)

    async def _end(self, talking: asyncio.Task[None]) -> None:
        tasks = [talking, *([self._watching] if self._watching else []), *self._operations.values()]
        self._operations = {}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _talk(self) -> None:
        try:
            await self._open()
            self._watching = asyncio.create_task(self._watch(), name="a websocket's key")
            while True:
                await self._take(await self._message())
        except Closing as closing:
            self._close(closing)
        except WebSocketDisconnect:
            return
        except Exception as error:  # noqa: BLE001  # the boundary of a task
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        log.error("request.failed", exc_info=error)
        self._close(Closing(INTERNAL, "Internal error"))

    def _close(self, closing: Closing) -> None:
        if not self._over.done():
            self._over.set_result(closing)

    async def _open(self) -> None:
        """Wait for `connection_init`, and find out who it is."""
        try:
            async with asyncio.timeout(self._host.init_seconds):
                message = await self._message()
                while message["type"] == "ping":
                    await self._send("pong")
                    message = await self._message()
        except TimeoutError:
            raise Closing(TIMEOUT, "Connection initialisation timeout") from None
        if message["type"] != "connection_init":
            raise Closing(UNAUTHORIZED, "Unauthorized")
        payload = message.get("payload")
        payload = {} if payload is None else payload
        if not isinstance(payload, dict):
            raise Closing(INVALID, "the payload of connection_init is no object")
        self._credentials = with_payload(self._credentials, payload)
        try:
            await self._host.door.let_in(self._scope, self._exchange, self._credentials)
        except KasparroError as error:
            log_refusal(self._scope, self._exchange, error)
            raise closing_of(error) from error
        self._need_read()
        await self._send("connection_ack")

    def _need_read(self) -> None:
        if Scope.READ not in self._exchange.caller.scopes:
            raise Closing(FORBIDDEN, "Forbidden")

    async def _watch(self) -> None:
        """Look again whether the key is good, until it is not."""
        while not self._over.done():
            await asyncio.sleep(self._host.check_seconds)
            try:
                self._exchange.caller = await self._host.door.access.admit(self._scope, self._credentials)
                self._need_read()
            except KasparroError as error:
                self._close(closing_of(error))
            except Closing as closing:
                self._close(closing)

    async def _message(self) -> dict[str, Any]:
        self._count_message()
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1006))
        text = received.get("text")
        if text is None:
            raise Closing(INVALID, "messages are text")
        try:
            message = read_json(text, "a message")
        except KasparroError as error:
            raise Closing(INVALID, error.message) from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(INVALID, 'a message is an object with a "type"')
        return message

    def _count_message(self) -> None:
        second, count = self._second
        now = int(clock.monotonic())
        self._second = (now, count + 1 if now == second else 1)
        if self._second[1] > MOST_MESSAGES:
            raise Closing(TOO_MANY, "too many messages")

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ping":
                await self._send("pong")
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                task = self._operations.pop(_id_of(message), None)
                if task is not None:
                    task.cancel()
            case "connection_init":
                raise Closing(TOO_MANY, "Too many initialisation requests")
            case _:
                raise Closing(INVALID, "there is no such type of message")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        operation_id = _id_of(message)
        if operation_id in self._operations:
            raise Closing(DUPLICATE, f"Subscriber for {operation_id} already exists")
        try:
            await self._count_operation()
        except RateLimited as error:
            await self._refuse(operation_id, error)
            return
        task = asyncio.create_task(self._operate(operation_id, message.get("payload")), name="an operation")
        self._operations[operation_id] = task

    async def _count_operation(self) -> None:
        """An operation is a request like any other. Raises `RateLimited`."""
        if len(self._operations) >= self._host.runtime.settings.graphql_subscriptions_per_client:
            raise RateLimited("this connection has too many operations", retry_after=1)
        await self._host.door.count(self._scope, self._exchange)

    async def _operate(self, operation_id: str, payload: Any) -> None:
        """The boundary of an operation: whatever becomes of it is told, and the connection goes on."""
        try:
            await self._answer_or_refuse(operation_id, payload)
        except asyncio.CancelledError:
            if self._operations.get(operation_id) is asyncio.current_task():
                log.warning("graphql.slow_subscriber", key=self._exchange.caller.name)
                self._close(Closing(TRY_LATER, "results were not taken fast enough"))
            raise
        except Closing as closing:
            self._close(closing)
        except WebSocketDisconnect:
            log.debug("graphql.left")
        except Exception as error:  # noqa: BLE001  # the boundary of a task
            self._failed(error)

    async def _answer_or_refuse(self, operation_id: str, payload: Any) -> None:
        try:
            await self._answer(operation_id, payload)
        except KasparroError as error:
            self._done(operation_id)
            await self._refuse(operation_id, error)

    async def _answer(self, operation_id: str, payload: Any) -> None:
        host = self._host
        operation = admitted(asked_of_json(payload), host.runtime.settings, self._exchange)
        context = Context(
            host.runtime, host.reader, host.feed(), self._exchange, _admitted, asyncio.current_task()
        )
        if not operation.subscribes:
            await self._finish(operation_id, await answer(operation, context))
            return
        with host.subscriptions.one(host.client_of(self._scope, self._exchange)):
            opened = await stream(operation, context)
            if isinstance(opened, Answer):
                await self._finish(operation_id, opened)
                return
            try:
                async for result in opened:
                    await self._next(operation_id, told(result, self._exchange))
            finally:
                await opened.aclose()  # type: ignore[attr-defined]  # it is a generator
        if context.feed.ended:
            raise Closing(RESTART, "the server ends")
        self._done(operation_id)
        await self._send("complete", operation_id)

    async def _finish(self, operation_id: str, told: Answer) -> None:
        """The one result of an operation; where nothing was executed it is an error, and the last word."""
        self._done(operation_id)
        if "data" not in told.content:
            await self._send("error", operation_id, told.content["errors"])
            return
        await self._next(operation_id, told)
        await self._send("complete", operation_id)

    async def _refuse(self, operation_id: str, error: KasparroError) -> None:
        await self._send("error", operation_id, refused(error, self._exchange).content["errors"])

    def _done(self, operation_id: str) -> None:
        """The id is free again, before the last word of its operation is sent."""
        self._operations.pop(operation_id, None)

    async def _next(self, operation_id: str, told: Answer) -> None:
        await self._send("next", operation_id, told.content)

    async def _send(self, kind: str, operation_id: str | None = None, payload: Any = None) -> None:
        message = {"type": kind, "id": operation_id, "payload": payload}
        content = {name: value for name, value in message.items() if value is not None}
        await self._socket.send_text(ENCODER.encode(content).decode())


async def _admitted() -> None:
    """The connection looks after the key of all its operations."""


def _id_of(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= LONGEST_ID:
        raise Closing(INVALID, f'"id" is a text of 1 to {LONGEST_ID} characters')
    return operation_id


def closing_of(error: KasparroError) -> Closing:
    match error:
        case RateLimited():
            return Closing(TOO_MANY, error.message)
        case NotAuthenticated() | NotAllowed():
            return Closing(FORBIDDEN, error.message)
        case _:
            return Closing(TRY_LATER, "who asks cannot be told just now")


def like_a_request(scope: Any) -> dict[str, Any]:
    """*scope* as the door knows it. What comes over it may do whatever a POST may, so a page of another site may not open it."""
    scheme = "https" if scope["scheme"] == "wss" else "http"
    return {**scope, "method": "POST", "scheme": scheme}


def with_payload(sent: Credentials, payload: Mapping[str, Any]) -> Credentials:
    """The keys of the headers, and those of `connection_init` under the same names."""
    headers = [
        (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "replace"))
        for name, value in payload.items()
        if isinstance(value, str)
    ]
    told = credentials_of({"headers": headers})
    return Credentials(tuple({*sent.secrets, *told.secrets}), sent.hosts, sent.origins)
