"""Accounts as Salesforce's REST API answers a query: a token first, then pages by `nextRecordsUrl`, until `done`."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from aiohttp import web

CLIENT: Final = ("the-client-of-the-fixture", "the-secret-of-the-fixture")
ACCOUNTS: Final = 430
PAGE: Final = 200
QUERY: Final = "/services/data/v60.0/query"
_SINCE: Final = re.compile(r"SystemModstamp >= (\S+)")


def add_routes(app: web.Application) -> None:
    salesforce = Salesforce()
    app.router.add_post("/services/oauth2/token", salesforce.token)
    app.router.add_get(QUERY, salesforce.query)
    app.router.add_get(QUERY + "/{locator}", salesforce.more)


class Salesforce:
    def __init__(self) -> None:
        self.accounts = [account(number) for number in range(1, ACCOUNTS + 1)]
        self.tokens = 0
        self.cursors: dict[str, list[dict[str, Any]]] = {}

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials" or (
            (form.get("client_id"), form.get("client_secret")) != CLIENT
        ):
            return answer({"error": "invalid_client", "error_description": "invalid client credentials"}, 400)
        self.tokens += 1
        return answer(
            {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "issued_at": "1767225600000"}
        )

    async def query(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused()
        since = _SINCE.search(request.query["q"])
        found = [one for one in self.accounts if since is None or one["SystemModstamp"] >= since[1]]
        name = f"01g{len(self.cursors):012}"
        self.cursors[name] = found
        return self._page(name, 0)

    async def more(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused()
        name, _, first = request.match_info["locator"].rpartition("-")
        if name not in self.cursors:
            return answer([{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"}], 400)
        return self._page(name, int(first))

    def _is_known(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer token-{self.tokens}"

    def _refused(self) -> web.Response:
        return answer([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}], 401)

    def _page(self, name: str, first: int) -> web.Response:
        found, end = self.cursors[name], first + PAGE
        content: dict[str, Any] = {"totalSize": len(found), "done": end >= len(found)}
        if end < len(found):
            content["nextRecordsUrl"] = f"{QUERY}/{name}-{end}"
        return answer(content | {"records": found[first:end]})


def account(number: int) -> dict[str, Any]:
    key = f"001{number:012}AAA"
    return {
        "attributes": {"type": "Account", "url": f"/services/data/v60.0/sobjects/Account/{key}"},
        "Id": key,
        "Name": f"Account {number}",
        "Industry": ("Energy", "Media", None)[number % 3],
        "AnnualRevenue": number * 1000.0 if number % 4 else None,
        "SystemModstamp": f"2026-05-04T{number // 60:02}:{number % 60:02}:00.000+0000",
    }


def answer(content: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
