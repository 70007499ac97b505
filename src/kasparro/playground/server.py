"""Serve the playground in the caller's event loop for as long as a block lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.types import ASGIApp

from kasparro.core.http_server import base_url, listen, serve
from kasparro.playground.app import create_playground
from kasparro.playground.keys import PlaygroundKeys


@contextlib.asynccontextmanager
async def serve_playground(
    keys: PlaygroundKeys, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Yield the base URL; port 0 takes any free port.

    Raises ConfigurationError when the address cannot be listened on.
    """
    async with serve_app(create_playground(keys), host, port) as url:
        yield url


@contextlib.asynccontextmanager
async def serve_app(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The same for any application."""
    stop, ready = asyncio.Event(), asyncio.Event()
    with listen(host, port) as listener:
        serving = asyncio.create_task(serve(app, listener, stop, ready.set), name="playground")
        serving.add_done_callback(lambda _: ready.set())
        try:
            await ready.wait()
            yield base_url(listener)
        finally:
            stop.set()
            await serving
