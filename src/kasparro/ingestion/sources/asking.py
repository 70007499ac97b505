"""What the pagination adds to a request: a target and values in, the request that carries them out. Kinds of paging call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from kasparro.core.declarations.pagination import Where
from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.http.client import Request
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.sources.target import Target

_JSON: Final = {"Content-Type": "application/json"}


def asking(target: Target, where: Where, values: Mapping[str, Any]) -> Request:
    """The request to *target* with *values* by their names: query parameters, headers, or dotted paths in the JSON body."""
    match where:
        case "query":
            return target.request(with_query(target.base, ((name, str(v)) for name, v in values.items())))
        case "header":
            return _with_headers(target.request(target.base), {name: str(v) for name, v in values.items()})
        case "body":
            return _with_body(target.request(target.base), values)


def _with_headers(request: Request, added: Mapping[str, str]) -> Request:
    names = {name.lower() for name in added}
    kept = {name: value for name, value in request.headers.items() if name.lower() not in names}
    return replace(request, headers={**kept, **added})


def _with_body(request: Request, values: Mapping[str, Any]) -> Request:
    content = {} if request.body is None else msgspec.json.decode(request.body)
    for path, value in values.items():
        content = _placed(content, path.split("."), value)
    named = {name.lower() for name in request.headers}
    headers = request.headers if "content-type" in named else {**_JSON, **request.headers}
    return replace(request, headers=headers, body=msgspec.json.encode(content))


def _placed(content: Any, path: list[str], value: Any) -> dict[str, Any]:
    """*content* with *value* at *path*; objects that are missing on the way are made."""
    if not isinstance(content, dict | None):
        raise UnexpectedContent(
            "the declared body has something else than an object where the page is to be named"
        )
    name, *rest = path
    inner = dict(content or {})
    inner[name] = _placed(inner.get(name), rest, value) if rest else value
    return inner
