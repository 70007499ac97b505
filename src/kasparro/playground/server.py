"""Serve the playground in the caller's event loop for as long as a block lasts.

Signals, logging and the loop stay the caller's: uvicorn's own handlers would swallow the first Ctrl-C of `kasparro up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from kasparro.core.errors import ConfigurationError
from kasparro.playground.app import create_playground
from kasparro.playground.keys import PlaygroundKeys

_GRACE_SECONDS = 2
_LAST_PORT = 65_535


@contextlib.asynccontextmanager
async def serve_playground(
    keys: PlaygroundKeys, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Yield the base URL; port 0 takes any free port.

    Raises ConfigurationError when the address cannot be listened on.
    """
    async with serve_app(create_playground(keys), host, port) as base_url:
        yield base_url


@contextlib.asynccontextmanager
async def serve_app(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The same for any application."""
    listener = _listen(host, port)
    server = _Server(_config(app))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: server.ready.set())
    try:
        await server.ready.wait()
        if serving.done():
            await serving
        yield _base_url(host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listener.close()


class _Server(uvicorn.Server):
    """A uvicorn server that says when it is ready and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Config(uvicorn.Config):
    """Settings that leave the logging of the process as it is; uvicorn's would also silence another server in it."""

    def configure_logging(self) -> None:
        return


class _Protocol(H11Protocol):
    """HTTP without an access log, whatever the process logs elsewhere."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False


def _config(app: ASGIApp) -> _Config:
    return _Config(
        app,
        lifespan="off",
        ws="none",
        http=_Protocol,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= _LAST_PORT:
        raise _cannot_listen(host, port, "there is no such port")
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise _cannot_listen(host, port, error.strerror or str(error)) from error
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms for an acknowledgement.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bound.detach())


def _cannot_listen(host: str, port: int, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the playground cannot listen on port {port} of {host}: {reason}",
        hint="Choose another port, or 0 for any free one",
    )


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
