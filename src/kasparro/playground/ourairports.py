"""GET /ourairports/v1/airports: page numbers, an envelope with totals, an API key in `X-API-Key`."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kasparro.playground.airports import AirportSet
from kasparro.playground.answers import json_answer, whole_number
from kasparro.playground.keys import same_secret

PATH = "/ourairports/v1/airports"
KEY_HEADER = "X-API-Key"
DEFAULT_PER_PAGE = 100
MOST_PER_PAGE = 500
MOST_PAGES = 1_000_000


class OurAirportsApi:
    def __init__(self, api_key: str, airports: AirportSet) -> None:
        self._api_key = api_key
        self._airports = airports

    async def airports(self, request: Request) -> Response:
        """One page; a page beyond the last is empty, as most APIs have it."""
        self._authenticate(request)
        page = whole_number(request, "page", default=1, most=MOST_PAGES)
        per_page = whole_number(request, "per_page", default=DEFAULT_PER_PAGE, most=MOST_PER_PAGE)
        records = self._airports.records
        first = (page - 1) * per_page
        pages = -(-len(records) // per_page)
        meta = {"page": page, "per_page": per_page, "total": len(records), "pages": pages}
        return json_answer({"data": records[first : first + per_page], "meta": meta})

    def _authenticate(self, request: Request) -> None:
        if not same_secret(request.headers.get(KEY_HEADER, ""), self._api_key):
            raise HTTPException(
                401,
                f"a valid key is needed in the header {KEY_HEADER}",
                headers={"WWW-Authenticate": f'ApiKey realm="ourairports", header="{KEY_HEADER}"'},
            )
