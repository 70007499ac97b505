"""The private folder of one tap for one run: its config, catalog and state as files that nobody else can read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from kasparro.core.etl_config import SingerSource

USUAL: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What a program needs of its environment; credentials of other programs are not among it."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a tap works: its private *folder*, the folder of the catalog, and its environment."""

    folder: Path
    home: Path
    environment: Mapping[str, str]
    command: tuple[str, ...]

    def write(self, name: str, text: bytes) -> str:
        """Write a file that only we and the tap can read, and return its path."""
        path = self.folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
        return str(path)

    def write_json(self, name: str, value: Any) -> str:
        return self.write(name, msgspec.json.encode(value))


@contextmanager
def workplace(declaration: SingerSource, environ: Mapping[str, str]) -> Iterator[Workplace]:
    """Make the folder, and remove it with everything in it. Its temporary files a tap has in it as well."""
    with tempfile.TemporaryDirectory(prefix="kasparro-tap-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        temporary = folder / "tmp"
        temporary.mkdir(mode=0o700)
        kept = {name: environ[name] for name in (*USUAL, *declaration.env) if name in environ}
        environment = kept | {"TMPDIR": str(temporary)}
        yield Workplace(folder, declaration.folder, environment, command_of(declaration))


def command_of(declaration: SingerSource) -> tuple[str, ...]:
    """The command as it is started: a program with a folder in its name is found from the folder of the catalog."""
    program, *arguments = declaration.command
    if "/" in program:
        program = str((declaration.folder / Path(program).expanduser()).absolute())
    return (program, *arguments)
