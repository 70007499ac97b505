"""GET /openapi.json, /docs and /redoc: the description of the API, and two pages that show it.

Their scripts come from the package `fastapi-offline`, so that the pages work where there is no internet.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse, Response

from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

TITLE: Final = "Kasparro API"
ASSETS: Final = files("fastapi_offline") / "static"
TYPES: Final = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
FOR_A_DAY: Final = {"Cache-Control": "private, max-age=86400"}

Asset = Literal["swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png"]

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/openapi.json", dependencies=[needs(Scope.READ)])
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs", dependencies=[needs(Scope.READ)])
async def swagger_ui() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=TITLE,
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
    )


@router.get("/redoc", dependencies=[needs(Scope.READ)])
async def redoc() -> HTMLResponse:
    return get_redoc_html(
        openapi_url="/openapi.json",
        title=TITLE,
        redoc_js_url="/docs/assets/redoc.standalone.js",
        redoc_favicon_url="/docs/assets/favicon.png",
        with_google_fonts=False,
    )


@router.get("/docs/assets/{name}", dependencies=[needs(Scope.READ)])
def asset(name: Annotated[Asset, Path()]) -> Response:
    """A script, style sheet or picture of the two pages."""
    media_type = TYPES[name.rpartition(".")[2]]
    return Response((ASSETS / name).read_bytes(), media_type=media_type, headers=FOR_A_DAY)
