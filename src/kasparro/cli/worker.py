"""`kasparro worker`: executes queued and scheduled runs; any number of them share the work."""

from __future__ import annotations

import typer

from kasparro.cli.opening import runtime_for
from kasparro.cli.session import begin, give_way
from kasparro.cli.stopping import Second, Stop, run_stoppable, until_stopped
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.runtime import Runtime
from kasparro.worker.main import run_worker

app = typer.Typer(add_completion=False)


@app.command()
def worker(context: typer.Context) -> None:
    """Execute queued and scheduled runs, until it is told to stop.

    The schema of a database named by DATABASE_URL is not changed: `kasparro db upgrade` does that.
    """
    settings = begin(context)

    async def work(stop: Stop) -> int:
        return await _work(settings, url, stop)

    with database_url(settings) as url:
        give_way(settings)
        raise typer.Exit(run_stoppable(work, Second.EXIT))


async def _work(settings: Settings, url: str, stop: Stop) -> int:
    async with runtime_for(settings, url) as runtime:
        await work_until(runtime, stop)
    return 0


async def work_until(runtime: Runtime, stop: Stop) -> None:
    """Run a worker until *stop*. Raises KasparroError when it ends without having been asked to."""
    await until_stopped("worker", run_worker(runtime, stop=stop.event), stop.event)
