"""`kasparro checkpoints`: where each source stands, and sending one back to its beginning."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, textual
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.schemas.data import CheckpointView
from kasparro.storage.checkpoints import Checkpoints

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = [
    *textual("source", "status"),
    *numeric("records", "version"),
    *textual("last record", "up to (UTC)", "checkpoint (UTC)", "resumes"),
]


@app.callback()
def checkpoints() -> None:
    """Where each source stands."""


@app.command("list")
def list_checkpoints(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the checkpoints, by source."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_all(settings, url))
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(checkpoint) for checkpoint in found])


@app.command()
def reset(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source to send back.")],
) -> None:
    """Let the next run of a source begin at its beginning.

    No data is deleted: records that are unchanged are recognised and not written again.
    """
    settings = begin(context)
    with database_url(settings) as url:
        asyncio.run(_reset(settings, url, source))
    print_line(f"{source}: the next run begins at the beginning")


async def _all(settings: Settings, url: str) -> list[CheckpointView]:
    async with migrated(settings, url) as database:
        return await Checkpoints(database).all()


async def _reset(settings: Settings, url: str, source: str) -> None:
    async with migrated(settings, url) as database:
        await Checkpoints(database).move(source, None)


def _row(checkpoint: CheckpointView) -> list[object]:
    return [
        checkpoint.source,
        checkpoint.status,
        checkpoint.record_count,
        checkpoint.version,
        checkpoint.last_processed_id,
        checkpoint.last_processed_timestamp,
        checkpoint.checkpoint_timestamp,
        "at the beginning" if checkpoint.cursor is None else "after the checkpoint",
    ]
