"""The parameters of the change feed for the API description; `services.change_text` is what reads them."""

from __future__ import annotations

from typing import Any, Final

from kasparro.api.query_description import QUERY_PARAMETERS
from kasparro.services.change_text import MOST_CHANGES, USUAL_CHANGES
from kasparro.services.feed_cursor import LONGEST
from kasparro.services.query_text import DIRECTIVES

SINCE: Final[dict[str, Any]] = {
    "name": "since",
    "in": "query",
    "required": False,
    "description": "Go on behind an answer: its `next_since`. `now`: only what comes from now on. Left out: from the beginning",
    "schema": {"type": "string", "maxLength": LONGEST},
    "example": "now",
}
LIMIT: Final[dict[str, Any]] = {
    "name": "limit",
    "in": "query",
    "required": False,
    "description": "Most changes in the answer",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_CHANGES, "default": USUAL_CHANGES},
    "example": USUAL_CHANGES,
}
LAST_EVENT_ID: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last `id` that a stream told before it broke; it wins over `since`. Browsers send it by themselves",
    "schema": {"type": "string", "maxLength": LONGEST},
    "example": "ZkKcJ0x1",
}


def filters_and(*names: str) -> list[dict[str, Any]]:
    """The parameters that say which records, and these of the others."""
    return [
        described
        for described in QUERY_PARAMETERS
        if described["name"] not in DIRECTIVES or described["name"] in {"filter", *names}
    ]


CHANGES_PARAMETERS: Final = [SINCE, LIMIT, *filters_and("fields")]
STREAM_PARAMETERS: Final = [SINCE, LAST_EVENT_ID, *filters_and("fields")]
