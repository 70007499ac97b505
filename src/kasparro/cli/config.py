"""`kasparro config`: is the configuration usable, and what may stand in it."""

from __future__ import annotations

from typing import Annotated

import typer

from kasparro.cli.output import print_json, print_line
from kasparro.cli.session import begin, read_catalog
from kasparro.core.errors import ConfigurationError, ConfigurationProblem
from kasparro.core.etl_config import json_schema

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def config() -> None:
    """The configuration: check it, describe it to an editor."""


@app.command()
def validate(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the settings and the catalog; say ok, or everything there is to fix (exit code 2)."""
    settings = begin(context)
    try:
        catalog = read_catalog(settings)
    except ConfigurationError as error:
        if not as_json:
            raise
        print_json({"valid": False, "sources": [], "problems": [_document(p) for p in error.problems]})
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json({"valid": True, "sources": list(catalog.sources), "problems": []})
        return
    print_line(f"ok: {catalog.path}")
    for source in catalog.sources.values():
        print_line(f"  {source.name}: {source.type}{'' if source.enabled else ', disabled'}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the catalog, for editors."""
    print_json(json_schema())


def _document(problem: ConfigurationProblem) -> dict[str, object]:
    return {"file": problem.file, "line": problem.line, "message": problem.message}
