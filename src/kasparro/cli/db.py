"""`kasparro db`: bring the schema up to date, say where the database is, open a prompt on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from kasparro.cli.output import print_line
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.database import database_url, plain_url, shown_url
from kasparro.core.embedded import EmbeddedPostgres
from kasparro.core.embedded.binaries import find_binaries
from kasparro.core.errors import EmbeddedServerError, KasparroError
from kasparro.storage import schema

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def db() -> None:
    """The database: its schema, its address, a prompt."""


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the schema up to date; safe to run at any time, by several at once."""
    with database_url(begin(context)) as url:
        revision = asyncio.run(schema.upgrade(url))
    print_line(f"the database is at revision {revision}")


@app.command("url")
def show_url(
    context: typer.Context,
    show_password: Annotated[
        bool, typer.Option("--show-password", help="With the password, if there is one.")
    ] = False,
) -> None:
    """Print the address of the database.

    The embedded server runs only while a command of Kasparro does.
    """
    address = _address(begin(context))
    typer.echo(address if show_password else shown_url(address))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGUMENT]...", help="What psql is to be called with.")
    ] = None,
) -> None:
    """Open psql on the database."""
    settings = begin(context)
    program = _psql()
    with database_url(settings) as url:
        raise typer.Exit(_run_psql(program, url, [*(arguments or []), *context.args]))


def _address(settings: Settings) -> str:
    if settings.database_url is not None:
        return plain_url(settings.database_url.get_secret_value())
    return EmbeddedPostgres(settings.data_dir).url


def _run_psql(program: str, url: str, arguments: list[str]) -> int:
    """A child, not `exec`: the embedded server runs as long as this process does. Ctrl-C is for psql alone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(  # noqa: S603  # psql, asked for by the user
            [program, *arguments, _without_password(url)],
            env=os.environ | _password(url),
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # no threads yet
        ).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _without_password(url: str) -> str:
    """Command lines are visible to every user of the machine."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}").geturl()


def _password(url: str) -> dict[str, str]:
    password = urlsplit(url).password
    return {} if password is None else {"PGPASSWORD": unquote(password)}


def _psql() -> str:
    """The psql beside the embedded server's programs, else the one on the PATH."""
    try:
        beside: Path | None = find_binaries(os.environ).directory / "psql"
    except EmbeddedServerError:
        beside = None
    if beside and os.access(beside, os.X_OK):
        return str(beside)
    if found := shutil.which("psql"):
        return found
    raise KasparroError("there is no psql on this machine", hint="Install PostgreSQL's client programs")
