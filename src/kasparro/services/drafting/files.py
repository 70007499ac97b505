"""A draft for CSV files: the beginning of the first one, and how it is written."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.format import FileFormat, read_format
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.opening import open_source
from kasparro.schemas.ingest import Page
from kasparro.services.drafting.assembling import declared, secret_notes, tried
from kasparro.services.drafting.draft import Draft, Line, literal
from kasparro.services.drafting.fields import key_of, map_of
from kasparro.services.drafting.request import Asked, written

_NUMBER: Final = re.compile(r"[-+]?[\d.,]+")
_NOT_IN_A_PATH: Final = re.compile(r"[\[\]*|()`?.]|^\s|\s$")
_NO_VALUE: Final = ("NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "\\N", "-")
_SPELLED: Final = {"\t": "tab"}


async def csv_draft(
    path: str, asked: Asked | None, name: str, most: int, folder: Path, variables: Mapping[str, str]
) -> Draft:
    """Read at most *most* rows, and draft from them. Raises the `SourceError` family and `ConfigurationError`."""
    plain = Draft(
        name,
        _request(path, asked),
        secrets=asked.secrets if asked else {},
        notes=secret_notes(asked) if asked else [],
    )
    found = await _format(plain, folder, variables)
    if any(_NUMBER.fullmatch(column) for column in found.header):
        line = Line("header", value=False, why="the first row looks like values, not like names")
        plain = plain.with_lines([*plain.lines, line])
        found = await _format(plain, folder, variables)
    page = await _rows(plain, most, folder, variables)
    rows = [json.loads(record.payload) for record in page.records[:most]]
    return tried(_described(plain, found, rows), folder, variables, page.records[:most])


def _request(path: str, asked: Asked | None) -> list[Line]:
    if asked is None:
        return [Line("type", "csv"), Line("path", literal(path))]
    address = f"{asked.url}?{urlencode(asked.params)}" if asked.params else asked.url
    lines = [Line("type", "csv"), Line("path", address)]
    if asked.headers:
        lines.append(Line("headers", written(asked.headers)))
    if asked.auth is not None:
        lines.append(Line("auth", asked.auth, "the variable is read from the environment or .env"))
    return lines


async def _format(draft: Draft, folder: Path, variables: Mapping[str, str]) -> FileFormat:
    declaration = cast("CsvSource", declared(draft, folder, variables))

    def read() -> FileFormat:
        with closing(open_file(find(declaration)[0])) as file:
            return read_format(declaration, file)

    return await asyncio.to_thread(read)


async def _rows(draft: Draft, most: int, folder: Path, variables: Mapping[str, str]) -> Page:
    async with aclosing(open_source(declared(draft, folder, variables), most).pages(None)) as pages:
        return await anext(pages)


def _described(plain: Draft, found: FileFormat, rows: list[dict[str, str]]) -> Draft:
    nothing = ["", *(word for word in _NO_VALUE if any(word in row.values() for row in rows))]
    values: dict[str, list[Any]] = {
        column: [None if row.get(column) in nothing else row.get(column) for row in rows]
        for column in found.header
    }
    named = {column: cells for column, cells in values.items() if not _NOT_IN_A_PATH.search(column)}
    key = key_of(named, len(rows)) if rows else None
    lines = [*plain.lines, *_written_as(found)]
    if len(nothing) > 1:
        lines.append(Line("null_values", nothing, "these cells are there, and mean: no value"))
    lines.append(key or Line("key", "id", "no column tells the rows apart: their content does", off=True))
    remarks = [
        f"Drafted from {len(rows)} rows. Check it with: kasparro sources check {plain.name}",
        "Lines that begin with # are suggestions, or what happens by itself.",
    ]
    return replace(plain, lines=lines, map=map_of(values), remarks=remarks)


def _written_as(found: FileFormat) -> list[Line]:
    delimiter = _SPELLED.get(found.dialect.delimiter, found.dialect.delimiter)
    lines = [Line("delimiter", delimiter, "found in the file; left out, it is looked for each time")]
    encoding = found.encoding
    sure = encoding.how != "guess"
    why = f"known by: {encoding.how}" if sure else "a guess: look at letters beyond a to z"
    lines.append(Line("encoding", encoding.name, why, off=sure))
    return lines
