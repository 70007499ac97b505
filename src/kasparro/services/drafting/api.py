"""A draft for a REST API: one request, and what its answer shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from kasparro.core.errors import UnexpectedContent
from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.opening import open_source
from kasparro.schemas.ingest import ApiOrigin, Page, RawRecord
from kasparro.services.drafting.assembling import declared, secret_notes, tried
from kasparro.services.drafting.body import Found, records_of
from kasparro.services.drafting.draft import Draft, Line
from kasparro.services.drafting.fields import changed_of, key_of, map_of, values_by_path
from kasparro.services.drafting.paging import Answered, Paging, paging_of
from kasparro.services.drafting.request import Asked, written

_WHOLE: Final = "[@]"
_NO_KEY: Final = "no field tells the records apart: declare a `key`, without one every record is rejected"


async def api_draft(asked: Asked, name: str, most: int, folder: Path, variables: Mapping[str, str]) -> Draft:
    """Ask once, and draft from at most *most* records. Raises the `SourceError` family and `ConfigurationError`."""
    notes = secret_notes(asked)
    plain = Draft(name, _request(asked, asked.params), secrets=asked.secrets, notes=notes)
    page = await _answer(plain, folder, variables)
    body = json.loads(page.records[0].payload)
    found = records_of(body)
    records = found.records[:most]
    answered = Answered(body, len(found.records), page.total, linked=page.cursor is not None)
    paging = paging_of(asked.params, answered, found.path)
    draft = _described(plain, asked, found, records, paging)
    sample = [
        RawRecord(json.dumps(one).encode(), ApiOrigin(asked.url, 1, at)) for at, one in enumerate(records)
    ]
    return tried(draft, folder, variables, sample)


async def _answer(draft: Draft, folder: Path, variables: Mapping[str, str]) -> Page:
    """The whole answer as one record; its cursor shows whether a Link header names a next page."""
    whole = [Line("records", _WHOLE), Line("format", "json"), Line("pagination", "link_header")]
    whole.append(Line("retry", {"attempts": 2}))
    declaration: SourceDeclaration = declared(draft.with_lines([*draft.lines, *whole]), folder, variables)
    async with aclosing(open_source(declaration, 1).pages(None)) as pages:
        page = await anext(pages)
    if not page.records:
        raise UnexpectedContent("the answer is empty, or nested too deeply", place=str(draft.lines[1].value))
    return page


def _request(asked: Asked, params: Mapping[str, str]) -> list[Line]:
    lines = [Line("type", "api"), Line("url", asked.url)]
    if params:
        lines.append(Line("params", written(params)))
    if asked.headers:
        lines.append(Line("headers", written(asked.headers)))
    if asked.auth is not None:
        lines.append(
            Line(
                "auth",
                asked.auth,
                "goes to this origin only; the variable is read from the environment or .env",
            )
        )
    return lines


def _described(
    plain: Draft, asked: Asked, found: Found, records: Sequence[dict[str, Any]], paging: Paging
) -> Draft:
    left = {name: value for name, value in asked.params.items() if name not in paging.takes}
    values = values_by_path(records)
    key = key_of(values, len(records)) if records else None
    lines = [*_request(asked, left), Line("records", found.path or "@", found.why, off=found.path is None)]
    lines.append(key or Line("key", "id", _NO_KEY, off=True))
    lines.append(paging.line)
    if changed := changed_of(values):
        lines.append(changed)
    notes = [*plain.notes, *([] if key else [_NO_KEY])]
    remarks = [
        f"Drafted from {len(records)} records. Check it with: kasparro sources check {plain.name}",
        "Lines that begin with # are suggestions, or what happens by itself.",
    ]
    return replace(plain, lines=lines, map=map_of(values), notes=notes, remarks=remarks)
