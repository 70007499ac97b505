"""`kasparro ingest`: sources now, in the foreground, under the same lease that workers take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated

import typer

from kasparro.cli.dry_run import DryRuns, show_dry_runs
from kasparro.cli.ingesting import Ended, run_each
from kasparro.cli.opening import not_made_yet, runtime_for
from kasparro.cli.output import print_json
from kasparro.cli.progress import progress
from kasparro.cli.session import begin, chosen, give_way, read_catalog
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.cli.summary import Reasons, ShapeChanges, as_document, print_summary
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.errors import ConfigurationError, StorageError
from kasparro.runtime import Runtime
from kasparro.schemas.ingest import NoticeCode, RunReport
from kasparro.services.ingestion import Request
from kasparro.storage.diagnostics import Diagnostics

app = typer.Typer(add_completion=False)


@app.command()
def ingest(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Sources; without any, all that are enabled."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Fetch from the beginning, whatever the checkpoint says.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Ask also a source that is parked or left alone because it failed."),
    ] = False,
    dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Fetch and compare, and say what would be written; write nothing."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="With --dry-run: the most records of each source.")
    ] = None,
    allow: Annotated[
        bool,
        typer.Option(
            "--allow-deletions", help="Let a source with snapshot: true lose more than half of its records."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Ingest sources now, in the foreground.

    Ctrl-C finishes the batch in hand and leaves a checkpoint to resume from; a second one gives the batch up.
    """
    settings = begin(context)
    catalog = read_catalog(settings)
    declared = chosen(catalog, sources or [])
    names = [source.name for source in declared]
    if not names:
        raise ConfigurationError("no source is enabled", hint="Name one, or set enabled: true in the catalog")
    if limit is not None and not dry:
        raise ConfigurationError("--limit goes with --dry-run only", hint="A run loads all there is")
    if dry:
        raise typer.Exit(
            _dry(settings, DryRuns(settings, catalog, declared, full, limit, allow), as_json=as_json)
        )

    async def work(stop: Stop) -> int:
        return await _ingest(settings, url, names, stop, Options(full, force, allow, as_json))

    with database_url(settings) as url:
        give_way(settings)
        raise typer.Exit(run_stoppable(work, Second.CANCEL))


@dataclass(frozen=True, slots=True)
class Options:
    full: bool
    force: bool
    allow_deletions: bool
    as_json: bool


def _dry(settings: Settings, runs: DryRuns, *, as_json: bool) -> int:
    """Look at the database, if there is one: looking must not make it."""
    with nullcontext() if not_made_yet(settings) else database_url(settings) as url:
        return run_stoppable(lambda stop: show_dry_runs(runs, url, stop, as_json=as_json), Second.CANCEL)


async def _ingest(settings: Settings, url: str, names: Sequence[str], stop: Stop, options: Options) -> int:
    async with runtime_for(settings, url, migrate=True) as runtime:
        with progress(names) as observe:

            async def run(source: str) -> RunReport:
                request = Request(
                    full=options.full,
                    force=options.force,
                    observe=observe,
                    stop=stop.event,
                    allow_deletions=options.allow_deletions,
                )
                return await runtime.ingestion.ingest_as(source, request)

            ended = await run_each(names, run, stop.event, runtime.catalog.needs)
        await show(runtime, ended, as_json=options.as_json)
    return int(any(one.failed for one in ended))


async def show(runtime: Runtime, ended: Sequence[Ended], *, as_json: bool) -> None:
    """Print how the runs ended, with the reasons of their rejects and how their records have changed in shape."""
    reasons, changes = await _reasons(runtime, ended), await _shape_changes(runtime, ended)
    if as_json:
        print_json(as_document(ended, reasons, changes))
    else:
        print_summary(ended, reasons, changes)


async def _reasons(runtime: Runtime, ended: Sequence[Ended]) -> Reasons:
    rejecting = [one.report.run_id for one in ended if one.report and one.report.counters.failed]
    if not rejecting:
        return {}
    try:
        return await Diagnostics(runtime.database).reject_reasons(rejecting)
    except StorageError:
        return {}  # the reports stand without them


async def _shape_changes(runtime: Runtime, ended: Sequence[Ended]) -> ShapeChanges:
    try:
        runs = [await runtime.history.run(one.run_id) for one in ended if one.run_id]
    except StorageError:
        return {}  # likewise
    return {
        run.run_id: notice["message"]
        for run in runs
        if run is not None
        for notice in run.metadata.get("notices", ())
        if notice["code"] == NoticeCode.SCHEMA_DRIFT
    }
