"""Requests for records that were let in before, word for word: what was found out about them then is not found out again.

Whether a request has a sound form, who sends it and what it asks follow from its bytes and the settings alone where its caller is
`lasting`. What does not (how often they may ask, whether their address sent wrong keys, the state of the dataset) is looked at
every time. `middleware` asks for the way of each request; `short_way` says what is worth remembering.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from kasparro.api.access import address_of
from kasparro.api.exchange import Caller, exchange_of
from kasparro.api.limits import network_of
from kasparro.api.problems import on_error
from kasparro.api.questions import Question
from kasparro.api.reader import Reader
from kasparro.api.security import Door, refused
from kasparro.api.short_way import OF_PAGE, PAGE, REMEMBER
from kasparro.api.validators import known_tags
from kasparro.core.errors import KasparroError

MOST: Final = 1_000
MOST_HEADERS: Final = 20
LONGEST: Final = 4_000
"""Bytes of a request that is remembered."""
PARTICULAR: Final = frozenset({b"content-length", b"expect", b"origin", b"range", b"x-request-id"})
"""Headers that other layers answer to, or that are different each time: requests with one go through all of them."""

Words = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A request that was let in."""

    caller: Caller
    question: Question
    tags: frozenset[bytes]
    reader: Reader
    door: Door

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.caller = self.caller
        response: Response
        try:
            await self.door.count(scope, exchange)
        except KasparroError as error:
            response = refused(scope, exchange, error)
        else:
            scope["route"] = OF_PAGE
            try:
                response = await self.reader.answer(self.question, self.tags, exchange)
            except KasparroError as error:
                response = await on_error(Request(scope), error)
        await response(scope, receive, send)


class Familiar:
    def __init__(self, reader: Reader, door: Door) -> None:
        self._reader = reader
        self._door = door
        self._known: OrderedDict[Words, Known] = OrderedDict()

    def way(self, scope: Connection) -> ASGIApp | None:
        """How to answer a request that is known; None for any other, which may be remembered on its way."""
        if scope["path"] != PAGE or scope["method"] != "GET":
            return None
        words = _words(scope)
        if words is None:
            return None
        known = self._known.get(words)
        if known is None:
            scope[REMEMBER] = partial(self._remember, words, scope)
        elif self._door.failures.blocked(network_of(address_of(scope))):
            return None
        return known

    def _remember(self, words: Words, scope: Connection, question: Question) -> None:
        caller = exchange_of(scope).caller
        if caller.lasting:
            tags = known_tags(scope["headers"])
            self._known[words] = Known(caller, question, tags, self._reader, self._door)
            if len(self._known) > MOST:
                self._known.popitem(last=False)


def _words(scope: Connection) -> Words | None:
    """All that a request says; None where that is too much, or concerns others."""
    headers = scope["headers"]
    if len(headers) > MOST_HEADERS or scope.get("root_path"):
        return None
    size = len(scope["query_string"])
    for name, value in headers:
        if name in PARTICULAR:
            return None
        size += len(value)
    if size > LONGEST:
        return None
    client = scope.get("client")
    return (client and client[0], scope["http_version"], scope["scheme"], scope["query_string"], *headers)
