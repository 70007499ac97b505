"""What pages of every kind have in common: their bounds, and cursors that name what a page is behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kasparro.api.graphql.node import parse_global_id
from kasparro.api.graphql.record_types import PageInfo
from kasparro.core.errors import InvalidCursor, InvalidParameter
from kasparro.schemas.query import INT64_MAX, MOST_LIMIT
from kasparro.services.query_values import SOURCE

LONGEST_NUMBER: Final = 19


def check_first(first: int, most: int = MOST_LIMIT) -> None:
    """Raises `InvalidParameter`."""
    if not 1 <= first <= most:
        raise InvalidParameter("first", f"must be a whole number from 1 to {most}")


def check_source(source: str | None) -> None:
    """Raises `InvalidParameter`."""
    if source is not None and not SOURCE.fullmatch(source):
        raise InvalidParameter("source", "a source has a name of a-z, 0-9 and _, at most 50 characters")


def page_info(edges: Sequence[Any], after: str | None, *, more: bool) -> PageInfo:
    """Of a page of *edges* that was asked for with *after*; *more*: there are others behind it."""
    return PageInfo(
        has_next_page=more,
        has_previous_page=after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )


def key_behind(kind: str, after: str) -> str:
    """What a cursor of this kind, made by `node.global_id`, is behind. Raises `InvalidCursor`."""
    try:
        found, key = parse_global_id("after", after)
    except InvalidParameter as error:
        raise refused() from error
    if found != kind:
        raise refused()
    return key


def number_behind(kind: str, after: str) -> int:
    """The same where it is a number of the database's."""
    key = key_behind(kind, after)
    if not (key.isascii() and key.isdecimal() and len(key) <= LONGEST_NUMBER and int(key) <= INT64_MAX):
        raise refused()
    return int(key)


def refused() -> InvalidCursor:
    error = InvalidCursor()
    error.parameter = "after"
    return error
