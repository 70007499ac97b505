"""How an API pages, as far as one answer shows it: the request and the answer in, a line of the draft out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kasparro.services.drafting.body import step
from kasparro.services.drafting.draft import Line

_NEXT_URL: Final = (
    ("next",), ("links", "next"), ("_links", "next", "href"), ("_links", "next"), ("paging", "next"),
    ("pagination", "next"), ("pagination", "next_url"), ("meta", "next"), ("info", "next"), ("next_url",), ("nextUrl",),
    ("next_page_url",), ("next_page",), ("nextPageUrl",), ("nextRecordsUrl",), ("nextLink",), ("@odata.nextLink",),
    ("next_href",),
)  # fmt: skip
_CURSORS: Final = {
    ("next_cursor",): "cursor",
    ("nextCursor",): "cursor",
    ("cursor", "next"): "cursor",
    ("meta", "next_cursor"): "cursor",
    ("pagination", "next_cursor"): "cursor",
    ("paging", "next_cursor"): "cursor",
    ("paging", "cursors", "after"): "after",
    ("paging", "next", "after"): "after",
    ("meta", "cursor", "next"): "cursor",
    ("response_metadata", "next_cursor"): "cursor",
    ("next_page_token",): "page_token",
    ("nextPageToken",): "pageToken",
    ("next_token",): "next_token",
    ("nextToken",): "nextToken",
    ("meta", "next_token"): "pagination_token",
    ("next_page",): "page",
    ("meta", "next_page"): "page",
    ("pagination", "next_page"): "page",
    ("continuation",): "continuation",
}
_PAGE: Final = ("page", "p", "page_number", "pageNumber", "pageNo", "page[number]")
_SIZE: Final = ("per_page", "page_size", "pageSize", "perPage", "size", "limit", "page[size]")
_OFFSET: Final = ("offset", "skip", "start", "startAt", "from")
_LIMIT: Final = ("limit", "top", "count", "take", "max", "maxResults", "size", "rows")


@dataclass(frozen=True, slots=True)
class Paging:
    """The line, and the parameters of the request that it takes over."""

    line: Line
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: its body, how many records were in it, the total it tells, and whether it has a `Link` to a next page."""

    body: Any
    records: int
    total: int | None
    linked: bool


def paging_of(params: Mapping[str, str], answer: Answered, path: str | None) -> Paging:
    """The kind of pagination that the answer shows, else the one that the parameters speak of, else none."""
    found = _linked(answer) or _next_url(answer.body) or _cursor(params, answer.body, path)
    found = found or _numbered(params) or _cut_by_position(params) or _numbered_in(answer.body)
    return found or Paging(_none(answer))


def _linked(answer: Answered) -> Paging | None:
    why = 'the answer has a Link header with rel="next"'
    return Paging(Line("pagination", "link_header", why)) if answer.linked else None


def _next_url(body: Any) -> Paging | None:
    for path in _NEXT_URL:
        present, value = _follow(body, path)
        shown = _path(path)
        block = {"type": "next_url", "path": shown}
        if isinstance(value, str) and value.startswith(("http://", "https://", "/", "?")):
            return Paging(Line("pagination", block, f"{shown} in the answer is the address of the next page"))
        if present and value is None and _has_sibling(body, path):
            return Paging(Line("pagination", block, f"{shown} in the answer is null, as on a last page"))
    return None


def _has_sibling(body: Any, path: Sequence[str]) -> bool:
    """A `next` that is null means a last page only where there is a way back or a count beside it."""
    _, parent = _follow(body, path[:-1])
    return isinstance(parent, dict) and bool({"previous", "prev", "count", "first", "total"} & parent.keys())


def _cursor(params: Mapping[str, str], body: Any, path: str | None) -> Paging | None:
    for place, usual in _CURSORS.items():
        _, value = _follow(body, place)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            param = next((name for name in (usual, place[-1]) if name in params), usual)
            why = f"{_path(place)} in the answer looks like the token of the next page; check the name of the parameter"
            return Paging(
                Line("pagination", {"type": "cursor", "param": param, "next": _path(place)}, why), (param,)
            )
    _, more = _follow(body, ("has_more",))
    listed = path is not None and isinstance(body, dict) and isinstance(body.get(path), list) and body[path]
    if isinstance(more, bool) and listed and isinstance(body[path][-1], dict) and "id" in body[path][-1]:
        block = {"type": "cursor", "param": "starting_after", "next": f"has_more && {path}[-1].id"}
        return Paging(
            Line("pagination", block, "has_more in the answer: the next page begins after the last id"),
            ("starting_after",),
        )
    return None


def _numbered(params: Mapping[str, str]) -> Paging | None:
    page = next((name for name in _PAGE if name in params), None)
    if page is None:
        return None
    start = {"start": 0} if params[page] == "0" else {}
    size = next((name for name in _SIZE if _is_size(params.get(name))), None)
    block: dict[str, Any] = {"type": "page", "param": page, **start}
    if size is None:
        return Paging(Line("pagination", block, f"the address has a parameter {page}"), (page,))
    block |= {"size_param": size, "size": int(params[size])}
    return Paging(
        Line("pagination", block, f"the address has the parameters {page} and {size}"), (page, size)
    )


def _cut_by_position(params: Mapping[str, str]) -> Paging | None:
    offset = next((name for name in _OFFSET if params.get(name, "").isdigit()), None)
    limit = next((name for name in _LIMIT if _is_size(params.get(name))), None)
    if offset is None or limit is None:
        return None
    block = {"type": "offset", "offset_param": offset, "limit_param": limit, "limit": int(params[limit])}
    return Paging(
        Line("pagination", block, f"the address has the parameters {offset} and {limit}"), (offset, limit)
    )


def _numbered_in(body: Any) -> Paging | None:
    """An answer that tells its own page and how many there are takes, more often than not, a parameter `page`."""
    for place in ((), ("meta",), ("pagination",), ("page_info",), ("info",)):
        _, inner = _follow(body, place)
        told = inner if isinstance(inner, dict) else {}
        pages = next(
            (
                name
                for name in ("total_pages", "totalPages", "last_page", "pages")
                if _is_number(told.get(name))
            ),
            None,
        )
        if pages is not None and told[pages] > 1:
            why = f"the answer tells {told[pages]} pages; check that the parameter is called page"
            return Paging(Line("pagination", {"type": "page", "param": "page"}, why), ("page",))
    return None


def _none(answer: Answered) -> Line:
    if answer.total is not None and answer.total > answer.records:
        why = f"the answer tells {answer.total} records and has {answer.records}: it pages, and does not show how"
        return Line("pagination", {"type": "page", "param": "page"}, why, off=True)
    return Line("pagination", "none", "the answer shows no further page")


def _is_size(value: str | None) -> bool:
    return value is not None and value.isdigit() and 0 < int(value[:6]) == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _path(names: Sequence[str]) -> str:
    return ".".join(map(step, names))


def _follow(body: Any, names: Sequence[str]) -> tuple[bool, Any]:
    """Whether there is something at *names*, and what."""
    for name in names:
        if not isinstance(body, dict) or name not in body:
            return False, None
        body = body[name]
    return True, body
