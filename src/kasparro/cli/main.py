"""The entry point `kasparro`: global options, and the one edge where errors become messages and exit codes.

0: all well. 1: it did not work, or a source failed. 2: wrong usage or configuration. 130, 143: stopped by Ctrl-C or SIGTERM,
in good order.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from kasparro import __version__
from kasparro.cli.command_table import CommandTable, listed_commands
from kasparro.core.errors import ConfigurationError, KasparroError
from kasparro.core.redaction import for_people, redact_text

DEFECT: Final = 1
INTERRUPTED: Final = 130
THREAD_SWITCH: Final = 0.001
"""Seconds a thread that computes may keep the others waiting: the one that feeds PostgreSQL needs a moment, and often."""

app = typer.Typer(cls=CommandTable, no_args_is_help=True, rich_markup_mode="rich")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"kasparro {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="The catalog of sources; without it KASPARRO_CONFIG, else kasparro.yaml."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Many sources in, one traceable dataset in PostgreSQL out, served live over HTTP."""
    del version
    context.obj = config


def run() -> None:
    """Run the command line and exit."""
    sys.setswitchinterval(THREAD_SWITCH)
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    command.commands.update(listed_commands())  # type: ignore[attr-defined]  # it is a CommandTable
    try:
        return int(command.main(list(arguments), prog_name="kasparro", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the edge: nothing leaves it but a message and an exit code
        return report(error)


def report(error: BaseException) -> int:
    """Say on stderr what went wrong, and return the exit code."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        for line in _lines(leaf):
            typer.echo(line, err=True)
    if logging.getLogger("kasparro").isEnabledFor(logging.DEBUG):
        typer.echo(redact_text("".join(traceback.format_exception(error))), err=True)
    return max(_exit_code(leaf) for leaf in leaves)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _lines(error: BaseException) -> Iterator[str]:
    match error:
        case typer.TyperException():
            yield f"error: {for_people(error.format_message()) or 'which command?'}"
            yield "hint: kasparro --help lists the commands, kasparro COMMAND --help their options"
        case ConfigurationError():
            yield from (
                f"error: {for_people(str(problem))}" for problem in error.problems or (error.message,)
            )
        case KasparroError():
            yield f"error: {for_people(error.message)}"
        case _:
            yield f"error: a defect in Kasparro: {type(error).__name__}: {for_people(str(error))} {_place(error)}"
            yield "hint: run it again with LOG_LEVEL=DEBUG for the traceback, and report it"
    if isinstance(error, KasparroError) and error.hint:
        yield f"hint: {for_people(error.hint)}"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _exit_code(error: BaseException) -> int:
    return error.exit_code if isinstance(error, KasparroError | typer.TyperException) else DEFECT
