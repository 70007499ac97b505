"""Serving the API in this process, until it is asked to end: alone, beside a worker, or as one of several processes."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
from fastapi import FastAPI

from kasparro.api.access import OPEN_PATHS
from kasparro.api.main import create_app
from kasparro.api.siblings import Siblings
from kasparro.cli.stopping import Stop
from kasparro.core.http_protocol import ServerLimits
from kasparro.core.http_server import base_url
from kasparro.core.http_server import serve as serve_http
from kasparro.runtime import Runtime

log = structlog.get_logger(__name__)


async def serve_api(
    runtime: Runtime, listener: socket.socket, stop: Stop, siblings: Siblings | None = None
) -> None:
    """Serve the API until *stop*, and say where it is. Raises KasparroError when it ends without having been asked to."""

    def announce() -> None:
        worker = {} if siblings is None else {"worker": siblings.number}
        log.info("api.listening", url=base_url(listener), **worker)

    settings = runtime.settings
    limits = ServerLimits(settings.max_connections, settings.request_receipt_seconds, OPEN_PATHS)
    application = create_app(runtime)
    ending = asyncio.create_task(_end_streams(application, stop.event))
    try:
        async with AsyncExitStack() as stack:
            if siblings is not None:
                scrape = application.state.scrape
                application.state.scrape = replace(scrape, siblings=siblings)
                await stack.enter_async_context(siblings.telling(scrape.metrics.own))
            await serve_http(application, listener, stop.event, announce, limits)
    finally:
        ending.cancel()


async def _end_streams(application: FastAPI, stop: asyncio.Event) -> None:
    """Those who stream wait for what comes next, and would be waited for."""
    await stop.wait()
    application.state.feed.end()
