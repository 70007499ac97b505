"""The `Link` header of a page (RFC 8288): the request's path and parameters in, the first and the next page out."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlencode


def links(path: str, pairs: Iterable[tuple[str, str]], cursor: str | None) -> str:
    kept = [(name, value) for name, value in pairs if name not in {"cursor", "offset"}]
    first = _link(path, kept, "first")
    return first if cursor is None else f"{first}, {_link(path, [*kept, ('cursor', cursor)], 'next')}"


def _link(path: str, pairs: list[tuple[str, str]], relation: str) -> str:
    query = urlencode(pairs)
    return f'<{quote(path)}{"?" if query else ""}{query}>; rel="{relation}"'
