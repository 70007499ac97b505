"""The short way of the hottest reads, `GET /data` and `GET /data/{id}`: past the machinery of routes, to the same `Reader`.

It stands within the guard, so who asks and how often has been looked at. What it does not recognise at a glance goes on to the
routes, which describe these paths and refuse what is wrong with a request; a test holds both ways against each other.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from kasparro.api.exchange import exchange_of
from kasparro.api.familiar import ROUTE, Familiar
from kasparro.api.parameters import INT64_MAX
from kasparro.api.problems import on_error
from kasparro.api.reader import Reader
from kasparro.api.validators import known_tags
from kasparro.core.config import Scope
from kasparro.core.errors import KasparroError

RECORD: Final = re.compile(r"/data/([1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class ShortRoute:
    """What logs and metrics call the path."""

    path: str


OF_PAGE: Final = ShortRoute(ROUTE)
OF_RECORD: Final = ShortRoute("/data/{id}")


class ShortWay:
    def __init__(self, app: ASGIApp, reader: Reader, familiar: Familiar) -> None:
        self.app = app
        self._reader = reader
        self._familiar = familiar

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            await self.app(scope, receive, send)
            return
        answering = self._answer(scope)
        if answering is None:
            await self.app(scope, receive, send)
            return
        response: Response
        try:
            response = await answering
        except KasparroError as error:
            response = await on_error(Request(scope), error)
        await response(scope, receive, send)

    def _answer(self, scope: Connection) -> Awaitable[Response] | None:
        """What is asked, if it is one of the hottest reads and the caller may read."""
        path: str = scope["path"]
        if not path.startswith(ROUTE) or Scope.READ not in exchange_of(scope).caller.scopes:
            return None
        if path == ROUTE:
            scope["route"] = OF_PAGE
            return self._page(scope)
        named = RECORD.fullmatch(path)
        if named is None or scope["query_string"] or int(named[1]) > INT64_MAX:
            return None
        scope["route"] = OF_RECORD
        return self._reader.record(int(named[1]), exchange_of(scope), scope["headers"])

    async def _page(self, scope: Connection) -> Response:
        question = self._reader.questions.read(scope["query_string"])
        tags = known_tags(scope["headers"])
        self._familiar.offer(scope, question, tags)
        return await self._reader.answer(question, tags, exchange_of(scope))
