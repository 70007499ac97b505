"""A client of the protocol graphql-transport-ws for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 60


@dataclass(frozen=True)
class Talk:
    socket: ClientConnection

    async def say(self, kind: str, operation_id: str | None = None, payload: Any = None) -> None:
        message = {"type": kind, "id": operation_id, "payload": payload}
        await self.socket.send(
            json.dumps({name: value for name, value in message.items() if value is not None})
        )

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.socket.recv())

    async def open(self, payload: Any = None) -> None:
        await self.say("connection_init", payload=payload)
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, operation_id: str, query: str, **variables: Any) -> None:
        await self.say("subscribe", operation_id, {"query": query, "variables": variables})

    async def closed(self) -> int:
        """The code with which the server has closed, whatever it said before."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code or 0


@asynccontextmanager
async def talking(
    port: int, *, protocol: str | None = "graphql-transport-ws", **given: Any
) -> AsyncIterator[Talk]:
    async with connect(
        f"ws://127.0.0.1:{port}/graphql",
        subprotocols=[protocol] if protocol else None,
        proxy=None,
        **given,
    ) as socket:
        yield Talk(socket)
