"""The parameters of GET /data for the API description; `services.query_text` is what reads them.

A condition with an operator is a parameter of its own (`title[contains]`), of which there are too many to list: described are
each `<field>`, and `filter`, which can say everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kasparro.api.parameters import INT64_MAX, SOURCE_PATTERN
from kasparro.schemas.query import (
    FACETS,
    FIELDS,
    LONGEST_FILTER,
    LONGEST_SEARCH,
    LONGEST_VALUE,
    MOST_FACETS,
    MOST_LIMIT,
    MOST_ORDERS,
    OPERATORS,
    Count,
    Joint,
    Kind,
    Op,
)
from kasparro.services.record_cursor import LONGEST as LONGEST_CURSOR

Schema = Mapping[str, Any]

LINKS: Final[Mapping[str, Any]] = {
    "Link": {
        "description": 'RFC 8288: `rel="first"`, and `rel="next"` unless this is the last page',
        "schema": {"type": "string"},
    }
}

VALIDATORS: Final[Mapping[str, Any]] = {
    "ETag": {
        "description": "Weak; another one after each commit that changes what is asked for. Sent back as `If-None-Match`, it is"
        " answered with 304 and no body while it holds",
        "schema": {"type": "string"},
    },
    "Last-Modified": {
        "description": "When what is asked for last changed; missing where it never did",
        "schema": {"type": "string"},
    },
    "X-As-Of": {
        "description": "Whatever was committed before this moment is in the answer",
        "schema": {"type": "string", "format": "date-time"},
    },
    "X-Stale": {
        "description": "Of one source that declares its `freshness`: whether its last good run is older",
        "schema": {"type": "boolean"},
    },
}


def not_modified() -> dict[str, Any]:
    """The response 304, for a route's `responses`."""
    return {"description": "What `If-None-Match` names still holds", "headers": VALIDATORS}


VALUES: Final[Mapping[Kind, Schema]] = {
    Kind.INTEGER: {"type": "integer", "minimum": -INT64_MAX, "maximum": INT64_MAX},
    Kind.TEXT: {"type": "string", "maxLength": LONGEST_VALUE},
    Kind.TIME: {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
        "description": "A date, or a date and time; UTC without an offset",
    },
    Kind.JSON: {"type": ["string", "number", "boolean"]},
}
OPERATOR_HINT: Final = "With an operator: `{field}[op]=`, op one of {operators}"


def _parameter(name: str, description: str, schema: Schema, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
        **more,
    }


def _field(name: str) -> dict[str, Any]:
    kind = FIELDS[name]
    operators = ", ".join(op for op in Op if op in OPERATORS[kind])
    schema = {"type": "string", "pattern": SOURCE_PATTERN} if name == "source" else VALUES[kind]
    return _parameter(
        name,
        f"Only records whose {name} is this. {OPERATOR_HINT.format(field=name, operators=operators)}",
        schema,
    )


def _operators(kind: Kind) -> Schema:
    value = VALUES[kind]
    shapes: dict[Op, Schema] = {
        Op.IN: {"type": "array", "items": value, "minItems": 1, "maxItems": 100},
        Op.BETWEEN: {"type": "array", "items": value, "minItems": 2, "maxItems": 2},
        Op.ISNULL: {"type": "boolean"},
    }
    properties = {op.value: shapes.get(op, value) for op in Op if op in OPERATORS[kind]}
    return {
        "anyOf": [
            value,
            {"type": "null"},
            {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1},
        ]
    }


def _filter_schema(depth: int) -> Schema:
    """Groups within groups are objects of the same kind; written out as far as people nest them."""
    inner: Schema = _filter_schema(depth - 1) if depth else {"type": "object"}
    fields = {name: _operators(kind) for name, kind in FIELDS.items() if kind is not Kind.JSON}
    groups: dict[str, Schema] = {
        Joint.AND: {"type": "array", "items": inner, "minItems": 1},
        Joint.OR: {"type": "array", "items": inner, "minItems": 1},
        Joint.NOT: inner,
    }
    return {
        "type": "object",
        "properties": fields | groups,
        "patternProperties": {r"^metadata\.": _operators(Kind.JSON)},
        "additionalProperties": False,
        "minProperties": 1,
    }


FILTER: Final = {
    "name": "filter",
    "in": "query",
    "required": False,
    "description": "Conditions and groups as JSON: `and`, `or`, `not`; conditions of one object all hold."
    f" At most {LONGEST_FILTER} characters.",
    "content": {
        "application/json": {
            "schema": _filter_schema(1),
            "example": {"or": [{"category": "heliport"}, {"title": {"contains": "Field"}}]},
        }
    },
}

QUERY_PARAMETERS: Final = [
    _parameter(
        "limit",
        "Most records in the answer",
        {"type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": 10},
    ),
    _parameter(
        "offset",
        "Records to leave out at the beginning; far pages are cheaper by `cursor`",
        {"type": "integer", "minimum": 0, "maximum": INT64_MAX, "default": 0},
    ),
    *(_field(name) for name in ("source", *(n for n in FIELDS if n not in {"source", "metadata"}))),
    FILTER,
    _parameter(
        "q",
        'Search for words: `"a phrase"`, `or`, `-without`',
        {"type": "string", "minLength": 1, "maxLength": LONGEST_SEARCH},
    ),
    _parameter(
        "sort",
        f"Up to {MOST_ORDERS} fields or metadata paths, `-` before one for descending",
        {"type": "string", "maxLength": LONGEST_VALUE},
        example="-published_at,title",
    ),
    _parameter(
        "fields",
        "Only these fields or metadata paths of each record",
        {"type": "string", "maxLength": LONGEST_VALUE},
        example="id,title,metadata.stars",
    ),
    _parameter(
        "facets",
        f"Count the records by value: up to {MOST_FACETS} of {', '.join(FACETS)} and metadata paths",
        {"type": "string", "maxLength": LONGEST_VALUE},
        example="category,source",
    ),
    _parameter(
        "count",
        "How `total_count` comes about",
        {"type": "string", "enum": [count.value for count in Count], "default": Count.EXACT.value},
    ),
    _parameter(
        "cursor", "Go on behind a page: its `next_cursor`", {"type": "string", "maxLength": LONGEST_CURSOR}
    ),
]
