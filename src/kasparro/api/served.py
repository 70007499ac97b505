"""The book of exchanges: each leaves one log line and its place in the metrics."""

from __future__ import annotations

import structlog

from kasparro.api.exchange import Exchange
from kasparro.api.request_metrics import METHODS, Requests
from kasparro.core.plain_events import PlainEvents

log = structlog.get_logger(__name__)
plain = PlainEvents(__name__)


class Served:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def begin(self) -> None:
        self._requests.begin()

    def end(self, method: str, route: str | None, exchange: Exchange, *, ours: bool) -> None:
        """The path is that of the route: ids and query values may say more than a log should know.

        *ours*: the request id is of our making, and so is the whole line.
        """
        milliseconds = exchange.milliseconds
        self._requests.end(method, route, exchange.status, milliseconds / 1000, exchange.code)
        event: dict[str, str | float | None] = {
            "method": method,
            "route": route,
            "status": exchange.status,
            "duration_ms": round(milliseconds, 3),
        }
        if exchange.code:
            event["code"] = exchange.code
        if ours and method in METHODS:
            plain.info("request.served", exchange.request_id, event)
        else:
            log.info("request.served", request_id=exchange.request_id, **event)
