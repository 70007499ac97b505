"""`kasparro serve`: the API alone, for as many processes as are wanted."""

from __future__ import annotations

import socket
from typing import Annotated

import structlog
import typer
from uvicorn.loops.auto import auto_loop_factory

from kasparro.api.access import OPEN_PATHS
from kasparro.api.main import create_app
from kasparro.cli.opening import runtime_for
from kasparro.cli.session import begin
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.http_protocol import ServerLimits
from kasparro.core.http_server import base_url, listen
from kasparro.core.http_server import serve as serve_http
from kasparro.runtime import Runtime

log = structlog.get_logger(__name__)
app = typer.Typer(add_completion=False)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; without it HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, 0 for any free one; without it PORT.")
    ] = None,
) -> None:
    """Serve the API alone.

    The schema of a database named by DATABASE_URL is not changed: `kasparro db upgrade` does that.
    """
    settings = begin(context, host=host, port=port)

    async def work(stop: Stop) -> int:
        return await _serve(settings, url, listener, stop)

    with listen(settings.host, settings.port) as listener, database_url(settings) as url:
        raise typer.Exit(run_stoppable(work, Second.EXIT, auto_loop_factory()))


async def _serve(settings: Settings, url: str, listener: socket.socket, stop: Stop) -> int:
    async with runtime_for(settings, url) as runtime:
        await serve_api(runtime, listener, stop)
    return 0


async def serve_api(runtime: Runtime, listener: socket.socket, stop: Stop) -> None:
    """Serve the API until *stop*, and say where it is. Raises KasparroError when it ends without having been asked to."""

    def announce() -> None:
        log.info("api.listening", url=base_url(listener))

    settings = runtime.settings
    limits = ServerLimits(settings.max_connections, settings.request_receipt_seconds, OPEN_PATHS)
    await serve_http(create_app(runtime), listener, stop.event, announce, limits)
