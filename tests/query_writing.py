"""A `RecordQuery` as somebody would write it into a URL: conditions as parameters as far as they can stand there, the rest as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from kasparro.schemas.query import Condition, Filter, Joint, Kind, Op, RecordQuery, Scalar

Pair = tuple[str, str]


def written(query: RecordQuery) -> list[Pair]:
    """Parameters that ask for *query*; its cursor is left out."""
    conditions = [one for one in query.where if isinstance(one, Condition)]
    alone = {f"{one.field}[{one.op}]": one for one in conditions}
    pairs = [(name, _text(one)) for name, one in alone.items()]
    rest = [_object(one) for one in query.where if one not in alone.values()]
    pairs += [("filter", _json(_all(rest)))] if rest else []
    pairs += [("sort", ",".join(f"{'-' * o.descending}{o.field}" for o in query.sort))] if query.sort else []
    pairs += [("facets", ",".join(map(str, query.facets)))] if query.facets else []
    return [*pairs, ("limit", str(query.limit)), ("offset", str(query.offset))]


def _object(one: Filter) -> dict[str, Any]:
    if isinstance(one, Condition):
        values = one.values if one.op in {Op.IN, Op.BETWEEN} else one.values[0]
        return {str(one.field): {one.op.value: values}}
    members = [_object(member) for member in one.members]
    return {"not": _all(members)} if one.joint is Joint.NOT else {one.joint.value: members}


def _all(members: list[dict[str, Any]]) -> dict[str, Any]:
    return members[0] if len(members) == 1 else {"and": members}


def levels(one: Filter) -> int:
    """How many levels *one* may have when it is written."""
    if isinstance(one, Condition):
        return 0
    return max(map(levels, one.members)) + (2 if one.joint is Joint.NOT else 1)


def _json(value: Any) -> str:
    """JSON that keeps the digits of a Decimal."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{_json(inner)}" for name, inner in value.items()) + "}"
        case list() | tuple():
            return f"[{','.join(map(_json, value))}]"
        case Decimal():
            return str(value)
        case datetime():
            return json.dumps(value.isoformat())
        case _:
            return json.dumps(value)


def _text(one: Condition) -> str:
    several = one.op in {Op.IN, Op.BETWEEN}
    quotes = several or one.field.kind is Kind.JSON
    return ",".join(_scalar(value, quotes=quotes) for value in (one.values if several else one.values[:1]))


def _scalar(value: Scalar, *, quotes: bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case str() if quotes:
            return '"{}"'.format(value.replace('"', '""'))
        case _:
            return str(value)
