"""Serve an ASGI application in the caller's event loop: the API, the playground. Signals, logging and loop stay the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import uvicorn

from kasparro.core import clock
from kasparro.core.cancelling import cancelled
from kasparro.core.errors import ConfigurationError, KasparroError
from kasparro.core.http_protocol import Porter, ServerLimits
from kasparro.core.log_flood import OncePerSecond

GRACE_SECONDS: Final = 5
"""How long requests in hand may go on after the wish to end."""

BACKLOG: Final = 2048
OWN_FILES: Final = 100
"""Descriptors that are not for HTTP connections: the database's, logs, whatever is read meanwhile."""

FLOODED: Final = ("asyncio", "uvicorn.error")
"""Loggers whose lines a client can cause: connections that cannot be accepted, requests that are none."""

MOST_MESSAGE: Final = 128 * 1024
"""Bytes of a WebSocket message."""

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
    application: Any,
    listener: socket.socket,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    limits: ServerLimits | None = None,
) -> None:
    """Serve until *stop* is set, then let the requests in hand finish. Calls *on_ready* when requests are answered.

    Raises KasparroError when the server does not start, or ends without having been asked to.
    """
    affordable, backlog = _affordable(limits or ServerLimits(), _descriptors())
    porter = Porter(affordable)
    server = _Server(_config(application, porter, backlog), on_ready)
    with _no_flood():
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
        stopping = asyncio.create_task(stop.wait())
        sweeping = asyncio.create_task(porter.sweep(), name="http deadlines")
        try:
            await asyncio.wait((serving, stopping, sweeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving
            await cancelled(sweeping)
    if not stop.is_set():
        raise KasparroError("the HTTP server ended by itself", hint=SEE_LOG)


def _affordable(wanted: ServerLimits, descriptors: int) -> tuple[ServerLimits, int]:
    """*wanted* with no more connections than there are descriptors for, and how many may queue to be accepted.

    All that queue are accepted at once, before any of them can be turned away: they need descriptors as well.
    """
    free = max(2, descriptors - OWN_FILES)
    connections = min(wanted.connections, free * 3 // 4 or 1)
    return replace(wanted, connections=connections), min(BACKLOG, free - connections)


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextlib.contextmanager
def _no_flood() -> Iterator[None]:
    quiet = OncePerSecond(clock.monotonic)
    loggers = [logging.getLogger(name) for name in FLOODED]
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


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


def _config(application: Any, porter: Porter, backlog: int) -> _Config:
    return _Config(
        application,
        http=porter.protocol,  # type: ignore[arg-type]  # a factory will do
        backlog=backlog,
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE,
        ws_per_message_deflate=False,  # a compressed message says nothing of its size
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
