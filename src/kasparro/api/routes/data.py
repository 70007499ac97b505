"""GET /data and /data/{id}: the unified dataset."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from kasparro.api.dependencies import TheExchange, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import Limit, Offset, RecordId, SourceFilter, StrictRoute
from kasparro.api.records import ENCODER, RecordPage, readable, record_of
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import NotFound
from kasparro.schemas.data import PaginatedResponse, StoredRecord

router = APIRouter(route_class=StrictRoute, tags=["data"])

FRESH = {"Cache-Control": "private, no-cache"}


@router.get(
    "/data",
    dependencies=[needs(Scope.READ)],
    response_model=PaginatedResponse,
    responses=problems(*DATABASE),
)
async def list_records(
    runtime: TheRuntime,
    exchange: TheExchange,
    limit: Limit = 10,
    offset: Offset = 0,
    source: SourceFilter = None,
) -> Response:
    """Records in order of creation, and how many there are; both as of one moment."""
    page = await runtime.dataset.page(limit, offset, source)
    records = readable(page)
    return _json(RecordPage(exchange.request_id, page.total, limit, offset, exchange.milliseconds, records))


@router.get(
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
    return _json(record_of(row))


def _json(content: object) -> Response:
    return Response(ENCODER.encode(content), headers=FRESH, media_type="application/json")
