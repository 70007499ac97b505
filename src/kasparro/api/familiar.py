"""Requests for records that were let in before, word for word: what was found out about them then is not found out again.

Whether a request has a sound form, who sends it and what it asks follow from its bytes and the settings alone where its caller is
`lasting`. What does not (how often they may ask, whether their address sent wrong keys, the state of the dataset) is looked at
every time. `short_way` offers such a request to the server it came by (`core.http_again`), which then asks us past every layer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Scope as Connection

from kasparro.api.codings import Accepted
from kasparro.api.exchange import Caller, Exchange, exchange_of
from kasparro.api.headers import Header, completed
from kasparro.api.problems import internal_error, not_served
from kasparro.api.questions import Question
from kasparro.api.reader import AS_OF, Found, Reader
from kasparro.api.security import Counted, Door, refused
from kasparro.api.served import Served
from kasparro.core import clock
from kasparro.core.database_time import METER
from kasparro.core.errors import KasparroError, RateLimited, StorageError
from kasparro.core.http_again import KEEP, OFFER, Whole
from kasparro.core.http_answers import settled
from kasparro.core.logging_config import REQUEST_ID
from kasparro.storage.versions import DatasetState

log = structlog.get_logger(__name__)

ROUTE: Final = "/data"
PARTICULAR: Final = frozenset({b"content-length", b"expect", b"origin", b"range", b"x-request-id"})
"""Headers that other layers answer to, or that are different each time: requests with one go through all of them."""

PARTICULAR_TOLD: Final = frozenset(
    {AS_OF, b"content-length", b"ratelimit", b"server-timing", b"x-request-id"}
)
"""Headers of answers that are different each time."""

PARTICULAR_LINES: Final = b"%b" + AS_OF + b": %b\r\nx-request-id: %b\r\nserver-timing: %b\r\n"
"""Those that every answer has, under what answers have alike."""

Done = Callable[[Whole], None]


@dataclass(frozen=True, slots=True)
class Known:
    """A request that was let in. `origin` is of its scope what tells where it came from."""

    caller: Caller
    accepts: Accepted
    question: Question
    tags: frozenset[bytes]
    counted: Counted
    origin: Connection


class Familiar:
    def __init__(self, reader: Reader, door: Door, served: Served) -> None:
        self.reader = reader
        self.door = door
        self.served = served
        self.later: set[asyncio.Task[None]] = set()

    def offer(self, scope: Connection, question: Question, tags: frozenset[bytes]) -> None:
        """Offer to answer the request of *scope*, which was let in, when it comes again."""
        keep = scope.get("extensions", {}).get(OFFER, {}).get(KEEP)
        exchange = exchange_of(scope)
        if keep is None or not exchange.caller.lasting or not question.kept:
            return
        if any(name in PARTICULAR for name, _ in scope["headers"]):
            return
        accepts = exchange.accepts
        if accepts.best is None or accepts.gzip:  # the reader knows no other coding
            origin = {name: scope.get(name) for name in ("method", "scheme", "client")}
            counted = self.door.counted(scope, exchange.caller)
            keep(Again(self, Known(exchange.caller, accepts, question, tags, counted, origin)))


class Again:
    """Answers one known request each time it comes: at once where nothing has to be waited for but the state of the dataset."""

    def __init__(self, familiar: Familiar, known: Known) -> None:
        self._familiar = familiar
        self._known = known
        self._letterhead: Letterhead | None = None

    def __call__(self, done: Done) -> None:
        exchange = Exchange(secrets.token_hex(16), self._known.accepts, self._known.caller)
        self._familiar.served.begin()
        self._familiar.reader.versions.ask(partial(self._go_on, exchange, done))

    def _go_on(self, exchange: Exchange, done: Done, state: DatasetState | StorageError) -> None:
        exchange.database.seconds = clock.monotonic() - exchange.started
        familiar, known = self._familiar, self._known
        counted = False
        answer: Whole | None = None
        if isinstance(state, StorageError):
            self._end(exchange, done, self._failed(exchange, state))
            return
        try:
            counted = familiar.door.count_again(known.counted, exchange)
            if counted:
                answer = self._at_once(exchange, state)
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            answer = self._failed(exchange, error)
        if answer is not None:
            self._end(exchange, done, answer)
            return
        task = asyncio.create_task(self._go_on_later(exchange, done, state, counted=counted))
        familiar.later.add(task)
        task.add_done_callback(familiar.later.discard)

    def _at_once(self, exchange: Exchange, state: DatasetState) -> Whole | None:
        """With a letterhead, where the last answer was the same but for what is said of the request."""
        reader, known = self._familiar.reader, self._known
        found = reader.find(known.question, known.tags, exchange, state)
        if found is None:
            return None
        if self._letterhead is None or self._letterhead.found != found:
            response = reader.write(known.question, exchange, state, found)
            headers = self._headers(exchange, response)
            self._letterhead = Letterhead.of(found, response.status_code, headers)
            return Whole.of(response.status_code, headers, bytes(response.body))
        return self._letterhead.on(exchange, state, reader.pieces(exchange, state, found))

    async def _go_on_later(
        self, exchange: Exchange, done: Done, state: DatasetState, *, counted: bool
    ) -> None:
        REQUEST_ID.set(exchange.request_id)
        METER.set(exchange.database)
        known, familiar = self._known, self._familiar
        try:
            if counted:  # and looked for at once, in vain
                response = await familiar.reader.make(known.question, exchange, state)
            else:
                await familiar.door.count(known.origin, exchange)
                response = await familiar.reader.from_state(known.question, known.tags, exchange, state)
            answer = self._whole(exchange, response)
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            answer = self._failed(exchange, error)
        self._end(exchange, done, answer)

    def _failed(self, exchange: Exchange, error: Exception) -> Whole:
        before = REQUEST_ID.set(exchange.request_id)  # who is told of the same state next is another request
        try:
            return self._whole(exchange, self._refusal(exchange, error))
        finally:
            REQUEST_ID.reset(before)

    def _refusal(self, exchange: Exchange, error: Exception) -> Response:
        match error:
            case RateLimited():
                return refused(self._known.origin, exchange, error)
            case KasparroError():
                return not_served(exchange, error)
            case _:
                log.error("request.failed", exc_info=error)
                return internal_error(exchange)

    def _whole(self, exchange: Exchange, response: Response) -> Whole:
        return Whole.of(response.status_code, self._headers(exchange, response), bytes(response.body))

    def _headers(self, exchange: Exchange, response: Response) -> list[Header]:
        return completed(response.raw_headers, exchange.told, self._known.origin["scheme"])

    def _end(self, exchange: Exchange, done: Done, answer: Whole) -> None:
        exchange.status = answer.status
        done(answer)
        self._familiar.served.end("GET", ROUTE, exchange, ours=True)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What the headers of all answers from what was `found` have alike, in print."""

    found: Found
    status: int
    lines: bytes

    @classmethod
    def of(cls, found: Found, status: int, headers: list[Header]) -> Letterhead | None:
        lines = settled([header for header in headers if header[0] not in PARTICULAR_TOLD])
        return None if lines is None else cls(found, int(status), lines)

    def on(self, exchange: Exchange, state: DatasetState, body: tuple[bytes, ...]) -> Whole:
        """The answer to one request. What is particular to it is made of numbers and ids of ours: it needs no looking at."""
        lines = PARTICULAR_LINES % (
            self.lines,
            state.as_of_text,
            exchange.request_id.encode(),
            exchange.timing,
        )
        if exchange.limit is not None:
            lines += b"%b: %b\r\n" % exchange.limit[1]
        if self.found.page is not None:
            lines += b"content-length: %d\r\n" % sum(map(len, body))
        return Whole(self.status, lines, body)
