"""The commands, by name: their help is known here, their module is imported when one of them is called.

Importing them all (the database driver, the web framework, the job queue) takes seconds on a small machine, and
`kasparro --help`, `--version` and a mistyped option need none of it. A test holds each help against its module.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as command_of

COMMANDS: Final = {
    "up": "Everything in one process: database, first ingest, API and worker, until Ctrl-C.",
    "ingest": "Ingest sources now, in the foreground.",
    "serve": "Serve the API alone.",
    "worker": "Execute queued and scheduled runs, until it is told to stop.",
    "sources": "The declared sources: list them, check one, preview what its records become, draft a new one.",
    "export": "Export records as NDJSON, CSV, Parquet or an Arrow stream.",
    "limits": "How the limits of the sources stand: budgets used, rests asked for, failures in a row.",
    "runs": "The history of runs.",
    "drift": "How the shapes of records have changed, and accepting it.",
    "entities": "The things that records speak of, and deciding which speaks of which.",
    "checkpoints": "Where each source stands.",
    "normalize": "Normalise stored raw records again under today's mapping, fetching nothing.",
    "keys": "Keys of the API that are kept in the database.",
    "db": "The database: its schema, its address, a prompt.",
    "config": "The configuration: check it, describe it to an editor.",
    "graphql": "GraphQL: print the schema.",
    "doctor": "Check this installation and say what to do about what is wrong.",
    "playground": "Serve the sample REST APIs alone.",
}


class CommandTable(TyperGroup):
    """A group whose commands are listed from the table and imported one at a time."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the signature is Typer's
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


def listed_commands() -> dict[str, Any]:
    """A stand-in for every command: its name and its help."""
    return {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}


def load_command(name: str) -> Any:
    """The command itself: `app` of the module of its name.

    What is imported stays: looking for garbage in it, now and at every later collection, would be for nothing.
    """
    gc.disable()
    app: typer.Typer = import_module(f"kasparro.cli.{name}").app
    gc.freeze()
    gc.enable()
    command = command_of(app)
    command.name = name
    return command
