"""Make `.venv` and install the locked dependencies into it; standard library only.

    python3 tools/bootstrap.py run    # what `make up` needs: the product and the embedded PostgreSQL
    python3 tools/bootstrap.py dev    # the same and the tools of `make check` and `make test`

Called by the Makefile before everything else. A second call returns at once while the lock is unchanged. uv installs when
it can be had, pip otherwise; both verify every hash.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
MINIMUM = (3, 11)


def main(profile: str) -> None:
    if sys.version_info < MINIMUM:
        sys.exit(f"Kasparro needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; this is {sys.version.split()[0]}")
    lock = ROOT / "requirements" / f"{profile}.lock"
    stamp = VENV / f".installed-{profile}"
    wanted = fingerprint(lock)
    if stamp.exists() and stamp.read_text() == wanted and PYTHON.exists():
        return
    if not PYTHON.exists():
        print("Creating .venv", flush=True)
        venv.create(VENV, with_pip=True, clear=True)
    print(f"Installing the locked dependencies ({lock.relative_to(ROOT)})", flush=True)
    install(["--require-hashes", "-r", str(lock)])
    install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    stamp.write_text(wanted)


def fingerprint(lock: Path) -> str:
    parts = [lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def install(arguments: list[str]) -> None:
    """Install with uv, or with pip where uv cannot be had or cannot install."""
    if has_uv() and run([str(BIN / "uv"), "pip", "install", "--quiet", "--python", str(PYTHON), *arguments]):
        return
    if not run([str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]):
        sys.exit("The dependencies could not be installed; the messages above say why")


def has_uv() -> bool:
    if (BIN / "uv").exists():
        return True
    return run([str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"])


def run(command: list[str]) -> bool:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0  # noqa: S603  # our own commands


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
