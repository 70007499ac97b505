"""`kasparro normalize`: what was received, normalised again under today's mapping. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from kasparro.cli.ingest import show
from kasparro.cli.ingesting import run_each
from kasparro.cli.opening import runtime_for
from kasparro.cli.progress import progress
from kasparro.cli.session import begin, chosen, read_catalog
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.schemas.ingest import RunReport, Trigger
from kasparro.services.ingestion import Request

app = typer.Typer(add_completion=False)


@app.command()
def normalize(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="A source; without it, all that are enabled.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Normalise stored raw records again under today's mapping, fetching nothing.

    Use it after a change of `map` in the catalog: records that fit now come out of quarantine.
    """
    settings = begin(context)
    names = [declared.name for declared in chosen(read_catalog(settings), [source] if source else [])]

    async def work(stop: Stop) -> int:
        return await _normalize(settings, url, names, stop, as_json=as_json)

    with database_url(settings) as url:
        raise typer.Exit(run_stoppable(work, Second.CANCEL))


async def _normalize(settings: Settings, url: str, names: Sequence[str], stop: Stop, *, as_json: bool) -> int:
    async with runtime_for(settings, url) as runtime:
        with progress(names) as observe:

            async def run(name: str) -> RunReport:
                asked = Request(trigger=Trigger.REPLAY, observe=observe, stop=stop.event)
                return await runtime.ingestion.normalize_data(name, asked)

            ended = await run_each(names, run, stop.event)
        await show(runtime, ended, as_json=as_json)
    return int(any(one.failed for one in ended))
