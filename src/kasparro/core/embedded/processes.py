"""What the operating system knows about the processes that work on a data directory.

A process id in a file proves nothing: the process may be gone, a zombie, or by now a stranger with the same number.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kasparro.core.embedded.layout import Layout

PROC = Path("/proc")
STATUS_LINE = 7


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """What `postmaster.pid` says (src/include/utils/pidfile.h): the process on the first line, its state on the eighth."""

    pid: int
    status: str


def read_postmaster_file(data: Path) -> PostmasterFile | None:
    """None when there is none; a file that is empty or torn says process 0."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    # A stand-alone backend writes its number negated.
    number = lines[0].strip().removeprefix("-") if lines else ""
    pid = int(number) if number.isdecimal() else 0
    return PostmasterFile(pid, lines[STATUS_LINE].strip() if len(lines) > STATUS_LINE else "")


def accepts_connections(layout: Layout) -> bool:
    state = read_postmaster_file(layout.data)
    if state is None or state.status != "ready":
        return False
    # The file outlives a postmaster that was killed; its listening socket does not.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(layout.socket))
        except OSError:
            return False
    return True


def exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def works_on(pid: int, data: Path) -> bool:
    """Whether *pid* is a PostgreSQL on *data*. Every process of a server has the data directory as its working directory."""
    if not (PROC / "self").exists():
        return _works_on_by_ps(pid, data)
    try:
        return (PROC / str(pid) / "comm").read_text().strip() == "postgres" and (
            PROC / str(pid) / "cwd"
        ).samefile(data)
    except OSError:
        return False  # gone, or somebody else's


def _works_on_by_ps(pid: int, data: Path) -> bool:
    answer = subprocess.run(  # noqa: S603  # a number is the only argument
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "postgres" in answer.stdout and str(data) in answer.stdout


def all_on(data: Path) -> list[int]:
    """Every process of a server on *data*; where there is no /proc, the postmaster alone."""
    state = read_postmaster_file(data)
    numbers = [int(entry.name) for entry in PROC.glob("[0-9]*")] or ([state.pid] if state else [])
    return [pid for pid in numbers if works_on(pid, data)]


def ask_postmaster_to_stop(data: Path) -> bool:
    """False when there is none to ask."""
    state = read_postmaster_file(data)
    if state is None or not works_on(state.pid, data):
        return False
    _send(state.pid, signal.SIGINT)
    return True


def end_all(data: Path) -> None:
    """Immediate shutdown of whatever is left; the next start recovers from the write-ahead log."""
    for pid in all_on(data):
        _send(pid, signal.SIGQUIT)


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
