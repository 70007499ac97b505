"""Other programs: a command in, what it printed and what it took out. Whoever fails ends the benchmark with its last words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
PATIENCE_SECONDS = 3600
INHERITED = {"PATH", "HOME", "LANG", "TMPDIR"}


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well. CPU time is user and system, its children's included; the peak is the largest of them."""

    output: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Finished:
    """Run *command* in *folder*, with little more than *environment*."""
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        result, said = Path(name) / "result", Path(name) / "stderr"
        with said.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603  # our own commands
                [sys.executable, "-I", "-S", str(LAUNCHER), str(result), *command],
                cwd=folder,
                env=inherited() | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        output = wait(process).decode(errors="replace")
        if process.returncode:
            last = "\n".join(said.read_text(errors="replace").splitlines()[-20:])
            sys.exit(
                f"bench: {' '.join(command)} ended with {process.returncode}\n{last}\n{output[-2000:]}".rstrip()
            )
        return Finished(output, **json.loads(result.read_text()))


def wait(process: subprocess.Popen[bytes]) -> bytes:
    """What it prints until its end. Whatever ends us or our patience ends it too, with all it started."""
    try:
        return process.communicate(timeout=PATIENCE_SECONDS)[0]
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("ETL_")}
