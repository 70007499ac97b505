"""GET /metrics: counters and gauges for Prometheus."""

from __future__ import annotations

from typing import Any, Final

import structlog
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from kasparro.api.dependencies import TheScrape
from kasparro.api.metrics import asked
from kasparro.api.openapi import SERVER, problems
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import StorageError

log = structlog.get_logger(__name__)

router = APIRouter(route_class=StrictRoute, tags=["service"])

ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Metrics in the text format of Prometheus, version 0.0.4",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/metrics",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    responses=ANSWER | problems(*SERVER),
)
async def get_metrics(scrape: TheScrape) -> Response:
    """Requests, latencies, connections, ingestion, freshness and the queue, for Prometheus."""
    try:
        measures = await scrape.measurements.take()
    except StorageError as error:
        log.warning("metrics.incomplete", code=error.code)
        measures = None
    own = scrape.metrics.own()
    if scrape.siblings is not None:
        own = await scrape.siblings.metrics(own)
    return Response(own + asked(measures), media_type=CONTENT_TYPE_PLAIN_0_0_4)
