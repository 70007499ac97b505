"""The query language of docs/api.md: (name, value) pairs as they stand in a URL in, a `RecordQuery` out.

`api` and the command line call it. What is not understood is refused by its name: raises `InvalidParameter`, `InvalidCursor`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kasparro.core.errors import InvalidParameter
from kasparro.schemas.query import (
    FACETS,
    FIELDS,
    INT64_MAX,
    LONGEST_SEARCH,
    MOST_CONDITIONS,
    MOST_FACETS,
    MOST_LIMIT,
    MOST_ORDERS,
    Condition,
    Count,
    Field,
    Filter,
    Kind,
    Order,
    RecordQuery,
    conditions_of,
)
from kasparro.services.query_fields import parse_field, parse_operator, split_names
from kasparro.services.query_filter import parse_filter
from kasparro.services.query_values import from_text
from kasparro.services.record_cursor import read_cursor

DIRECTIVES: Final = ("limit", "offset", "cursor", "filter", "q", "sort", "fields", "facets", "count")
KNOWN: Final = (
    "limit",
    "offset",
    "source",
    *(name for name in (*FIELDS, *DIRECTIVES) if name not in {"limit", "offset", "source"}),
)
DIGITS: Final = re.compile(r"[0-9]{1,19}")


def parse_query(pairs: Sequence[tuple[str, str]]) -> RecordQuery:
    """What a request for records asks for."""
    given = _once(pairs)
    where: list[Filter] = [_condition(name, text) for name, text in given.items() if name not in DIRECTIVES]
    if "filter" in given:
        where += parse_filter("filter", given["filter"])
    _bounded(where)
    query = RecordQuery(
        where=tuple(sorted(where, key=repr)),
        search=_search(given.get("q")),
        sort=_sort(given.get("sort")),
        fields=_fields(given.get("fields")),
        facets=_facets(given.get("facets")),
        count=_count(given.get("count")),
        limit=_whole("limit", given.get("limit", "10"), 1, MOST_LIMIT),
        offset=_whole("offset", given.get("offset", "0"), 0, INT64_MAX),
    )
    return _continued(query, given)


def _continued(query: RecordQuery, given: Mapping[str, str]) -> RecordQuery:
    if "cursor" not in given:
        return query
    if query.offset:  # generated clients send every default, and 0 leaves out nothing
        raise InvalidParameter("offset", "a cursor says where to go on; it does not go with an offset")
    return replace(query, after=read_cursor(given["cursor"], query))


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name; none may be there twice."""
    pairs = list(pairs)
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise InvalidParameter(
                name, f"the parameter {name!r} is given {times} times", hint="Give it once"
            )
    return dict(pairs)


def _condition(name: str, text: str) -> Condition:
    """`field=text` or `field[op]=text`."""
    path, operator = name, "eq"
    if name.endswith("]") and "[" in name:
        path, _, operator = name[:-1].rpartition("[")
    field = parse_field(name, path, KNOWN, "parameter")
    if field.name == "metadata" and not field.path:
        raise InvalidParameter(name, "metadata is an object", hint="Name what is in it: metadata.stars")
    op = parse_operator(name, field, operator)
    return Condition(field, op, from_text(name, field, op, text))


def _bounded(where: list[Filter]) -> None:
    if sum(1 for _ in conditions_of(tuple(where))) > MOST_CONDITIONS:
        raise InvalidParameter("filter", f"a query has at most {MOST_CONDITIONS} conditions")


def _search(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.strip():
        raise InvalidParameter("q", "there is nothing to search for")
    if len(text) > LONGEST_SEARCH or "\0" in text:
        raise InvalidParameter("q", f"must be text of at most {LONGEST_SEARCH} characters")
    return text


def _sort(text: str | None) -> tuple[Order, ...]:
    names = split_names("sort", text, MOST_ORDERS)
    orders = tuple(Order(_sortable(name.removeprefix("-")), name.startswith("-")) for name in names)
    if len({order.field for order in orders}) < len(orders):
        raise InvalidParameter("sort", "names a field twice")
    return orders


def _sortable(name: str) -> Field:
    field = parse_field("sort", name, tuple(FIELDS))
    if field.kind is Kind.JSON and not field.path:
        raise InvalidParameter("sort", "metadata is an object", hint="Name what is in it: metadata.stars")
    return field


def _fields(text: str | None) -> tuple[Field, ...]:
    names = split_names("fields", text, 2 * len(FIELDS))
    return tuple(dict.fromkeys(parse_field("fields", name, tuple(FIELDS)) for name in names))


def _facets(text: str | None) -> tuple[Field, ...]:
    known = (*FACETS, "metadata.")
    fields = [parse_field("facets", name, known) for name in split_names("facets", text, MOST_FACETS)]
    for field in fields:
        if field.name not in FACETS and not field.path:
            raise InvalidParameter(
                "facets",
                f"{field} is not counted by value",
                hint=f"There are: {', '.join(FACETS)}, metadata.<path>",
            )
    return tuple(dict.fromkeys(fields))


def _count(text: str | None) -> Count:
    if text is None:
        return Count.EXACT
    if text not in set(Count):
        raise InvalidParameter("count", f"must be one of {', '.join(Count)}")
    return Count(text)


def _whole(name: str, text: str, least: int, most: int) -> int:
    """Only ASCII digits: Python would take `1_0` and ` 10` as well."""
    if not DIGITS.fullmatch(text) or not least <= int(text) <= most:
        raise InvalidParameter(name, f"must be a whole number from {least} to {most}")
    return int(text)
