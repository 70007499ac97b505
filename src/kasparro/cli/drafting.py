"""`kasparro sources init`: a draft of a declaration from an address or a file, on stdout or into a catalog."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import typer

from kasparro.core.catalog_file import read_catalog
from kasparro.core.errors import ConfigurationError, UnexpectedContent
from kasparro.core.redaction import for_people
from kasparro.core.substitution import read_variables
from kasparro.services.drafting.api import api_draft
from kasparro.services.drafting.draft import Draft, catalog_text
from kasparro.services.drafting.files import csv_draft
from kasparro.services.drafting.into_catalog import inserted
from kasparro.services.drafting.request import taken_apart

_TABLES: Final = frozenset({".csv", ".tsv", ".psv", ".txt"})
_PACKED: Final = frozenset({".gz", ".bz2", ".xz", ".zst", ".zip"})
_FAR: Final = ("http://", "https://", "s3://")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    target: str
    name: str | None
    headers: Sequence[str]
    auth: str | None
    records: int
    output: Path | None
    force: bool


async def draft_source(wanted: Wanted) -> None:
    """Draft, then write into the catalog that was named, else on stdout."""
    folder = (wanted.output.parent if wanted.output else Path()).absolute()
    variables = read_variables(folder, os.environ)
    name = wanted.name or name_of(wanted.target)
    before = _existing(wanted.output)
    if wanted.output is not None and before is not None and not wanted.force:
        _refuse_taken(before, name)
    draft = await _drafted(wanted, name, folder, variables)
    text = catalog_text(draft)
    if wanted.output is None:
        sys.stdout.write(text)
    else:
        _write(wanted.output, before, draft, variables, force=wanted.force)
        typer.echo(f"{name} was written to {wanted.output}. Next: kasparro sources check {name}", err=True)
    for note in draft.notes:
        typer.echo(f"note: {for_people(note)}", err=True)


async def _drafted(wanted: Wanted, name: str, folder: Path, variables: Mapping[str, str]) -> Draft:
    target = wanted.target
    if not target.startswith(("http://", "https://")):
        path = target if target.startswith(_FAR) else _relative(target, folder)
        return await csv_draft(path, None, name, wanted.records, folder, variables)
    asked = taken_apart(target, wanted.headers, name, wanted.auth)
    if is_table(target):
        return await csv_draft("", asked, name, wanted.records, folder, variables)
    try:
        return await api_draft(asked, name, wanted.records, folder, variables)
    except UnexpectedContent as error:
        if "text/csv" not in str(error):
            raise
        return await csv_draft("", asked, name, wanted.records, folder, variables)


def is_table(address: str) -> bool:
    """Whether what the address leads to is a file of a table, by its name."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(_path_of(address)).suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in _TABLES


def name_of(target: str) -> str:
    """A source name from the end of an address or path: the last part that is a word, and no version."""
    path = _path_of(target) if target.startswith(_FAR) else target
    parts = [
        re.sub(r"[^a-z0-9]+", "_", part.partition(".")[0].lower()).strip("_") for part in path.split("/")
    ]
    words = [
        part for part in parts if re.match(r"[a-z]", part) and not re.fullmatch(r"v\d+|api|rest|json", part)
    ]
    return words[-1][:50] if words else "source"


def _path_of(address: str) -> str:
    try:
        parts = urlsplit(address)
        _ = parts.port  # read for its check
    except ValueError:
        raise ConfigurationError("the address is not valid: its host or port cannot be read") from None
    return parts.path


def _relative(target: str, folder: Path) -> str:
    """The path as the catalog, which stands in *folder*, has to write it."""
    return os.path.relpath(Path(target).expanduser().absolute(), folder)


def _existing(output: Path | None) -> str | None:
    if output is None:
        return None
    try:
        return output.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{output} cannot be read as UTF-8 text") from error


def _refuse_taken(text: str, name: str) -> None:
    """Before anything is asked of the source."""
    inserted(text, Draft(name, ()), force=False)


def _write(
    output: Path, before: str | None, draft: Draft, variables: Mapping[str, str], *, force: bool
) -> None:
    """Write the catalog as a whole or not at all, and only if the draft is not what is wrong with it."""
    text = catalog_text(draft) if before is None else inserted(before, draft, force=force)
    known = {**variables, **draft.secrets}
    if added := _problems(text, output, known) - (
        _problems(before, output, known) if before else frozenset()
    ):
        raise ConfigurationError(*sorted(added), hint="Print the draft without --output, and add it by hand")
    try:
        _replace(output, text)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written ({error.strerror})") from error


def _problems(text: str, output: Path, variables: Mapping[str, str]) -> frozenset[str]:
    """What is wrong with a catalog, without the lines, which move."""
    try:
        read_catalog(text, output, variables)
    except ConfigurationError as error:
        return frozenset(problem.message for problem in error.problems)
    return frozenset()


def _replace(output: Path, text: str) -> None:
    mode = output.stat().st_mode & 0o777 if output.exists() else 0o644
    handle, made = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(made).chmod(mode)
        Path(made).replace(output)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
