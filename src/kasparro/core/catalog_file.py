"""`kasparro.yaml` in, a `Catalog` out, or one `ConfigurationError` that lists everything there is to fix. Called by the
composition root and by the commands that look at the configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kasparro.core.catalog_reader import CatalogReader
from kasparro.core.declarations.catalog import Catalog
from kasparro.core.errors import ConfigurationError, ConfigurationProblem, NotSupportedYet
from kasparro.core.substitution import read_variables
from kasparro.core.yaml_tree import Place, Reading, parse_yaml

MAX_BYTES: Final = 1 << 20
"""The largest catalog, in bytes: far above any real one, far below what could hurt."""


def load_catalog(path: Path, environ: Mapping[str, str] | None = None) -> Catalog:
    """Read and check the catalog at *path*, with variables from *environ* (default: the process's) and `.env` beside it.

    Raises `ConfigurationError`, or `NotSupportedYet` when all that is wrong is what this version does not deliver.
    """
    text = _read(path)
    variables = read_variables(path.parent, os.environ if environ is None else environ)
    return read_catalog(text, path, variables)


def read_catalog(text: str, path: Path, variables: Mapping[str, str]) -> Catalog:
    """The same for a *text* that is, or is to be, the file at *path*."""
    tree = parse_yaml(text, str(path), _reading)
    reader = CatalogReader(tree, path, variables)
    reader.read()
    problems = [*tree.problems, *reader.problems]
    everything = sorted([*problems, *reader.not_yet], key=lambda problem: problem.line or 0)
    if everything:
        raise (ConfigurationError if problems else NotSupportedYet)(*everything)
    return Catalog(sources=reader.sources, path=path, incomplete=reader.incomplete)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file", "Name another one with KASPARRO_CONFIG") from error
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror or type(error).__name__})") from error
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"is larger than {MAX_BYTES >> 10} KiB, which no catalog needs")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(ConfigurationProblem("is not UTF-8 text", str(path), line)) from error


def _unreadable(path: Path, message: str, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(ConfigurationProblem(message, str(path)), hint=hint)


def _reading(place: Place) -> Reading:
    """How plain scalars are read below a key of a source: `place` is ("sources", name, key, ...)."""
    match place[2:]:
        case ("body" | "config" | "catalog", *_) | ("auth", "body" | "claims", *_):
            return Reading.JSON
        case ("params" | "map", *_) | ("auth", "params" | "form", *_):
            return Reading.EXACT
        case ("null_values", _) | ("csv", "null_values", _):
            return Reading.TEXT
        case _:
            return Reading.TEXT_OR_NULL
