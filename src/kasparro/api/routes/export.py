"""GET /data/export: every record that meets the conditions, as a file that is sent while it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from kasparro.api.change_description import filters_and
from kasparro.api.dependencies import TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.security import needs
from kasparro.api.streaming import PartsResponse
from kasparro.core.config import Scope
from kasparro.core.errors import InvalidParameter
from kasparro.schemas.export import MEDIA_TYPES, ExportFormat, Formulas
from kasparro.services.change_text import parse_export
from kasparro.services.export_parts import Part

router = APIRouter(tags=["data"])

E = TypeVar("E", bound=StrEnum)

OWN: Final[dict[str, tuple[type[StrEnum], StrEnum, str]]] = {
    "format": (ExportFormat, ExportFormat.NDJSON, "What the file is to be"),
    "formulas": (
        Formulas,
        Formulas.ESCAPE,
        "`keep`: CSV cells as they are, for programs. Otherwise an apostrophe goes before what a spreadsheet would execute",
    ),
}
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string", "enum": [one.value for one in kind], "default": default.value},
        "example": default.value,
    }
    for name, (kind, default, description) in OWN.items()
]
EXAMPLES: Final = {
    ExportFormat.NDJSON: '{"id" : 3, "title" : "Schaumburg Regional"}\n',
    ExportFormat.CSV: 'id,title\r\n3,"Schaumburg Regional"\r\n',
    ExportFormat.PARQUET: "PAR1",
    ExportFormat.ARROW: "",
}
FILES: Final[dict[str, Any]] = {
    "description": "The file; cut off where the database failed meanwhile",
    "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
    "content": {
        media.partition(";")[0]: {"schema": {"type": "string"}, "example": EXAMPLES[form]}
        for form, media in MEDIA_TYPES.items()
    },
}


@router.get(
    "/data/export",
    dependencies=[needs(Scope.READ)],
    response_class=PartsResponse,
    responses={200: FILES, **problems(HTTPStatus.NOT_IMPLEMENTED, *DATABASE)},
    openapi_extra={"parameters": [*PARAMETERS, *filters_and("sort", "fields")]},
)
async def export_records(runtime: TheRuntime, request: Request) -> Response:
    """All records that meet the conditions, as of one moment, in the order asked for."""
    pairs = request.query_params.multi_items()
    form = _one_of(ExportFormat, ExportFormat.NDJSON, "format", pairs)
    formulas = _one_of(Formulas, Formulas.ESCAPE, "formulas", pairs)
    query = parse_export([pair for pair in pairs if pair[0] not in OWN])
    parts = runtime.export.parts(query, form, formulas)
    first = await anext(parts)
    disposition = {"Content-Disposition": f'attachment; filename="records.{form.value}"'}
    return PartsResponse(_bytes(first, parts), MEDIA_TYPES[form], disposition)


def _one_of(kind: type[E], default: E, name: str, pairs: list[tuple[str, str]]) -> E:
    given = [text for key, text in pairs if key == name]
    if len(given) > 1:
        raise InvalidParameter(
            name, f"the parameter {name!r} is given {len(given)} times", hint="Give it once"
        )
    if not given:
        return default
    if given[0] not in set(kind):
        raise InvalidParameter(name, f"must be one of {', '.join(kind)}")
    return kind(given[0])


async def _bytes(first: Part, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[bytes, None]:
    """What the database refuses shows in the first part, while the answer can still be a problem."""
    async with aclosing(parts):
        yield first.data
        async for part in parts:
            if part.data:
                yield part.data
