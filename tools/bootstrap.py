"""Make `.venv` and install the locked dependencies into it; standard library only.

    python3 tools/bootstrap.py run    # what `make up` needs: the product and the embedded PostgreSQL
    python3 tools/bootstrap.py dev    # the same and the tools of `make check` and `make test`

Called by the Makefile before everything else. A second call returns at once while the locks are unchanged; what was
interrupted or broken is made again. uv installs when it can be had, pip otherwise; both verify every hash, that of uv included.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, two calls at once are the caller's to avoid
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
MINIMUM = (3, 11)
PROFILES = {"run": ("run", "dev"), "dev": ("dev",)}
"""What is enough for each profile: the development lock holds all that the other one does."""

NO_VENV = """This Python ({python}) cannot make a virtual environment with pip.
On Debian and Ubuntu: apt install python3-venv
Elsewhere, name another interpreter: make PYTHON=python3.13 up"""


def main(profile: str) -> None:
    if sys.version_info < MINIMUM:
        sys.exit(
            f"Kasparro needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; {sys.executable} is {sys.version.split()[0]}.\n"
            "Name a newer one: make PYTHON=python3.13 up"
        )
    if any(is_installed(enough) for enough in PROFILES[profile]):
        return
    with Path(__file__).open() as this_file:
        if fcntl is not None:
            fcntl.flock(this_file, fcntl.LOCK_EX)
        if not is_installed(profile):
            make(profile)


def make(profile: str) -> None:
    if not works():
        create()
    lock = lock_of(profile)
    print(f"Installing the locked dependencies ({lock.relative_to(ROOT)})", flush=True)
    install(["--require-hashes", "-r", str(lock)])
    install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    stamp_of(profile).write_text(fingerprint(profile))


def is_installed(profile: str) -> bool:
    stamp = stamp_of(profile)
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == fingerprint(profile)


def lock_of(profile: str) -> Path:
    return ROOT / "requirements" / f"{profile}.lock"


def stamp_of(profile: str) -> Path:
    """Written when everything is installed, and not before."""
    return VENV / f".installed-{profile}"


def fingerprint(profile: str) -> str:
    parts = [lock_of(profile).read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def works() -> bool:
    """Whether there is an environment, with an interpreter that runs and has pip."""
    return PYTHON.exists() and run([str(PYTHON), "-c", "import pip"], quiet=True)


def create() -> None:
    print("Creating .venv", flush=True)
    try:
        venv.create(VENV, with_pip=True, clear=True, symlinks=os.name != "nt")
    except (ImportError, subprocess.CalledProcessError):
        sys.exit(NO_VENV.format(python=sys.executable))


def install(arguments: list[str]) -> None:
    """Install with uv, or with pip where uv cannot be had or cannot install."""
    if has_uv() and run([str(BIN / "uv"), "pip", "install", "--quiet", "--python", str(PYTHON), *arguments]):
        return
    if not run([*pip_install(), *arguments]):
        sys.exit("The dependencies could not be installed; the messages above say why")


def has_uv() -> bool:
    """A convenience: a registry that does not have uv, or not for this platform, is no reason to stop."""
    lock = str(ROOT / "requirements" / "installer.lock")
    return (BIN / "uv").exists() or run([*pip_install(), "--require-hashes", "-r", lock], quiet=True)


def pip_install() -> list[str]:
    return [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def run(command: list[str], *, quiet: bool = False) -> bool:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "PIP_USER": "0"}
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run(  # noqa: S603  # our own commands
        command, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False
    )
    return done.returncode == 0


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
