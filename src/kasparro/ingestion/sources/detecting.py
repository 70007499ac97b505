"""Which way of paging an answer shows: the first answer in, a declared pagination out, or `None` where it shows none.

Looked for, in this order: a `Link` header; the address of the next page in the body; a token; page numbers; an offset; the number
of the next page alone. What is found is what a person would have declared, so that it can be shown, kept in the cursor and
written into the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from kasparro.core.etl_config import (
    CursorPagination,
    LinkHeaderPagination,
    NextUrlPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
)
from kasparro.ingestion.http.link_header import links
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.places import Answer

_AROUND: Final = (
    *(
        (),
        ("meta",),
        ("pagination",),
        ("paging",),
        ("page_info",),
        ("pageInfo",),
        ("page",),
        ("links",),
        ("_links",),
    ),
    *(
        ("meta", "pagination"),
        ("meta", "page"),
        ("meta", "links"),
        ("meta", "pagination", "links"),
        ("pagination", "links"),
    ),
    *(("paging", "cursors"), ("paging", "next"), ("response_metadata",), ("cursors",)),
    *(("info",), ("metadata",), ("d",)),
)
"""Where in an answer what is said about its pages stands."""

_URLS: Final = (
    *(
        "next",
        "next_page",
        "next_url",
        "next_link",
        "next_page_url",
        "next_page_link",
        "nextLink",
        "nextUrl",
        "nextPage",
    ),
    *(
        "nextPageUrl",
        "nextRecordsUrl",
        "@odata.nextLink",
        "@nextLink",
        "odata.nextLink",
        "next_href",
        "__next",
    ),
)
_NEXT: Final = ("href", "link", "url")
"""Names of the address in a `next` that is an object."""

_TOKENS: Final = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "next_token": "next_token",
    "nextToken": "nextToken",
    "continuation_token": "continuation_token",
    "continuationToken": "continuationToken",
    "next_page_cursor": "cursor",
    "next_continuation_token": "continuation_token",
    "end_cursor": "after",
    "endCursor": "after",
    "after": "after",
    "cursor": "cursor",
    "offset": "offset",
}
"""Names of a token, and the query parameter by which APIs that call it so take it back."""

_TOKEN_HEADERS: Final = {
    "X-Next-Cursor": "cursor",
    "X-Next-Page-Token": "page_token",
    "X-Continuation-Token": "continuation_token",
}
_MORE: Final = (
    "has_more",
    "hasMore",
    "has_next",
    "hasNext",
    "has_next_page",
    "hasNextPage",
    "more",
    "more_items",
)
_NUMBERS: Final = {
    "page": "page",
    "current_page": "page",
    "currentPage": "page",
    "page_number": "page",
    "pageNumber": "page",
    "number": "page",
    "page_index": "page_index",
    "pageIndex": "pageIndex",
}
_COUNTS: Final = (
    *("total_pages", "totalPages", "last_page", "lastPage", "page_count", "pageCount", "pages", "num_pages"),
    *(
        "total",
        "total_count",
        "totalCount",
        "total_results",
        "totalResults",
        "total_items",
        "totalItems",
        "totalElements",
    ),
    *("per_page", "perPage", "page_size", "pageSize", "count"),
)
"""What stands beside the number of a page, without which `page` may mean anything."""

_NEXT_NUMBERS: Final = ("next_page", "nextPage", "next_page_number", "nextPageNumber", "next")
_SECOND: Final = frozenset({"1", "2"})
"""The numbers that a second page can have; text in XML."""

_OFFSETS: Final = {"offset": "offset", "skip": "skip", "start": "start", "startAt": "startAt", "from": "from"}
_LIMITS: Final = {
    "offset": ("limit", "count"),
    "skip": ("limit", "take", "top"),
    "start": ("limit", "rows"),
    "startAt": ("maxResults",),
    "from": ("size",),
}
_ADDRESS: Final = re.compile(r"(?:https?:)?//\S+|[/?]\S*", re.IGNORECASE)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIRST: Final = (0, 1)
"""The numbers that a first page can have."""

Path = tuple[str, ...]
Fields = dict[Path, dict[str, Any]]


def detected(answer: Answer) -> Pagination | None:
    """The pagination that *answer*, to the request as it is declared, shows."""
    if any("next" in relations for _, relations in links(answer.headers.get("Link", ""))):
        return LinkHeaderPagination()
    around = _around(answer)
    found = _address(around) or _token(answer, around) or _token_in_header(answer) or _last_id(around, answer)
    return found or _number(answer, around) or _offset(around) or _next_number(around)


def _around(answer: Answer) -> Fields:
    """The members, as values, of the answer and of the objects in it that may speak of pages. Lists are left out unread."""
    document = answer.envelope.document
    found: Fields = {}
    for path in _AROUND:
        text = document.follow(path)
        if text is not None and json_records.is_object(text):
            found[path] = dict(_values(json_records.members(text)))
    return found


def _values(members: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    for name, text in members.items():
        if name == "next" and json_records.is_object(text):
            inside = json_records.value(text)
            yield from ((f"next.{inner}", inside.get(inner)) for inner in _NEXT)
        elif not json_records.is_array(text) and not json_records.is_object(text):
            yield name, json_records.value(text)


def _address(around: Fields) -> Pagination | None:
    for path, fields in around.items():
        for steps in (*((name,) for name in _URLS), *(("next", inner) for inner in _NEXT)):
            value = fields.get(".".join(steps))
            if isinstance(value, str) and _ADDRESS.fullmatch(value.strip()):
                return NextUrlPagination(path=_expression((*path, *steps)))
    return None


def _token(answer: Answer, around: Fields) -> Pagination | None:
    for path, fields in around.items():
        for name, param in _TOKENS.items():
            value = fields.get(name)
            if not isinstance(value, str) or not value or (name == "cursor" and not answer.count):
                continue
            if name == "offset" and value.isdigit():  # a position, as XML has it
                continue
            if name == "next_cursor" and fields.get("object") == "list":
                param = "start_cursor"  # noqa: PLW2901  # Notion, and those who follow it
            return CursorPagination(
                param=param, next=_expression((*path, name)), has_more=_more(around, path)
            )
    return None


def _token_in_header(answer: Answer) -> Pagination | None:
    for name, param in _TOKEN_HEADERS.items():
        if answer.headers.get(name, "").strip():
            return CursorPagination(param=param, next=f"header:{name}")
    return None


def _last_id(around: Fields, answer: Answer) -> Pagination | None:
    """Stripe and those who follow it: a list object that says whether there is more, asked on by the last id."""
    top = around.get((), {})
    if top.get("object") == "list" and top.get("has_more") is True and answer.count:
        return CursorPagination(param="starting_after", next="data[-1].id", has_more="has_more")
    return None


def _number(answer: Answer, around: Fields) -> Pagination | None:
    for path, fields in around.items():
        for name, param in _NUMBERS.items():
            beside = [*(key for key in _COUNTS if key in fields), *(key for key in _MORE if key in fields)]
            if beside and fields.get(name) in _FIRST and not isinstance(fields[name], bool):
                return PagePagination(param=param, start=fields[name], has_more=_more(around, path))
    if answer.headers.get("X-Page", "").strip() == "1":
        return PagePagination()
    told = [
        name for name in ("total_pages", "totalPages", "last_page") if any(name in f for f in around.values())
    ]
    return (
        PagePagination()
        if told or "X-Total-Pages" in answer.headers or "X-WP-TotalPages" in answer.headers
        else None
    )


def _offset(around: Fields) -> Pagination | None:
    for path, fields in around.items():
        for name, param in _OFFSETS.items():
            limit = next((key for key in _LIMITS[name] if _is_size(fields.get(key))), None)
            if limit is not None and fields.get(name) == 0 and not isinstance(fields[name], bool):
                more = _more(around, path)
                return OffsetPagination(
                    offset_param=param, limit_param=limit, limit=fields[limit], has_more=more
                )
    return None


def _next_number(around: Fields) -> Pagination | None:
    """The number of the next page, and nothing of this one: it is handed back as it is, until there is none, or a 0."""
    for path, fields in around.items():
        for name in _NEXT_NUMBERS:
            if str(fields.get(name)) in _SECOND:
                number = _expression((*path, name))
                return CursorPagination(param="page", next=number, has_more=_more(around, path) or number)
    return None


def _more(around: Fields, beside: Path) -> str | None:
    """Where the answer says whether there is more: beside what was found, else at its top."""
    for path in (beside, ()):
        for name in _MORE:
            if isinstance(around.get(path, {}).get(name), bool):
                return _expression((*path, name))
    return None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _expression(path: Path) -> str:
    """*path* as JMESPath: a name that is no plain word stands in quotes."""
    return ".".join(name if _PLAIN_NAME.fullmatch(name) else f'"{name}"' for name in path)
