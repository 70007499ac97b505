"""`kasparro playground`: the sample REST APIs alone, for catalogs and clients to be tried on."""

from __future__ import annotations

import os
import secrets
import shlex
from typing import Annotated

import typer

from kasparro.cli.session import begin
from kasparro.cli.stopping import Second, Stop, run_stoppable
from kasparro.playground import PlaygroundKeys, serve_playground

app = typer.Typer(add_completion=False)


@app.command()
def playground(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port, 0 for any free one.")] = 8001,
) -> None:
    """Serve the sample REST APIs alone.

    Prints what the sample catalog needs in its environment. The keys are PLAYGROUND_API_KEY and PLAYGROUND_TOKEN where these
    are set, otherwise fresh ones.
    """
    begin(context)
    keys = PlaygroundKeys(
        api_key=os.environ.get("PLAYGROUND_API_KEY") or secrets.token_urlsafe(24),
        token=os.environ.get("PLAYGROUND_TOKEN") or secrets.token_urlsafe(24),
    )

    async def work(stop: Stop) -> int:
        async with serve_playground(keys, host, port) as url:
            for name, value in environment_of(url, keys).items():
                typer.echo(f"export {name}={shlex.quote(value)}")
            await stop.event.wait()
        return 0

    raise typer.Exit(run_stoppable(work, Second.EXIT))


def environment_of(url: str, keys: PlaygroundKeys) -> dict[str, str]:
    """What the sample catalog reads from the environment."""
    return {"PLAYGROUND_URL": url, "PLAYGROUND_API_KEY": keys.api_key, "PLAYGROUND_TOKEN": keys.token}
