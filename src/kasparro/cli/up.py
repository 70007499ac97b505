"""`kasparro up`: the whole product in one process.

    database -> playground, if asked for -> API -> first ingest of what is enabled -> worker, until Ctrl-C

The API answers while the first ingest runs. The worker begins after it, so that a schedule that was missed while nothing ran
does not compete with it for the same source. Where the API or the worker ends by itself, the process says so and ends too.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from uvicorn.loops.auto import auto_loop_factory

from kasparro.cli.ingest import show
from kasparro.cli.ingesting import run_each
from kasparro.cli.opening import runtime_for
from kasparro.cli.output import print_line
from kasparro.cli.playground import environment_of
from kasparro.cli.progress import progress
from kasparro.cli.serving import serve_api
from kasparro.cli.session import begin, chosen, read_catalog
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.cli.worker import work_until
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.errors import ConfigurationError
from kasparro.core.http_server import base_url, listen
from kasparro.core.redaction import register_secret
from kasparro.playground import PlaygroundKeys, serve_playground
from kasparro.runtime import Runtime
from kasparro.schemas.ingest import RunReport

app = typer.Typer(add_completion=False)


@app.command()
def up(
    context: typer.Context,
    playground: Annotated[
        bool, typer.Option(help="Serve the sample REST APIs as well, and let the catalog find them.")
    ] = False,
    ingest: Annotated[bool, typer.Option(help="Ingest what is enabled before the worker takes over.")] = True,
    host: Annotated[str | None, typer.Option(help="Address to listen on; without it HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, 0 for any free one; without it PORT.")
    ] = None,
) -> None:
    """Everything in one process: database, first ingest, API and worker, until Ctrl-C.

    Ctrl-C finishes the batches in hand; a second one ends at once.
    """
    settings = begin(context, host=host, port=port)
    if not playground:
        _check_catalog(settings)

    async def work(stop: Stop) -> int:
        async with AsyncExitStack() as stack:
            environ = await _with_playground(stack) if playground else None
            runtime = await stack.enter_async_context(
                runtime_for(settings, url, migrate=True, environ=environ)
            )
            await _run_all(runtime, listener, stop, ingest=ingest)
        return 0

    with listen(settings.host, settings.port) as listener, database_url(settings) as url:
        raise typer.Exit(run_stoppable(work, Second.EXIT, auto_loop_factory()))


def _check_catalog(settings: Settings) -> None:
    """Say what is wrong before anything is started."""
    try:
        read_catalog(settings)
    except ConfigurationError as error:
        if error.hint or "PLAYGROUND_" not in str(error):
            raise
        raise ConfigurationError(
            *error.problems,
            hint="The PLAYGROUND_* variables are set by: kasparro up --playground",
        ) from error


async def _with_playground(stack: AsyncExitStack) -> Mapping[str, str]:
    """Serve the sample APIs, and return the environment in which the catalog finds them."""
    keys = PlaygroundKeys.generate()
    register_secret(keys.api_key)
    register_secret(keys.token)
    url = await stack.enter_async_context(serve_playground(keys))
    return {**os.environ, **environment_of(url, keys)}


async def _run_all(runtime: Runtime, listener: socket.socket, stop: Stop, *, ingest: bool) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_api(runtime, listener, stop), name="api")
        if ingest:
            await _first_ingest(runtime, stop)
        if not stop.event.is_set():
            group.create_task(work_until(runtime, stop), name="worker")
            print_addresses(runtime, base_url(listener))


async def _first_ingest(runtime: Runtime, stop: Stop) -> None:
    names = [source.name for source in chosen(runtime.catalog, [])]
    with progress(names) as observe:

        async def run(source: str) -> RunReport:
            return await runtime.ingestion.ingest(source, observe=observe, stop=stop.event)

        ended = await run_each(names, run, stop.event, runtime.catalog.needs)
    if ended:
        await show(runtime, ended, as_json=False)


def print_addresses(runtime: Runtime, url: str) -> None:
    """What to try first."""
    settings = runtime.settings
    key = ' -H "X-API-Key: $KEY"' if settings.keys_are_needed and not settings.public_read else ""
    print_line(f"Kasparro serves at {url}; Ctrl-C ends it. Try:")
    print_line()
    for path in ("/data?limit=3", "/stats", "/health"):
        print_line(f"  curl{key} '{url}{path}'")
    for source in list(runtime.catalog.sources)[:1]:
        print_line(f"  curl{key} '{url}/data?source={source}&limit=100&offset=0'")
    print_line(f"  open {url}/docs")
