"""Start the supervisor and, through it, the server; come back when it accepts connections."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kasparro.core.embedded import supervisor
from kasparro.core.embedded.cluster import ENVIRONMENT, Workplace
from kasparro.core.embedded.layout import Layout
from kasparro.core.embedded.locks import open_owned
from kasparro.core.errors import EmbeddedServerError

# A recovery after a crash may have gigabytes of write-ahead log to replay.
START_SECONDS = 600.0
SETTINGS = {
    "autovacuum": "on",
    "cluster_name": "kasparro",
    "jit": "off",  # costs more than it saves on queries that take milliseconds
    "listen_addresses": "",
    "log_checkpoints": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "logging_collector": "off",  # the supervisor keeps the log short
    "max_connections": "100",
    "max_wal_size": "2GB",
    "temp_file_limit": "8GB",  # a query gone wrong must not fill the disk
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
    "wal_level": "replica",
}
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "synchronous_commit": "off",
}


def server_command(place: Workplace) -> list[str]:
    # The setting is a list of directories, and quotes keep one with a comma or a space whole.
    sockets = '"' + str(place.seen.sockets).replace('"', '""') + '"'
    settings = {
        **SETTINGS,
        **(THROWAWAY_SETTINGS if place.throwaway else {}),
        "unix_socket_directories": sockets,
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    return [str(place.binaries.postgres), "-D", str(place.seen.data), *options]


def launch(place: Workplace, *, server_lock: int, supervisor_lock: int) -> None:
    """Hand over both locks; raises EmbeddedServerError with the end of the log when the server does not come up."""
    task = supervisor.Task(
        command=server_command(place),
        environment=ENVIRONMENT,
        uid=place.account.uid if place.account else None,
        gid=place.account.gid if place.account else None,
        inherited=[server_lock, *place.handles],
        postmaster_file=str(place.layout.data / "postmaster.pid"),
        clients_lock=str(place.layout.clients_lock),
        sockets=str(place.layout.sockets),
        log=str(place.layout.log),
    )
    log = open_owned(place.layout.log, os.O_APPEND)
    try:
        begin = os.fstat(log).st_size
        answer = hand_over(task, place.layout, log, (supervisor_lock, *task.inherited))
    finally:
        os.close(log)
    if answer != "ready":
        raise EmbeddedServerError(
            f"the embedded PostgreSQL did not start: {answer or last_lines(place.layout.log, begin)}",
            hint=f"The whole log is in {place.layout.log}",
        )


def hand_over(task: supervisor.Task, layout: Layout, log: int, descriptors: Sequence[int]) -> str:
    """What the supervisor says: `ready`, or nothing when it ends without a word."""
    # By its path and isolated: no import path, no site and no package of the caller's can get in its way.
    command = [sys.executable, "-I", "-S", supervisor.__file__, str(layout.base)]
    try:
        outcome = subprocess.run(  # noqa: S603  # the command line is ours
            command,
            input=task.to_json(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
            timeout=START_SECONDS,
            cwd="/",
            pass_fds=descriptors,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"it accepts no connections after {START_SECONDS:.0f} seconds"
    return outcome.stdout.strip()


def last_lines(log: Path, begin: int, count: int = 8) -> str:
    with log.open("rb") as lines:
        lines.seek(begin)
        return "; ".join(lines.read().decode(errors="replace").split("\n")[-count - 1 :]).strip("; ")
