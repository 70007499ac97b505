"""Answers in a coding that their client accepts: whole ones at once, those in parts part by part, nothing held back.

`middleware` puts `Compressing` before `send`. What is packed already, does not shrink, or is a stream of events goes as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import Message, Send

from kasparro.api.codings import Coding, Packer, packer
from kasparro.api.headers import Header

SMALLEST: Final = 1000
"""Bytes of an answer that fits into one packet anyway."""

ASIDE: Final = 16 * 1024
"""Bytes that take so long to pack that others should not wait for it."""

SHRINKING: Final = (b"text/", b"application/javascript", b"application/xml", b"image/svg+xml")
EVENTS: Final = b"text/event-stream"
JSON: Final = b"json"
BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED})


class Compressing:
    """Stands in for *send*. The start of an answer waits for the first part of its body."""

    def __init__(self, send: Send, coding: Coding) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None
        self._packer: Packer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _shrinks(message):
            self._start = message
        elif message["type"] != "http.response.body" or (self._start or self._packer) is None:
            await self._send(message)
        else:
            await self._send_body(message)

    async def _send_body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            if not more:
                await self._send_whole(start, message, body)
                return
            self._packer = packer(self._coding)
            await self._send({**start, "headers": _coded(start, self._coding)})
        assert self._packer is not None  # noqa: S101  # there is one while an answer goes on
        packed = await aside(self._packer.pack if more else self._packer.finish, body)
        if packed or not more:
            await self._send({**message, "body": packed})

    async def _send_whole(self, start: Message, message: Message, body: bytes) -> None:
        if len(body) >= SMALLEST:
            body = await aside(packer(self._coding).finish, body)
            length = (b"content-length", b"%d" % len(body))
            start = {**start, "headers": [*_coded(start, self._coding), length]}
        await self._send(start)
        await self._send({**message, "body": body})


async def aside(work: Callable[[bytes], bytes], data: bytes) -> bytes:
    """*work* on *data*, in a thread where it takes long."""
    return work(data) if len(data) < ASIDE else await asyncio.to_thread(work, data)


def _shrinks(start: Message) -> bool:
    """Whether an answer that starts like this may be packed, and is worth it."""
    named = dict(start.get("headers", ()))
    if start["status"] in BODILESS or b"content-encoding" in named:
        return False
    length = named.get(b"content-length")
    if length is not None and int(length) < SMALLEST:
        return False
    kind = named.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if b"no-transform" in named.get(b"cache-control", b"").lower():
        return False
    return kind != EVENTS and (JSON in kind or kind.startswith(SHRINKING))


def _coded(start: Message, coding: Coding) -> list[Header]:
    headers = [header for header in start.get("headers", ()) if header[0] != b"content-length"]
    return [*headers, (b"content-encoding", coding.encode())]
