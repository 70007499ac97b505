"""`kasparro sources`: what is declared, whether it can be reached, what its records become. No database is needed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import msgspec
import typer

from kasparro.cli.output import print_json, print_line, print_table, print_texts, textual
from kasparro.cli.session import begin, read_catalog
from kasparro.core.clock import monotonic
from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.core.redaction import for_people
from kasparro.ingestion.ports import Facilities
from kasparro.services.preview import FirstPage, Preview, first_page, preview
from kasparro.services.sampled_parents import SampledParents

app = typer.Typer(no_args_is_help=True, add_completion=False)

NAME = Annotated[str, typer.Argument(metavar="NAME", help="A declared source.")]


@app.callback()
def sources() -> None:
    """The declared sources: list them, check one, preview what its records become."""


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
    """Fetch the first page of a source and say what came, writing nothing (exit code 1: it cannot be read)."""
    catalog = read_catalog(begin(context))
    source, parents = catalog.source(name), SampledParents(catalog)
    started = monotonic()
    try:
        page = asyncio.run(first_page(source, facilities=Facilities(parents=parents)))
    except SourceError as error:
        if not as_json:
            raise
        print_json(
            {"source": name, "reachable": False, "error_code": error.code, "error": for_people(str(error))}
        )
        raise typer.Exit(error.exit_code) from None
    found = _checked(name, page, round((monotonic() - started) * 1000))
    if as_json:
        print_json(found)
        return
    for fact, value in found.items():
        print_line(f"{fact:<12} {', '.join(value) if isinstance(value, list) else value}")


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


def _document(source: SourceDeclaration) -> dict[str, Any]:
    return {
        "name": source.name,
        "type": source.type,
        "enabled": source.enabled,
        "schedule": source.schedule,
        "location": source.location if isinstance(source, CsvSource) else source.url,
        "description": source.description,
    }


def _checked(name: str, page: FirstPage, milliseconds: int) -> dict[str, Any]:
    first = page.previews[0] if page.previews else None
    record = json.loads(first.record) if first and first.record else {}
    return {
        "source": name,
        "reachable": True,
        "milliseconds": milliseconds,
        "bytes": page.size,
        "records": page.records,
        "rejects": sum(one.reject is not None for one in page.previews),
        "total": page.total,
        "more": page.more,
        "notices": [notice.message for notice in page.notices],
        "keys": _keys(first),
        "identity": record.get("source_id"),
        "problem": f"{first.reject.reason.value}: {first.reject.message}" if first and first.reject else None,
    }


def _keys(first: Preview | None) -> list[str]:
    received = _parsed(first.raw) if first else None
    return list(received) if isinstance(received, dict) else []


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
