"""The database cluster on disk: made once and whole, checked before every start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kasparro.core.embedded.accounts import Account
from kasparro.core.embedded.binaries import SETTING, Binaries
from kasparro.core.embedded.directories import make_for
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.processes import exists, read_postmaster_file, works_on
from kasparro.core.errors import EmbeddedServerError

SUPERUSER = "postgres"
DATABASE = "kasparro"
FIRST_WITH_BUILTIN_LOCALES = 17
# Nothing of the caller's environment reaches the server: no locale, no PGDATA, no PGOPTIONS.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Workplace:
    """Everything a program of PostgreSQL needs to run: which one, on which files, as whom."""

    binaries: Binaries
    layout: Layout
    seen: Layout
    """`layout` as the server's account reaches it."""
    account: Account | None
    handles: tuple[int, ...]
    """Open directories that `seen` refers to; every such program inherits them."""
    start_lock: int
    """Inherited by the programs that make the cluster: should we die, nobody interferes before they have ended."""
    throwaway: bool


def ensure_cluster(place: Workplace) -> None:
    """Make the cluster unless it is there; call with `start.lock` held."""
    version = place.layout.data / "PG_VERSION"
    if version.exists():
        require_same_major(int(version.read_text()), place)
        return
    half_made = place.layout.half_made
    if half_made.exists():
        shutil.rmtree(half_made)
    make_for(place.account, half_made)
    initdb(place)
    create_database(place)
    try:
        half_made.rename(place.layout.data)
    except OSError as error:
        raise EmbeddedServerError(
            f"{place.layout.data} exists and is not a database cluster", hint="Move it away, then start again"
        ) from error
    if not place.throwaway:
        synchronise(place.layout.base)


def require_same_major(major: int, place: Workplace) -> None:
    if major == place.binaries.major:
        return
    raise EmbeddedServerError(
        f"the data in {place.layout.data} belong to PostgreSQL {major}, "
        f"and the programs in {place.binaries.directory} are PostgreSQL {place.binaries.major}; nothing was touched",
        hint=f"Set {SETTING} to the bin directory of a PostgreSQL {major}, or dump the data with it (pg_dumpall), "
        f"move {place.layout.base} away, and restore the dump after the next start",
    )


def initdb(place: Workplace) -> None:
    command = [
        *(str(place.binaries.initdb), "-D", str(place.seen.half_made)),
        *("-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject"),
        *("-E", "UTF8", "--locale=C", "--no-instructions"),
    ]
    if place.binaries.major >= FIRST_WITH_BUILTIN_LOCALES:
        # Characters as Unicode has them, and the same order on every platform and after every upgrade of its libraries.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if place.throwaway:
        command.append("--no-sync")
    run(place, command)


def create_database(place: Workplace) -> None:
    """In single-user mode, before the cluster is given its name: it has the database from the first moment."""
    command = [
        str(place.binaries.postgres),
        "--single",
        "-D",
        str(place.seen.half_made),
        "-c",
        "exit_on_error=on",
    ]
    if place.throwaway:
        command.append("-F")
    run(place, [*command, SUPERUSER], typed=f"CREATE DATABASE {DATABASE}\n")


def run(place: Workplace, command: Sequence[str], *, typed: str = "") -> None:
    account = place.account
    outcome = subprocess.run(  # noqa: S603  # the command line is ours
        command,
        input=typed,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        pass_fds=(*place.handles, place.start_lock),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if outcome.returncode != 0:
        last = "; ".join(outcome.stderr.strip().splitlines()[-5:])
        raise EmbeddedServerError(
            f"{command[0]} failed in {place.layout.base} (exit code {outcome.returncode}): {last}",
            hint="Free space or mend permissions there, or set DATABASE_URL to a running server",
        )


def synchronise(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_remains(layout: Layout) -> None:
    """Remove the lock files of a server that died; call with `server.lock` held, so that none of ours is alive.

    PostgreSQL does that itself, except where the process id in them belongs to somebody else by now.
    """
    state = read_postmaster_file(layout.data)
    if state and works_on(state.pid, layout.data):
        raise EmbeddedServerError(
            f"a PostgreSQL that Kasparro did not start runs on {layout.data} (process {state.pid})",
            hint="Stop it, or choose another KASPARRO_DATA_DIR",
        )
    # The file also names the shared memory, by which a start notices left-over processes: keep it when it does no harm.
    if state and (state.pid == 0 or exists(state.pid)):
        (layout.data / "postmaster.pid").unlink()
    for name in (layout.socket.name, f"{layout.socket.name}.lock"):
        layout.socket.with_name(name).unlink(missing_ok=True)
