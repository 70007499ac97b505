"""GET /openapi.json, /docs and /redoc: the description of the API, and two pages that show it.

Their scripts come from the package `fastapi-offline`, so that the pages work where there is no internet.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
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

INLINE_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
PAGE_POLICY: Final = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""Both pages style elements as they draw them; Redoc searches in a worker made of a text."""

Asset = Literal["swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png"]

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/openapi.json", dependencies=[needs(Scope.READ)])
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs", dependencies=[needs(Scope.READ)])
async def swagger_ui() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=TITLE,
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
    )
    return _confined(page)


@router.get("/redoc", dependencies=[needs(Scope.READ)])
async def redoc() -> HTMLResponse:
    page = get_redoc_html(
        openapi_url="/openapi.json",
        title=TITLE,
        redoc_js_url="/docs/assets/redoc.standalone.js",
        redoc_favicon_url="/docs/assets/favicon.png",
        with_google_fonts=False,
    )
    return _confined(page)


def _confined(page: HTMLResponse) -> HTMLResponse:
    """*page*, told to browsers as one that runs its own scripts and talks to this server, and nothing else."""
    inline = INLINE_SCRIPT.findall(bytes(page.body))
    hashes = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in inline]
    page.headers["Content-Security-Policy"] = PAGE_POLICY.format(scripts=" ".join(["'self'", *hashes]))
    return page


@router.get("/docs/assets/{name}", dependencies=[needs(Scope.READ)])
def asset(name: Annotated[Asset, Path()]) -> Response:
    """A script, style sheet or picture of the two pages."""
    media_type = TYPES[name.rpartition(".")[2]]
    return Response((ASSETS / name).read_bytes(), media_type=media_type, headers=FOR_A_DAY)
