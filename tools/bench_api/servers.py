"""What is asked, as processes: each is started, waited for until it answers, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.processes import inherited
from bench.server import PROC, SYSTEM, USER, stat

PATIENCE_SECONDS = 120.0
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """User and system time of the process and of those it has started."""
        ticks = 0
        for pid in self._family():
            fields = stat(pid)
            ticks += int(fields[USER]) + int(fields[SYSTEM]) if fields else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The most memory that the process had at any time."""
        text = (PROC / str(self.pid) / "status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024

    def _family(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            for task in (PROC / str(pid) / "task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], folder: Path
) -> Iterator[Running]:
    """*command*, which listens on *port*, from the moment it answers."""
    said = (folder / f"{port}.log").open("wb")
    process = subprocess.Popen(  # noqa: S603  # our own commands
        command,
        cwd=folder,
        env=inherited() | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    try:
        _wait_for(port, process, folder)
        yield Running(process.pid, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.close()


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    log = (folder / f"{port}.log").read_text(errors="replace")[-2000:]
    sys.exit(f"bench: {' '.join(map(str, process.args))} does not answer\n{log}")  # type: ignore[arg-type]
