"""One HTTP connection: uvicorn's own protocol, and what it does not do by itself.

A request has to arrive in full before a deadline, its head may not be endless, its answer has to be read, and of more connections
than there may be the one that has kept us waiting longest makes room. `http_server` makes a `Porter` for each server.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kasparro.core.http_again import KEEP, LONGEST, OFFER, Answerer, Memory, Whole
from kasparro.core.http_answers import AtOnce, Header, printed, written

MOST_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers, and of trailers. What is less may still be too much for the application."""

MOST_ADDRESS: Final = MOST_HEAD // 2
"""Of these, bytes of the address, where the head as a whole is too large, or its address is more than a parser takes."""

SWEEPS: Final = 8
"""How often within a deadline connections are looked at."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server puts up with. `spared` are the paths that are answered when there are too many connections."""

    connections: int = 1000
    receipt: float = 20.0
    spared: frozenset[str] = frozenset()


class Porter:
    """Knows every connection of a server, and ends those that keep it waiting."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self.memory = Memory()
        self._ready: list[tuple[Connection, bytes]] = []
        self._always: tuple[list[Header], bytes] = ([], b"")
        self.open: dict[Connection, None] = {}
        """In the order in which they were made."""

    def protocol(self, **given: Any) -> Connection:
        """What uvicorn asks for with each connection."""
        return Connection(self, **given)

    def always(self, headers: list[Header]) -> bytes:
        """The lines of *headers*, the server's own: of every answer, in a new list each second."""
        if headers is not self._always[0]:
            self._always = headers, printed(headers)
        return self._always[1]

    def send(self, connection: Connection, content: bytes) -> None:
        """Send *content* together with the answers that become ready in the same turn of the loop.

        Each write wakes who waits for it. Who is awake already has the next ones for less.
        """
        if not self._ready:
            connection.loop.call_soon(self._send_all)
        self._ready.append((connection, content))

    def _send_all(self) -> None:
        ready, self._ready = self._ready, []
        for connection, content in ready:
            connection.send_again(content)

    def make_room(self) -> None:
        """Close the connection that has kept us waiting longest, if there is one."""
        waiting = (c for c in self.open if c.waiting_since is not None)
        longest = min(waiting, key=lambda c: c.waiting_since or 0.0, default=None)
        if longest is not None:
            longest.end()

    async def sweep(self) -> None:
        """Look after deadlines until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.receipt / SWEEPS)
            deadline = loop.time() - self.limits.receipt
            for connection in [c for c in self.open if c.is_late(deadline)]:
                connection.refuse_late()


class Connection(HttpToolsProtocol):
    """`waiting_since` is when it began to wait for a request or the rest of one; None while one is dealt with."""

    def __init__(self, porter: Porter, **given: Any) -> None:
        super().__init__(**given)
        self.porter = porter
        self.access_log = False  # requests are logged by who answers them
        self.waiting_since: float | None = None
        self.unread_since: float | None = None
        self.url = b""
        self.in_head = True
        self.head_bytes = 0
        self.between = True
        """Whether no message has begun that has not come to its end."""
        self.messages = 0
        self.remembers = True
        self.answering = False
        """Whether a request that came again is dealt with; `held` is what came behind it."""
        self.held = b""
        self.ends = False

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        limits = self.porter.limits
        if len(self.porter.open) >= limits.connections:
            self.porter.make_room()
        if len(self.porter.open) >= limits.connections:
            self.app = _only(limits.spared, self.app)
            self.remembers = False
        self.porter.open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.porter.open.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.answering:
            self.flow.pause_reading()
            self.held += data
        elif (answerer := self._known(data)) is not None:
            self._answer_again(answerer)
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        between, before = self.between, self.messages
        super().data_received(data)
        if self.in_head:
            self.head_bytes += len(data)
            if self.head_bytes > MOST_HEAD and not self._refused_by_address():
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", TOO_LARGE)
        elif between and self.between and self.messages == before + 1 and self._may_come_again(data):
            keep = partial(self.porter.memory.keep, self._words(data))
            self.scope["extensions"] = {OFFER: {KEEP: keep}}

    def pause_writing(self) -> None:
        self.unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.unread_since = None
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        self.porter.open.pop(self, None)
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = AtOnce(cycle).send  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)

    # requests that come again

    def _words(self, data: bytes) -> tuple[str | None, bytes]:
        return (self.client and self.client[0], data)

    def _known(self, data: bytes) -> Answerer | None:
        """Who answers *data*, where it is a message by itself and no other is in hand."""
        if len(data) > LONGEST or not self.between or not self.remembers or self.flow.write_paused:
            return None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return None
        return self.porter.memory.get(self._words(data))

    def _may_come_again(self, data: bytes) -> bool:
        """Whether *data*, which was one message, is a request without a body whose connection stays open."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # another protocol has taken over
            return False
        return cycle.keep_alive and not cycle.body and self.remembers and len(data) <= LONGEST

    def _answer_again(self, answerer: Answerer) -> None:
        self.answering, self.waiting_since = True, None
        answerer(self._answered)

    def _answered(self, answer: Whole) -> None:
        if answer.lines is None:
            self.logger.error("an answer was not sound")
            self.answering = False
            self.transport.close()
        else:
            always = self.porter.always(self.server_state.default_headers)
            self.porter.send(self, written(answer.status, always + answer.lines, *answer.body))

    def send_again(self, content: bytes) -> None:
        """The answer to the request that came again, and what comes behind it."""
        self.answering = False
        if self.transport.is_closing():
            return
        self.transport.write(content)
        self.server_state.total_requests += 1
        self.waiting_since = self.loop.time()
        if self.ends:
            self.transport.close()
        elif self.held:
            held, self.held = self.held, b""
            self.flow.resume_reading()
            self.data_received(held)
        elif self.timeout_keep_alive_task is None:
            self._wait_for_the_next(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Requests that come again leave the timer as it is: it may go off too early, and then goes on."""
        self.timeout_keep_alive_task = None
        if self.waiting_since is None:
            return
        left = self.waiting_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._wait_for_the_next(left)
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_the_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        if self.answering:
            self.ends = True
        else:
            super().shutdown()

    # the parser's side

    def on_message_begin(self) -> None:
        self.between, self.messages = False, self.messages + 1
        self.in_head, self.head_bytes = True, 0
        self.waiting_since = self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # trailers are dropped: whoever has read the headers has judged them
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self._frames_another_way():
            raise ValueError("HTTP/1.0 knows no chunks")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.between = True
        self.waiting_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete or self.waiting_since is not None:
            self.waiting_since = self.loop.time()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the signature is uvicorn's
        if not self._refused_by_address():
            self._refuse(HTTPStatus.BAD_REQUEST, "bad_request", "This is no HTTP request that can be read")

    # the porter's side

    def is_late(self, deadline: float) -> bool:
        """Whether it has kept us waiting since before *deadline*; where we do not read ourselves, it is not to blame."""
        if self.unread_since is not None and self.unread_since < deadline:
            return True
        waiting = self.waiting_since is not None and self.waiting_since < deadline
        return waiting and not self.flow.read_paused

    def refuse_late(self) -> None:
        if self.unread_since is not None:
            self.transport.abort()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time")

    def end(self) -> None:
        self.porter.open.pop(self, None)
        self.transport.abort()

    def _frames_another_way(self) -> bool:
        """Chunks in HTTP/1.0: some intermediaries do not see them, and take the body for the next request."""
        return self.parser.get_http_version() != "1.1" and any(
            name == b"transfer-encoding" for name, _ in self.headers
        )

    def _refused_by_address(self) -> bool:
        too_long = len(self.url) > MOST_ADDRESS
        if too_long:
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", f"an address may have {MOST_ADDRESS} bytes"
            )
        return too_long

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answer, where no answer has begun, and close."""
        if not self.transport.is_closing():
            self.logger.warning("a request was refused: %s", code)
            cycle: RequestResponseCycle | None = self.cycle
            between = cycle is None or (self.in_head and cycle.response_complete)
            if between or not self.cycle.response_started:
                self.transport.write(refusal(status, code, detail))
            self.transport.close()


TOO_LARGE: Final = "The request line and the headers are too large"


def refusal(status: HTTPStatus, code: str, detail: str) -> bytes:
    """A whole answer that ends its connection: a problem as the API's own are, for what does not reach the API."""
    request_id = secrets.token_hex(16)
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    body = json.dumps(problem | {"code": code, "request_id": request_id}).encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "connection: close",
        *(["retry-after: 2"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _only(spared: frozenset[str], app: Any) -> Any:
    """*app* for the paths that are *spared*; for all others an answer that there are too many connections."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in spared:
            await app(scope, receive, send)
            return
        head, _, body = refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "There are too many connections"
        ).partition(b"\r\n\r\n")
        fields = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        headers = [(name, value) for name, _, value in fields]
        await send(
            {
                "type": "http.response.start",
                "status": HTTPStatus.SERVICE_UNAVAILABLE.value,
                "headers": headers,
            }
        )
        await send({"type": "http.response.body", "body": body})

    return answer
