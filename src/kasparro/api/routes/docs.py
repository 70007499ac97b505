"""GET /openapi.json, /docs and /redoc: the description of the API, and two pages that show it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse

from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/openapi.json", dependencies=[needs(Scope.READ)])
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs", dependencies=[needs(Scope.READ)])
async def swagger_ui() -> HTMLResponse:
    return get_swagger_ui_html(openapi_url="/openapi.json", title="Kasparro API")


@router.get("/redoc", dependencies=[needs(Scope.READ)])
async def redoc() -> HTMLResponse:
    return get_redoc_html(openapi_url="/openapi.json", title="Kasparro API")
