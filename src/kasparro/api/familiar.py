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

from kasparro.api.answer import Answer
from kasparro.api.codings import Accepted
from kasparro.api.exchange import Caller, Exchange, exchange_of
from kasparro.api.headers import completed
from kasparro.api.problems import internal_error, not_served
from kasparro.api.questions import Question
from kasparro.api.reader import Reader
from kasparro.api.security import Counted, Door, refused
from kasparro.api.served import Served
from kasparro.core import clock
from kasparro.core.database_time import METER
from kasparro.core.errors import KasparroError, RateLimited
from kasparro.core.http_again import KEEP, OFFER, Whole
from kasparro.core.logging_config import REQUEST_ID
from kasparro.storage.versions import DatasetState

log = structlog.get_logger(__name__)

ROUTE: Final = "/data"
PARTICULAR: Final = frozenset({b"content-length", b"expect", b"origin", b"range", b"x-request-id"})
"""Headers that other layers answer to, or that are different each time: requests with one go through all of them."""

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

    def __call__(self, done: Done) -> None:
        exchange = Exchange(secrets.token_hex(16), self._known.accepts, self._known.caller)
        self._familiar.served.begin()
        asked = self._familiar.reader.versions.ask()
        asked.add_done_callback(partial(self._go_on, exchange, done))

    def _go_on(self, exchange: Exchange, done: Done, asked: asyncio.Future[DatasetState]) -> None:
        exchange.database.seconds = clock.monotonic() - exchange.started
        familiar, known = self._familiar, self._known
        counted = False
        response: Response | None = None
        try:
            state = asked.result()
            counted = familiar.door.count_again(known.counted, exchange)
            if counted:
                response = familiar.reader.at_once(known.question, known.tags, exchange, state)
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            response = self._failed(exchange, error)
        if response is not None:
            self._end(exchange, done, response)
            return
        task = asyncio.create_task(self._go_on_later(exchange, done, state, counted=counted))
        familiar.later.add(task)
        task.add_done_callback(familiar.later.discard)

    async def _go_on_later(
        self, exchange: Exchange, done: Done, state: DatasetState, *, counted: bool
    ) -> None:
        REQUEST_ID.set(exchange.request_id)
        METER.set(exchange.database)
        known, familiar = self._known, self._familiar
        response: Response
        try:
            if counted:  # and looked for at once, in vain
                response = await familiar.reader.make(known.question, exchange, state)
            else:
                await familiar.door.count(known.origin, exchange)
                response = await familiar.reader.from_state(known.question, known.tags, exchange, state)
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            response = self._failed(exchange, error)
        self._end(exchange, done, response)

    def _failed(self, exchange: Exchange, error: Exception) -> Response:
        REQUEST_ID.set(exchange.request_id)
        match error:
            case RateLimited():
                return refused(self._known.origin, exchange, error)
            case KasparroError():
                return not_served(exchange, error)
            case _:
                log.error("request.failed", exc_info=error)
                return internal_error(exchange)

    def _end(self, exchange: Exchange, done: Done, response: Response) -> None:
        exchange.status = response.status_code
        headers = completed(response.raw_headers, exchange.told, self._known.origin["scheme"])
        done(Answer(response.status_code, headers, bytes(response.body)))
        self._familiar.served.end("GET", ROUTE, exchange, ours=True)
