"""`kasparro runs`: the history, newest first, and one run in full."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, shown, textual
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.errors import NotFound
from kasparro.schemas.data import RunSummary
from kasparro.storage.runs import RunFilter, RunHistory

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = [
    *textual("run", "source", "status", "started (UTC)"),
    *numeric("processed", "inserted", "updated", "unchanged", "failed", "duplicates", "deleted", "seconds"),
]
MOST = 1_000


@app.callback()
def runs() -> None:
    """The history of runs."""


@app.command("list")
def list_runs(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only the runs of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="The latest so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the latest runs, newest first."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_latest(settings, url, limit, RunFilter(source)))
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(run) for run in found])


@app.command()
def show(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run, as `runs list` names it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all that is known of one run."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_one(settings, url, run_id))
    if found is None:
        raise NotFound(f"there is no run {run_id!r}", hint="List them: kasparro runs list")
    if as_json:
        print_json(found)
        return
    notices = found.metadata.pop("notices", [])
    for name, value in found:
        print_line(f"{name:<20} {shown(value)}")
    for notice in notices:
        times = f" ({notice['count']:,} times)" if notice["count"] > 1 else ""
        print_line(f"{'notice':<20} {notice['code']}{times}: {notice['message']}")


async def _latest(settings: Settings, url: str, limit: int, which: RunFilter) -> list[RunSummary]:
    async with migrated(settings, url) as database:
        return await RunHistory(database, settings.etl_lease_seconds).runs(limit, 0, which)


async def _one(settings: Settings, url: str, run_id: str) -> RunSummary | None:
    async with migrated(settings, url) as database:
        return await RunHistory(database, settings.etl_lease_seconds).run(run_id)


def _row(run: RunSummary) -> list[object]:
    seconds = None if run.duration_ms is None else f"{run.duration_ms / 1000:.1f}"
    resumes = f" (parked until {run.resume_at:%Y-%m-%d %H:%M:%S})" if run.resume_at else ""
    return [
        run.run_id,
        run.source,
        f"{run.status.value} (stale)" if run.stale else run.status.value + resumes,
        run.start_time,
        run.records_processed,
        run.records_inserted,
        run.records_updated,
        run.records_unchanged,
        run.records_failed,
        run.records_duplicates,
        run.records_deleted,
        seconds,
    ]
