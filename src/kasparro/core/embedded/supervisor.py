"""The parent of the embedded PostgreSQL: starts it, reports when it is ready, stops it when the last client is gone.

Run as a script by `launch.py` with a `Task` as JSON on standard input; `ready` or nothing comes out on standard output, the
log on standard error. Standard library only and free of imports from the package: it is started with `-I -S` and lives
as long as the server.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

try:
    import ctypes
except (
    ImportError
):  # an interpreter built without libffi: then a killed supervisor's server is stopped by the next start
    ctypes = None  # type: ignore[assignment]

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.01
SHUTDOWN_SECONDS = 60.0
LOG_CHECK_SECONDS = 60.0
LOG_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Task:
    command: list[str]
    environment: dict[str, str]
    uid: int | None
    gid: int | None
    inherited: list[int]
    """Descriptors the server keeps open: its lock, and its directory where it cannot walk there."""
    postmaster_file: str
    clients_lock: str
    sockets: str
    log: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main() -> int:
    task = Task(**json.load(sys.stdin))
    detach()
    rotate(Path(task.log))
    postmaster = start(task)
    signal.signal(signal.SIGTERM, stopper(postmaster))
    signal.signal(signal.SIGINT, stopper(postmaster))
    for duty in (lambda: stop_after_last_client(task, postmaster), lambda: keep_log_short(Path(task.log))):
        threading.Thread(target=duty, daemon=True).start()
    if is_ready(task, postmaster):
        report("ready\n")
    outcome = postmaster.wait()
    with suppress(OSError):
        Path(task.sockets).rmdir()
    return outcome


def detach() -> None:
    """Leave the client that started us: it reaps the process it knows and keeps no child."""
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def start(task: Task) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # the command line is ours
        task.command,
        env=task.environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        user=task.uid,
        group=task.gid,
        extra_groups=None if task.uid is None else [],
        pass_fds=task.inherited,
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509  # this process has one thread until the server runs
    )


def die_with_parent() -> Callable[[], None] | None:
    """Have the kernel shut the server down when this process is killed (Linux, prctl(2))."""
    if sys.platform != "linux" or ctypes is None:
        return None
    # Looked up before the fork: after the change of account the interpreter's own libraries may be out of reach.
    prctl = ctypes.CDLL(None).prctl
    supervisor = os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGINT))
        if os.getppid() != supervisor:
            os._exit(1)

    return ask_kernel


def is_ready(task: Task, postmaster: subprocess.Popen[bytes]) -> bool:
    """Wait for the server, however long its recovery takes; false when it ends instead."""
    while postmaster.poll() is None:
        with suppress(OSError):
            lines = Path(task.postmaster_file).read_text(errors="replace").splitlines()
            if lines[:1] == [str(postmaster.pid)] and lines[7:] and lines[7].strip() == "ready":
                return True
        time.sleep(POLL_SECONDS)
    return False


def report(word: str) -> None:
    """Tell the client, if it still listens, and let go of its pipe."""
    with suppress(BrokenPipeError):
        os.write(1, word.encode())
    os.dup2(2, 1)


def stop_after_last_client(task: Task, postmaster: subprocess.Popen[bytes]) -> None:
    # Held until this process ends: a client that comes now waits until the server is gone, then starts it again.
    lock = os.open(task.clients_lock, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    postmaster.send_signal(signal.SIGINT)
    time.sleep(SHUTDOWN_SECONDS)
    postmaster.send_signal(signal.SIGQUIT)


def stopper(postmaster: subprocess.Popen[bytes]) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        postmaster.send_signal(signal.SIGINT)

    return stop


def keep_log_short(log: Path) -> NoReturn:
    while True:
        time.sleep(LOG_CHECK_SECONDS)
        rotate(log)


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Move a log that has grown too long aside, once; the server goes on appending to the same file."""
    with suppress(OSError):
        if log.stat().st_size <= limit:
            return
        # Copying fails on a full disk, and then emptying the file is what helps.
        with suppress(OSError):
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


if __name__ == "__main__":
    sys.exit(main())
