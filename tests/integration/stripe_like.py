"""Charges as Stripe's API lists them: newest first, a page after the id of the last object, `has_more` for the end."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

KEY: Final = "sk_test_of_the_fixture"
CHARGES: Final = 230
MOST_PER_PAGE: Final = 100
FIRST_SECOND: Final = 1_767_225_600


def add_routes(app: web.Application) -> None:
    app.router.add_get("/v1/charges", Charges().listed)


class Charges:
    def __init__(self) -> None:
        self.newest_first = [charge(number) for number in range(CHARGES, 0, -1)]

    async def listed(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return answer({"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}, 401)
        since = int(request.query.get("created[gte]", "0"))
        found = [one for one in self.newest_first if one["created"] >= since]
        after = request.query.get("starting_after")
        ids = [one["id"] for one in found]
        if after is not None and after not in ids:
            return answer(
                {"error": {"type": "invalid_request_error", "message": f"No such charge: {after}"}}, 400
            )
        first = ids.index(after) + 1 if after is not None else 0
        size = min(int(request.query.get("limit", "10")), MOST_PER_PAGE)
        page = found[first : first + size]
        return answer(
            {"object": "list", "url": "/v1/charges", "has_more": first + size < len(found), "data": page}
        )


def charge(number: int) -> dict[str, Any]:
    return {
        "id": f"ch_{number:06}",
        "object": "charge",
        "amount": 100 * number,
        "created": FIRST_SECOND + 60 * number,
        "currency": "eur",
        "description": f"Order {number}" if number % 7 else None,
        "paid": True,
        "billing_details": {"name": f"Customer {number % 40}", "address": None},
        "metadata": {},
    }


def answer(content: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
