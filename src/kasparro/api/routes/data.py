"""GET /data and /data/{id}: the unified dataset."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from kasparro.api.dependencies import TheExchange, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import RecordId, StrictRoute
from kasparro.api.query_description import LINKS, QUERY_PARAMETERS
from kasparro.api.query_links import links
from kasparro.api.records import next_cursor, page_bytes, record_bytes
from kasparro.api.searched import refuse_what_is_not_searched
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import NotFound
from kasparro.schemas.data import PaginatedResponse, StoredRecord
from kasparro.services.query_text import parse_query

router = APIRouter(tags=["data"])
strict = APIRouter(route_class=StrictRoute)

FRESH = {"Cache-Control": "private, no-cache"}


@router.get(
    "/data",
    dependencies=[needs(Scope.READ)],
    response_model=PaginatedResponse,
    responses={200: {"headers": LINKS}, **problems(HTTPStatus.BAD_REQUEST, *DATABASE)},
    openapi_extra={"parameters": QUERY_PARAMETERS},
)
async def list_records(runtime: TheRuntime, exchange: TheExchange, request: Request) -> Response:
    """Records that meet every condition, in the order asked for, and how many there are; both as of one moment."""
    pairs = request.query_params.multi_items()
    query = parse_query(pairs)
    refuse_what_is_not_searched(query, runtime.catalog)
    page = await runtime.dataset.page(query)
    cursor = next_cursor(query, page)
    headers = FRESH | {"Link": links(request.url.path, pairs, cursor)}
    return Response(page_bytes(exchange, query, page, cursor), headers=headers, media_type="application/json")


@strict.get(
    "/data/{id}",
    dependencies=[needs(Scope.READ)],
    response_model=StoredRecord,
    responses=problems(HTTPStatus.NOT_FOUND, *DATABASE),
)
async def get_record(runtime: TheRuntime, id: RecordId) -> Response:  # noqa: A002  # the name is part of the API
    """One record, by the dataset's own id."""
    row = await runtime.dataset.record(id)
    if row is None:
        raise NotFound(f"there is no record {id}")
    return Response(record_bytes(row), headers=FRESH, media_type="application/json")


router.include_router(strict)
