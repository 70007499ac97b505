"""Arguments of a field in, the `RecordQuery` out that a request with the same wishes makes: there is one query language.

They are written as the parameters of `GET /data` and read by `services.query_text`, so that every rule and every bound of it
holds here, and a cursor goes on in either. Raises `InvalidParameter` and `InvalidCursor`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from strawberry import UNSET

from kasparro.api.graphql.inputs import CountMode, FacetInput, MetadataFilter, RecordFilter, RecordSort
from kasparro.core.errors import InvalidCursor, InvalidParameter
from kasparro.schemas.query import RecordQuery
from kasparro.services.query_fields import parse_field
from kasparro.services.query_text import parse_query

ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
METADATA: Final = "metadata"
ARGUMENTS: Final = {"limit": "first", "cursor": "after", "q": "query"}
"""What parameters of requests are called here."""


@dataclass(frozen=True, slots=True)
class RecordArguments:
    """What a field that answers records was asked. `fields` are those of the records that are selected."""

    first: int = 10
    after: str | None = None
    source: str | None = None
    filter: RecordFilter | None = None
    search: str | None = None
    sort: Sequence[RecordSort] = ()
    facets: Sequence[FacetInput] = ()
    count: CountMode | None = None
    fields: Iterable[str] = ()


def query_of(asked: RecordArguments) -> RecordQuery:
    given = {
        "limit": str(asked.first),
        "cursor": asked.after,
        "source": asked.source,
        "filter": filter_text(asked.filter),
        "q": asked.search,
        "sort": ",".join(one.direction.value + _name("sort", one) for one in asked.sort) or None,
        "facets": ",".join(_name("facets", one) for one in asked.facets) or None,
        "count": asked.count.value if asked.count else "none",
        "fields": ",".join(asked.fields) or None,
    }
    return parse_query([(name, text) for name, text in given.items() if text is not None])


@contextmanager
def arguments_named() -> Iterator[None]:
    """Let errors name the arguments instead of the parameters of requests."""
    try:
        yield
    except (InvalidParameter, InvalidCursor) as error:
        error.parameter = ARGUMENTS.get(error.parameter, error.parameter)
        raise


def filter_text(asked: RecordFilter | None) -> str | None:
    """*asked* as the parameter `filter`; None when there is nothing in it."""
    if asked is None:
        return None
    members = _members(asked)
    return ENCODER.encode(members).decode() if members else None


def _members(asked: RecordFilter) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in _given(asked):
        match name:
            case "and" | "or":
                members[name] = [_members(one) for one in value]
            case "not":
                members[name] = _members(value)
            case "metadata":
                members |= _within_metadata(value)
            case _:
                members[name] = dict(_given(value))
    return members


def _within_metadata(asked: Iterable[MetadataFilter]) -> dict[str, Any]:
    """By path; conditions on one path are those of one member."""
    found: dict[str, Any] = {}
    for one in asked:
        conditions = dict(_given(one))
        name = _path("filter", conditions.pop("path"))
        if name in found:
            raise InvalidParameter(
                "filter", f"{name} is named twice", hint="Put its conditions together, or use `and`"
            )
        found[name] = conditions
    return found


def _given(asked: Any) -> Iterable[tuple[str, Any]]:
    """What was given in an input, by the names of the query language. `eq: null` asks for null; any other null is no wish."""
    for one in dataclasses.fields(asked):
        value = getattr(asked, one.name)
        name = one.name.rstrip("_")
        if value is UNSET or (value is None and name not in {"eq", "ne"}):
            continue
        yield name, value


def _name(parameter: str, asked: RecordSort | FacetInput) -> str:
    name = str(asked.field.value)
    if name == METADATA and asked.path:
        return _path(parameter, asked.path)
    if (name == METADATA) != (asked.path is not None):
        raise InvalidParameter(parameter, "METADATA comes with a path, and nothing else does")
    return name


def _path(parameter: str, path: str) -> str:
    return str(parse_field(parameter, f"{METADATA}.{path}", ()))


def metadata_path(parameter: str, path: str) -> tuple[str, ...]:
    """The names that *path* goes along within metadata."""
    return parse_field(parameter, f"{METADATA}.{path}", ()).path
