"""The playground as an ASGI application: the two APIs and a page that says how to use them."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kasparro.core import clock
from kasparro.playground import airportsdata, ourairports
from kasparro.playground.airports import load_airportsdata, load_ourairports
from kasparro.playground.answers import json_answer, json_error
from kasparro.playground.keys import PlaygroundKeys
from kasparro.playground.rate_limit import TokenBucket


def create_playground(keys: PlaygroundKeys, *, time: Callable[[], float] = clock.monotonic) -> ASGIApp:
    """Build the application; *time* is the clock of the rate limit, in seconds."""
    bucket = TokenBucket(airportsdata.BURST, airportsdata.PER_SECOND, time)
    paged = ourairports.OurAirportsApi(keys.api_key, load_ourairports())
    limited = airportsdata.AirportsDataApi(keys.token, load_airportsdata(), bucket)
    routes = [
        Route("/", _describe, methods=["GET"]),
        Route(ourairports.PATH, paged.airports, methods=["GET"]),
        Route(airportsdata.PATH, limited.airports, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: json_error})


async def _describe(_request: Request) -> Response:
    return json_answer({"name": "Kasparro playground", "apis": [_PAGED, _LIMITED]})


_PAGED = {
    "path": ourairports.PATH,
    "data": "OurAirports (public domain): large and medium airports and all with scheduled service",
    "authentication": f"API key in the header {ourairports.KEY_HEADER}",
    "parameters": {
        "page": "from 1; a page beyond the last is empty",
        "per_page": f"1 to {ourairports.MOST_PER_PAGE}, default {ourairports.DEFAULT_PER_PAGE}",
    },
    "records": "data",
    "key": "ident",
}
_LIMITED = {
    "path": airportsdata.PATH,
    "data": "airportsdata (MIT): airports with an IATA code",
    "authentication": "Authorization: Bearer <token>",
    "parameters": {
        "limit": f"1 to {airportsdata.MOST_LIMIT}, default {airportsdata.DEFAULT_LIMIT}",
        "cursor": "the next_cursor of the answer before; null after the last",
    },
    "rate_limit": f"{airportsdata.BURST} requests at once, then {airportsdata.PER_SECOND:g} a second; beyond: 429, Retry-After",
    "records": "items",
    "key": "icao",
}
