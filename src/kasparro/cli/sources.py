"""`kasparro sources`: what is declared, whether it can be reached, what its records become. No database is needed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from kasparro.cli.checking import check_document, print_check
from kasparro.cli.drafting import Wanted, draft_source
from kasparro.cli.output import print_json, print_table, print_texts, textual
from kasparro.cli.session import begin, read_catalog
from kasparro.core.etl_config import CsvSource, SingerSource, SourceDeclaration
from kasparro.ingestion.ports import Facilities
from kasparro.services.preview import Preview, preview
from kasparro.services.sampled_parents import SampledParents
from kasparro.services.source_check import check_source

app = typer.Typer(no_args_is_help=True, add_completion=False)

NAME = Annotated[str, typer.Argument(metavar="NAME", help="A declared source.")]


@app.callback()
def sources() -> None:
    """The declared sources: list them, check one, preview what its records become, draft a new one."""


@app.command("list")
def list_sources(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the declared sources."""
    declared = read_catalog(begin(context)).sources.values()
    documents = [_document(source) for source in declared]
    if as_json:
        print_json(documents)
    else:
        print_table(textual(*documents[0]) if documents else [], [list(one.values()) for one in documents])


@app.command()
def check(
    context: typer.Context,
    name: NAME,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a source step by step, to its first records, writing nothing (exit code 1: a step failed)."""
    catalog = read_catalog(begin(context))
    source, parents = catalog.source(name), SampledParents(catalog)
    found = asyncio.run(check_source(source, Facilities(parents=parents)))
    if as_json:
        print_json(check_document(name, found))
    else:
        print_check(found)
        if found.error is not None:
            raise found.error
    raise typer.Exit(int(found.failed))


@app.command("preview")
def preview_source(
    context: typer.Context,
    name: NAME,
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=1_000, help="How many records.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the first records of a source as received and as they would be stored, writing nothing."""
    catalog = read_catalog(begin(context))
    source, parents = catalog.source(name), SampledParents(catalog)
    found = asyncio.run(preview(source, number, Facilities(parents=parents)))
    if as_json:
        text = msgspec.json.encode([_previewed(one) for one in found])
        sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")
        return
    print_texts(["received", "becomes"], [(_pretty(one.raw), _becomes(one)) for one in found])


@app.command("init")
def draft_declaration(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="URL|FILE", help="An API's address, or a CSV file or its address.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="The source's name; without it, from the address.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value', sent with each request.")
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth",
            help="bearer:VARIABLE, header:NAME:VARIABLE, query:NAME:VARIABLE or basic:USER:VARIABLE.",
        ),
    ] = None,
    records: Annotated[
        int, typer.Option("--records", "-n", min=1, max=10_000, help="Records to look at.")
    ] = 100,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The catalog to add it to, or to make; without it, stdout."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a source of the same name in that catalog.")
    ] = False,
) -> None:
    """Fetch a sample and draft a declaration, with a reason for each line; credentials are never written."""
    begin(context)
    wanted = Wanted(target, name, header or [], auth, records, output, force)
    asyncio.run(draft_source(wanted))


def _document(source: SourceDeclaration) -> dict[str, Any]:
    return {
        "name": source.name,
        "type": source.type,
        "enabled": source.enabled,
        "schedule": source.schedule,
        "location": _location(source),
        "description": source.description,
    }


def _location(source: SourceDeclaration) -> str:
    match source:
        case CsvSource():
            return source.location
        case SingerSource():
            return source.command[0]  # arguments may hold what is not for everybody
        case _:
            return source.url


def _previewed(one: Preview) -> dict[str, Any]:
    """The texts themselves go into the document: nothing of a number's digits is lost on the way."""
    reject = one.reject
    return {
        "received": one.raw.decode("utf-8", "replace") if _parsed(one.raw) is None else msgspec.Raw(one.raw),
        "becomes": None if one.record is None else msgspec.Raw(one.record),
        "reject": reject
        and {"reason": reject.reason.value, "field": reject.field, "message": reject.message},
    }


def _becomes(one: Preview) -> str:
    if one.record is not None:
        return _pretty(one.record)
    return f"rejected: {one.reject.reason.value}: {one.reject.message}" if one.reject else ""


def _pretty(text: bytes) -> str:
    if _parsed(text) is None:
        return text.decode("utf-8", "replace")
    return msgspec.json.format(text, indent=2).decode()


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
