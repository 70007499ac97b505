"""The environment the peers live in: `.venv-peers`, made when peers are asked for, from a hashed lock of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from bench.measuring import tell

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-peers"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "peers.lock"
STAMP = VENV / ".installed"
"""Written when everything is installed, and not before."""


def available() -> bool:
    """Install the peers unless they are; false when they cannot be had."""
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return True
    tell(f"installing the peers into {VENV.name}")
    venv.create(VENV, with_pip=True, clear=True)
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    command += ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603  # our own command
        tell("the peers cannot be installed: left out")
        return False
    STAMP.write_text(wanted)
    return True


def sling() -> Path | None:
    """Its program, which only some platforms have as a package."""
    return next(VENV.glob("lib/python*/site-packages/sling_*/bin/sling-*"), None)
