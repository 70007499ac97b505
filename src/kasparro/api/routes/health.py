"""GET /health, /health/ready and /health/live: for load balancers, and for people in a hurry. They take no key."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from kasparro import __version__
from kasparro.api.answers import Liveness
from kasparro.api.dependencies import TheExchange, TheHealthCheck
from kasparro.api.exchange import Caller
from kasparro.api.health import Finding
from kasparro.api.openapi import SERVER, problems
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import OPEN
from kasparro.core import clock
from kasparro.core.config import Scope
from kasparro.schemas.data import Health, HealthStatus

router = APIRouter(route_class=StrictRoute, tags=["health"])

ANSWERS = problems(*SERVER) | {
    int(HTTPStatus.SERVICE_UNAVAILABLE): {
        "model": HealthStatus,
        "description": "It cannot serve; `detail` is the code of the cause",
    }
}


@router.get("/health", dependencies=[OPEN], responses=ANSWERS)
async def get_health(check: TheHealthCheck, exchange: TheExchange, response: Response) -> HealthStatus:
    """Whether it serves, and how the latest runs went; `degraded` still serves."""
    return await _status(check, exchange.caller, response)


@router.get("/health/ready", dependencies=[OPEN], responses=ANSWERS)
async def get_readiness(check: TheHealthCheck, exchange: TheExchange, response: Response) -> HealthStatus:
    """The same: whether requests should be sent here."""
    return await _status(check, exchange.caller, response)


@router.get("/health/live", dependencies=[OPEN], responses=problems(*SERVER))
async def get_liveness() -> Liveness:
    """Whether the process answers at all; the database is not asked."""
    return Liveness(version=__version__, time=clock.now())


async def _status(check: TheHealthCheck, caller: Caller, response: Response) -> HealthStatus:
    found = await check.ask()
    if found.status is Health.UNHEALTHY:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthStatus(
        status=found.status,
        db_connected=found.cause is None,
        etl_last_run=found.etl_last_run,
        etl_status=found.etl_status,
        version=__version__,
        time=clock.now(),
        detail=_detail(found, caller),
    )


def _detail(found: Finding, caller: Caller) -> str | None:
    """Codes and counts for everybody, names of sources for those who may read."""
    if found.cause is not None:
        return found.cause
    parts = {"the last run failed of": found.failed, "older than promised is": found.stale}
    told = [f"{what}: {_which(names, caller)}" for what, names in parts.items() if names]
    return "; ".join(told) or None


def _which(names: tuple[str, ...], caller: Caller) -> str:
    return ", ".join(names) if Scope.READ in caller.scopes else f"{len(names)} of the sources"
