"""What is asked of a source, whatever the page: a declaration in, the request all its pages have in common out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from yarl import URL

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.http.client import Request
from kasparro.ingestion.http.origin import parse_url
from kasparro.ingestion.http.query import with_query


@dataclass(frozen=True, slots=True)
class Target:
    """The first page's address, without what the pagination adds, and what is sent there; no credential is in it.

    `conditions` are those under which the first page is asked for.
    """

    base: URL
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    conditions: Mapping[str, str] = field(default_factory=dict)

    def request(self, url: URL, *, first: bool = False) -> Request:
        """The request for the page at *url*."""
        conditions = self.conditions if first else {}
        return Request(
            url=url, method=self.method, headers=self.headers, body=self.body, conditions=conditions
        )


def target_of(declaration: ApiSource) -> Target:
    headers, body = _content(declaration)
    base = with_query(parse_url(declaration.url), _params(declaration).items())
    return Target(base, declaration.method, headers, body)


def _params(declaration: ApiSource) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in declaration.params.items()
    }


def _content(declaration: ApiSource) -> tuple[dict[str, str], bytes | None]:
    if declaration.body is None:
        return dict(declaration.headers), None
    named = {name.lower() for name in declaration.headers}
    added = {} if "content-type" in named else {"Content-Type": "application/json"}
    return {**added, **declaration.headers}, msgspec.json.encode(declaration.body)
