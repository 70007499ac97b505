"""Renew the hashed locks: `make lock`.

The development lock is solved first; the next two are subsets of it, so that what is tested is what is shipped. The installer
has one of its own, and so have the data and the peers of `make bench`. The locks hold hashes and no index address.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
COMMON = [
    "--universal",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--python-version",
    "3.11",
    "--quiet",
]
PROJECT = "pyproject.toml"
BUILD = "requirements/build.in"


def compile_lock(name: str, *arguments: str) -> None:
    command = [str(UV), "pip", "compile", *COMMON, *arguments, "-o", f"requirements/{name}.lock"]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)  # noqa: S603  # our own command
    print(f"requirements/{name}.lock")


if __name__ == "__main__":
    compile_lock("dev", "--extra", "embedded", "--extra", "parquet", "--group", "dev", PROJECT, BUILD)
    compile_lock("run", "--extra", "embedded", "-c", "requirements/dev.lock", PROJECT, BUILD)
    compile_lock("production", "-c", "requirements/dev.lock", PROJECT, BUILD)
    compile_lock("installer", "requirements/installer.in")
    compile_lock("flights", "--no-deps", "requirements/flights.in")
    compile_lock("peers", "requirements/peers.in")
