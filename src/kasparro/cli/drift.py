"""`kasparro drift`: how sources have changed the shape of their records, and accepting that."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, textual
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.errors import ConfigurationError, NotFound
from kasparro.ingestion.drift.accepting import accept_all
from kasparro.schemas.drift import Accepted, Decision, DriftView, sentence
from kasparro.schemas.ingest import SourceName
from kasparro.storage.drift import DriftFilter, DriftLedger

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = [
    *textual("source", "field", "kind", "what"),
    *numeric("confidence"),
    *textual("decision", "seen (UTC)", "run"),
]
MOST = 1_000


@app.callback()
def drift() -> None:
    """How the shapes of records have changed, and accepting it."""


@app.command("list")
def list_drifts(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only those of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="The latest so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the latest differences, newest first."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_latest(settings, url, limit, DriftFilter(source)))
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(drift) for drift in found])


@app.command()
def accept(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source that has changed.")],
    field: Annotated[
        str | None, typer.Argument(metavar="[FIELD]", help="The field, as `drift list` names it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything of it that waits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was accepted as JSON.")] = False,
) -> None:
    """Take differences that were quarantined or frozen into the accepted shape of a source."""
    settings = begin(context)
    if (field is None) is not every:
        raise ConfigurationError(
            "what is to be accepted?", hint=f"Name a field, or: kasparro drift accept {source} --all"
        )
    with database_url(settings) as url:
        done = asyncio.run(_accept(settings, url, SourceName(source), field))
    if field is not None and not done.drifts:
        raise NotFound(
            f"nothing of {field!r} waits to be accepted in source {source!r}",
            hint=f"List what does: kasparro drift list --source {source}",
        )
    if as_json:
        print_json(done.drifts)
    else:
        _print(source, done)


def _print(source: str, done: Accepted) -> None:
    for drift in done.drifts:
        print_line(f"{source}: accepted: {_sentence(drift)}")
    if not done.drifts:
        print_line(f"{source}: nothing waits to be accepted")
        return
    if done.waiting:
        print_line(f"{source}: {done.waiting} more wait")
    if any(drift.decision is Decision.FROZEN for drift in done.drifts):
        print_line(f"{source}: `kasparro ingest {source}` goes on after the last committed batch")
    if any(drift.decision is Decision.QUARANTINED for drift in done.drifts):
        print_line(f"{source}: `kasparro normalize {source}` tries the rejected records again")


async def _latest(settings: Settings, url: str, limit: int, which: DriftFilter) -> list[DriftView]:
    async with migrated(settings, url) as database:
        return await DriftLedger(database).latest(limit, 0, which)


async def _accept(settings: Settings, url: str, source: SourceName, field: str | None) -> Accepted:
    async with migrated(settings, url) as database:
        return await DriftLedger(database).accept(source, field, accept_all)


def _row(drift: DriftView) -> list[object]:
    return [
        drift.source,
        drift.field_path,
        drift.kind.value,
        _sentence(drift),
        drift.confidence,
        drift.decision.value,
        drift.detected_at,
        drift.first_seen_run,
    ]


def _sentence(drift: DriftView) -> str:
    return sentence(drift.field_path, drift.kind, drift.before, drift.after, drift.confidence)
