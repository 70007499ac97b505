"""`kasparro keys`: keys of the API that are kept in the database, made and revoked while it serves."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from kasparro.cli.opening import migrated
from kasparro.cli.output import numeric, print_json, print_line, print_table, textual
from kasparro.cli.session import begin
from kasparro.core import clock
from kasparro.core.config import Scope, Settings
from kasparro.core.database import database_url
from kasparro.core.durations import parse_duration
from kasparro.core.errors import ConfigurationError
from kasparro.schemas.keys import ApiKeyView, KeyOrder, prefix_of
from kasparro.storage.api_keys import ApiKeys

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = [
    *textual("key", "name", "scope", "state"),
    *numeric("per minute"),
    *textual("created (UTC)", "expires (UTC)"),
]
LONGEST_NAME = 100
MOST_PER_MINUTE = 10_000_000


@app.callback()
def keys() -> None:
    """Keys of the API that are kept in the database."""


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what it is for.")],
    scope: Annotated[Scope, typer.Option(help="What it may do; admin includes read.")] = Scope.READ,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it is good for, such as 90d.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PER_MINUTE, help="Requests a minute; without it RATE_LIMIT_PER_MINUTE."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    settings = begin(context)
    order = KeyOrder(_name(name), scope, _moment(expires), rate)
    with database_url(settings) as url:
        key = asyncio.run(_create(settings, url, order))
    if as_json:
        print_json({"key": key, "prefix": prefix_of(key), "scope": scope, "expires_at": order.expires_at})
    else:
        print_line(key)
    if not settings.keys_are_needed:
        typer.echo("note: this server asks for no key; set REQUIRE_KEYS=true", err=True)


@app.command("list")
def list_keys(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the keys that were ever made, by their beginning."""
    settings = begin(context)
    with database_url(settings) as url:
        found = asyncio.run(_all(settings, url))
    if as_json:
        now = clock.now()
        print_json([{**key.model_dump(mode="json"), "state": key.state(now)} for key in found])
    else:
        print_table(COLUMNS, [_row(key) for key in found])


@app.command()
def revoke(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Its beginning, as `keys list` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Revoke a key. Processes that serve refuse it within two seconds."""
    settings = begin(context)
    with database_url(settings) as url:
        revoked = asyncio.run(_revoke(settings, url, prefix_of(prefix) or prefix))
    if as_json:
        print_json(revoked)
    else:
        print_line(f"{revoked.prefix} ({revoked.name}): revoked")


def _name(name: str) -> str:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"NAME: must be 1 to {LONGEST_NAME} printable characters")
    return name


def _moment(expires: str | None) -> datetime | None:
    if expires is None:
        return None
    try:
        length = parse_duration(expires)
        moment = clock.now() + length
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"--expires: {error}") from error
    if not length:
        raise ConfigurationError("--expires: must be longer than nothing")
    return moment


async def _create(settings: Settings, url: str, order: KeyOrder) -> str:
    async with migrated(settings, url) as database:
        return await ApiKeys(database).create(order)


async def _all(settings: Settings, url: str) -> list[ApiKeyView]:
    async with migrated(settings, url) as database:
        return await ApiKeys(database).all()


async def _revoke(settings: Settings, url: str, prefix: str) -> ApiKeyView:
    async with migrated(settings, url) as database:
        return await ApiKeys(database).revoke(prefix)


def _row(key: ApiKeyView) -> list[object]:
    return [
        key.prefix,
        key.name,
        key.scope.value,
        key.state(clock.now()),
        key.rate_per_minute,
        key.created_at,
        key.expires_at,
    ]
