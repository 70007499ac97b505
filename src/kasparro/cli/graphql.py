"""`kasparro graphql`: the GraphQL schema, for tools that generate clients."""

from __future__ import annotations

import typer

from kasparro.api.graphql.schema import sdl

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def graphql() -> None:
    """GraphQL: print the schema."""


@app.command()
def schema() -> None:
    """Print the GraphQL schema, in the schema definition language; needs no database."""
    typer.echo(sdl(), nl=False)
