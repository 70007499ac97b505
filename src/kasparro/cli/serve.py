"""`kasparro serve`: the API alone, for as many processes as are wanted."""

from __future__ import annotations

import socket
from typing import Annotated

import typer
from uvicorn.loops.auto import auto_loop_factory

from kasparro.cli.opening import migrated, runtime_for
from kasparro.cli.serve_workers import supervise
from kasparro.cli.serving import serve_api
from kasparro.cli.session import begin, read_catalog
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.http_server import listen

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; without it HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, 0 for any free one; without it PORT.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that serve; without it SERVE_WORKERS.")
    ] = None,
) -> None:
    """Serve the API alone.

    The schema of a database named by DATABASE_URL is not changed: `kasparro db upgrade` does that.
    """
    settings = begin(context, host=host, port=port, serve_workers=workers)

    async def work(stop: Stop) -> int:
        return await _serve(settings, url, listener, stop)

    with listen(settings.host, settings.port) as listener, database_url(settings) as url:
        raise typer.Exit(run_stoppable(work, Second.EXIT, auto_loop_factory()))


async def _serve(settings: Settings, url: str, listener: socket.socket, stop: Stop) -> int:
    if settings.serve_workers > 1:
        read_catalog(settings)  # said once, not by each of them
        async with migrated(settings, url):
            pass
        await supervise(settings, url, listener, stop)
        return 0
    async with runtime_for(settings, url) as runtime:
        await serve_api(runtime, listener, stop)
    return 0
