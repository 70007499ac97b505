"""GET /data/{id}/lineage and /data/{id}/raw: what a record was made from, and that itself."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from kasparro.api.dependencies import TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import RecordId, StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import NotFound
from kasparro.schemas.lineage import Lineage

router = APIRouter(route_class=StrictRoute, tags=["data"])

JSON_TEXT = {
    "description": "The record as its source sent it",
    "content": {"application/json": {"schema": {}}},
}


@router.get(
    "/data/{id}/lineage",
    dependencies=[needs(Scope.READ)],
    responses=problems(HTTPStatus.NOT_FOUND, *DATABASE),
)
async def get_lineage(runtime: TheRuntime, id: RecordId) -> Lineage:  # noqa: A002  # the name is part of the API
    """The raw record with its request or place in a file, its run, and which of its fields became which."""
    lineage = await runtime.lineage.of(id)
    if lineage is None:
        raise NotFound(f"there is no record {id}")
    return lineage


@router.get(
    "/data/{id}/raw",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    responses={200: JSON_TEXT, **problems(HTTPStatus.NOT_FOUND, *DATABASE)},
)
async def get_raw_record(runtime: TheRuntime, id: RecordId) -> Response:  # noqa: A002  # likewise
    """The raw record to the byte: key order, repeated keys and digits as received; a CSV row is an object of its cells."""
    payload = await runtime.lineage.payload(id)
    if payload is None:
        raise NotFound(f"there is no raw record of a record {id}")
    return Response(payload.encode(), media_type="application/json")
