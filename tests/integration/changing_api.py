"""An upstream whose records change: filtered by time in every way that APIs filter, and shown some later than they are dated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Record = dict[str, Any]
FIELD = "updated_at"


def read(text: str) -> float:
    return (
        datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        if "T" in text or "-" in text
        else float(text)
    )


@dataclass
class Changing:
    """`since` and `until` of the query bound what is shown; *strictly*: without what is at the bounds. Or it does not heed them."""

    records: list[Record] = field(default_factory=list)
    heeds: bool = True
    strictly: bool = False
    size: int = 100
    value: Callable[[Record], float | None] = lambda record: (
        None if record.get(FIELD) is None else read(record[FIELD])
    )
    failing: Callable[[web.Request], bool] = lambda _: False

    def put(self, *records: Record) -> None:
        """Show *records*, each instead of the one with its id."""
        ids = {record.get("id") for record in records}
        self.records = [record for record in self.records if record.get("id") not in ids] + list(records)

    def matches(self, record: Record, since: float | None, until: float | None) -> bool:
        value = self.value(record)
        if value is None:
            return True
        if self.strictly:
            return (since is None or value > since) and (until is None or value < until)
        return (since is None or value >= since) and (until is None or value <= until)

    async def answer(self, request: web.Request) -> web.Response:
        if self.failing(request):
            return web.Response(status=400)
        found = self.records
        if self.heeds:
            query = request.query
            bounds = [read(query[name]) if name in query else None for name in ("since", "until")]
            found = [record for record in self.records if self.matches(record, *bounds)]
        first = (int(request.query.get("page", "1")) - 1) * self.size
        return web.Response(
            text=json.dumps(found[first : first + self.size]), content_type="application/json"
        )
