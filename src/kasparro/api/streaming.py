"""An answer that comes in parts: an iterator of bytes in, a response out that ends when the client goes.

Used by the change stream and by exports. Whatever the iterator holds it lets go of as soon as nobody reads: it is cancelled where
it waits, and awaited until it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PartsResponse(Response):
    """Sends *parts* as they come. An error among them cuts the answer off, so that no client takes it for whole."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
        status_code: int = 200,
    ) -> None:
        self.parts = parts
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send), name="parts of an answer")
        leaving = asyncio.create_task(_left(receive), name="a client leaving")
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(leaving)
            await _ended(sending)
        if sending.cancelled():
            raise ClientDisconnect
        sending.result()

    async def _send(self, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for part in self.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.parts.aclose()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel *task*, which is not needed any more, and wait until it has ended."""
    task.cancel()
    await asyncio.wait((task,))
