"""`kasparro export`: the dataset as a file, or to stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kasparro.cli.opening import runtime_for
from kasparro.cli.output import print_json
from kasparro.cli.session import begin
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.core.config import Settings
from kasparro.core.database import database_url
from kasparro.core.errors import ConfigurationError, InvalidParameter
from kasparro.schemas.export import ExportFormat, Formulas
from kasparro.schemas.query import RecordQuery
from kasparro.services.change_text import parse_export
from kasparro.services.export_parts import Part

log = structlog.get_logger(__name__)
app = typer.Typer(add_completion=False)


@app.command()
def export(
    context: typer.Context,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="What the file is to be.")
    ] = ExportFormat.NDJSON,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; it appears when it is whole. Without it, stdout."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only records of this source.")] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FIELD=VALUE", help="Only records that meet this; may be repeated."),
    ] = None,
    sort: Annotated[str | None, typer.Option(help="The order, as GET /data takes it.")] = None,
    fields: Annotated[str | None, typer.Option(help="Only these fields, as GET /data takes them.")] = None,
    formulas: Annotated[
        Formulas, typer.Option(help="Whether CSV cells that a spreadsheet would execute get an apostrophe.")
    ] = Formulas.ESCAPE,
    as_json: Annotated[bool, typer.Option("--json", help="With --output: print a report as JSON.")] = False,
) -> None:
    """Export records as NDJSON, CSV, Parquet or an Arrow stream.

    The conditions are those of GET /data: `--filter category=airport`, `--filter 'title[contains]=Field'`.
    """
    settings = begin(context)
    query = _query(source, conditions or [], sort, fields)
    if as_json and output is None:
        raise ConfigurationError("--json needs --output", hint="Without a file, stdout is the export")

    async def work(_stop: Stop) -> int:
        records, size = await _export(settings, url, query, form, formulas, output)
        if as_json:
            print_json({"output": str(output), "format": form.value, "records": records, "bytes": size})
        else:
            log.info("export.ended", records=records, bytes=size)
        return 0

    with database_url(settings) as url:
        raise typer.Exit(run_stoppable(work, Second.CANCEL))


def _query(source: str | None, conditions: list[str], sort: str | None, fields: str | None) -> RecordQuery:
    pairs = [("source", source), ("sort", sort), ("fields", fields)]
    for condition in conditions:
        name, separator, value = condition.partition("=")
        if not separator:
            raise ConfigurationError(f"--filter {condition}: must be FIELD=VALUE")
        pairs.append((name, value))
    try:
        return parse_export([(name, text) for name, text in pairs if text is not None])
    except InvalidParameter as error:
        raise ConfigurationError(f"{error.parameter}: {error.message}", hint=error.hint) from error


async def _export(
    settings: Settings,
    url: str,
    query: RecordQuery,
    form: ExportFormat,
    formulas: Formulas,
    output: Path | None,
) -> tuple[int, int]:
    """Write the file; say how many records and bytes it has."""
    async with runtime_for(settings, url) as runtime:
        parts = runtime.export.parts(query, form, formulas)
        if output is None:
            return await _written(parts, sys.stdout.buffer)
        with _appearing(output) as file:
            return await _written(parts, file)


async def _written(parts: AsyncGenerator[Part, None], file: BinaryIO) -> tuple[int, int]:
    records, size = 0, 0
    with _progress() as progress:
        task = progress.add_task("export", total=None, records=0)
        async with aclosing(parts):
            async for part in parts:
                await asyncio.to_thread(file.write, part.data)
                records += part.records
                size += len(part.data)
                progress.update(task, records=records)
    await asyncio.to_thread(file.flush)
    return records, size


def _progress() -> Progress:
    """On a terminal only, and on stderr: stdout may be the export."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("[cyan]{task.fields[records]:,} records"),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def _appearing(output: Path) -> Iterator[BinaryIO]:
    """A file beside *output* that takes its name when all is written, and vanishes when that fails."""
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
