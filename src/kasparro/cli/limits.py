"""`kasparro limits`: how hard the declared sources may be asked just now, and why not harder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_table, textual
from kasparro.cli.session import begin, read_catalog
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.etl_config import SourceDeclaration
from kasparro.schemas.limits import Standing
from kasparro.storage.limits import PostgresLimits

app = typer.Typer(add_completion=False)

COLUMNS: Final = [
    *textual("source", "limit", "not before (UTC)", "because"),
    *numeric("budget used", "failures"),
    *textual("failure"),
]


@app.command()
def limits(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How the limits of the sources stand: budgets used, rests asked for, failures in a row."""
    settings = begin(context)
    declared = read_catalog(settings).sources
    with database_url(settings) as url:
        standings = asyncio.run(_standings(settings, url, declared))
    documents = [_document(source, standing) for source, standing in standings.items()]
    if as_json:
        print_json(documents)
    else:
        print_table(COLUMNS, [list(one.values()) for one in documents])


async def _standings(
    settings: Settings, url: str, declared: Mapping[str, SourceDeclaration]
) -> dict[str, Standing]:
    async with migrated(settings, url) as database:
        return await PostgresLimits(database).of(declared)


def _document(source: str, standing: Standing) -> dict[str, Any]:
    blocked = standing.blocked
    return {
        "source": source,
        "limit": standing.name,
        "not_before": blocked.until if blocked else None,
        "because": blocked.because.value if blocked else None,
        "budget_used": standing.used,
        "failures": standing.failures,
        "failure": standing.failure,
    }
