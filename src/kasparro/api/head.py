"""HEAD: whatever GET would answer, without its body. The layers within see a GET, and end as soon as its headers are known."""

from __future__ import annotations

from starlette.types import Message, Scope, Send


class HeadersSent(Exception):
    """Ends whoever answers a HEAD: the rest is not wanted, and a stream would have no end."""


def as_get(scope: Scope) -> Scope:
    """*scope* of the same request as a GET; what is put into it later is not in the original.

    What a server can do for a GET is left out.
    """
    return {**scope, "method": "GET", "extensions": {}}


def headers_only(send: Send) -> Send:
    """*send* that raises `HeadersSent` when the headers are."""

    async def only(message: Message) -> None:
        if message["type"] != "http.response.start":
            await send(message)
            return
        await send(message)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        raise HeadersSent

    return only
