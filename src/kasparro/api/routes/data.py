"""GET /data and /data/{id}: the unified dataset."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from kasparro.api.dependencies import TheExchange, TheReader
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import RecordId, StrictRoute
from kasparro.api.query_description import LINKS, QUERY_PARAMETERS, VALIDATORS, not_modified
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.schemas.data import PaginatedResponse, StoredRecord

router = APIRouter(tags=["data"])
strict = APIRouter(route_class=StrictRoute)


@router.get(
    "/data",
    dependencies=[needs(Scope.READ)],
    response_model=PaginatedResponse,
    responses={
        200: {"headers": {**LINKS, **VALIDATORS}},
        304: not_modified(),
        **problems(HTTPStatus.BAD_REQUEST, *DATABASE),
    },
    openapi_extra={"parameters": QUERY_PARAMETERS},
)
async def list_records(reader: TheReader, exchange: TheExchange, request: Request) -> Response:
    """Records that meet every condition, in the order asked for, and how many there are; both as of one moment."""
    return await reader.page(request.scope["query_string"], exchange, request.scope["headers"])


@strict.get(
    "/data/{id}",
    dependencies=[needs(Scope.READ)],
    response_model=StoredRecord,
    responses={
        200: {"headers": VALIDATORS},
        304: not_modified(),
        **problems(HTTPStatus.NOT_FOUND, *DATABASE),
    },
)
async def get_record(reader: TheReader, exchange: TheExchange, request: Request, id: RecordId) -> Response:  # noqa: A002  # part of the API
    """One record, by the dataset's own id."""
    return await reader.record(id, exchange, request.scope["headers"])


router.include_router(strict)
