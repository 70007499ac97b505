"""An API on loopback that wants a token, and the endpoint that gives them out; both may be told to misbehave."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from integration.api_server import Api, json_answer, serve

RECORDS = 60
PAGE = 5


@dataclass(slots=True)
class Provider:
    """Gives out `token-1`, `token-2` ... and takes the newest alone. `asked` are the forms that came, with their headers."""

    url: str = ""
    lifetime: int | None = None
    answers: list[web.Response] = field(default_factory=list)
    """What the endpoint answers first, one after the other, before it answers well."""
    more: Callable[[int], dict[str, Any]] = field(default=lambda _number: {})
    """What else a good answer has, by its number."""
    asked: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    given: int = 0
    valid: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    """What the API was shown, page by page."""

    async def token(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(
            ({name: str(value) for name, value in (await request.post()).items()}, dict(request.headers))
        )
        if self.answers:
            return self.answers.pop(0)
        self.given += 1
        name = f"token-number-{self.given}"
        self.valid = {name}
        expires = {} if self.lifetime is None else {"expires_in": self.lifetime}
        return json_answer({"access_token": name, "token_type": "Bearer", **expires, **self.more(self.given)})

    async def records(self, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "")
        self.sent.append(shown)
        if shown.removeprefix("Bearer ") not in self.valid:
            return json_answer({"message": f"not with {shown}"}, status=401)
        return page_of(request)


def page_of(request: web.Request) -> web.Response:
    first = (int(request.query.get("page", "1")) - 1) * PAGE
    rows = [{"id": number} for number in range(first, min(first + PAGE, RECORDS))]
    return json_answer({"items": rows, "total": RECORDS})


@contextlib.asynccontextmanager
async def serve_api(provider: Provider) -> AsyncIterator[Api]:
    """The API of *provider* at `/items`, its endpoint at `/token`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (provider.token if request.path == "/token" else provider.records)(request)

    async with serve(handler) as api:
        provider.url = api.url
        yield api


PAGES = {"type": "page", "size_param": "size", "size": PAGE}
