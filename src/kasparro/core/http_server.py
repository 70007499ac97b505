"""Serve an ASGI application in the caller's event loop: the API, the playground. Signals, logging and loop stay the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

from kasparro.core.errors import ConfigurationError, KasparroError

GRACE_SECONDS: Final = 5
"""How long requests in hand may go on after the wish to end."""

BACKLOG: Final = 2048
LAST_PORT: Final = 65_535

SEE_LOG: Final = "The log above says why"

EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # recognised, not listened on


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free port. Raises ConfigurationError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= LAST_PORT:
        raise _cannot_listen(host, port, "there is no such port")
    try:
        bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} of {host} is in use",
                hint="Stop what uses it, or choose another port with --port or PORT (0 takes any that is free)",
            ) from error
        raise _cannot_listen(host, port, error.strerror or str(error)) from error
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms for an acknowledgement.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bound.detach())


def _cannot_listen(host: str, port: int, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {host}:{port}: {reason}",
        hint="Choose another address with --host and --port, or HOST and PORT",
    )


def base_url(listener: socket.socket) -> str:
    """Where *listener* is reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    application: Any, listener: socket.socket, stop: asyncio.Event, on_ready: Callable[[], None]
) -> None:
    """Serve until *stop* is set, then let the requests in hand finish. Calls *on_ready* when requests are answered.

    Raises KasparroError when the server does not start, or ends without having been asked to.
    """
    server = _Server(_config(application), on_ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
    if not stop.is_set():
        raise KasparroError("the HTTP server ended by itself", hint=SEE_LOG)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn's way to say that the application did not start
            raise KasparroError("the HTTP server did not start", hint=SEE_LOG) from error
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Config(uvicorn.Config):
    def configure_logging(self) -> None:
        """Logging is configured already, for the whole process; requests are logged by who answers them."""
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def _config(application: Any) -> _Config:
    return _Config(
        application,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
