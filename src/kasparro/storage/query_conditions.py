"""The filters of a `RecordQuery` as SQL conditions over `normalized_data AS n`. Every value and path is bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, assert_never

import msgspec

from kasparro.schemas.query import Condition, Filter, Group, Joint, Kind, Op, Scalar
from kasparro.storage.query_fields import PUBLISHED_OR_NEVER, Binder, json_of, number_of, plain, text_of

COMPARISONS: Final[Mapping[Op, str]] = {Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
BY_CODE_POINT: Final = 'COLLATE "C"'
"""Text has the order of its characters' numbers: the same on every server."""


def all_of(filters: Sequence[Filter], binder: Binder) -> str:
    return " AND ".join(condition_of(one, binder) for one in filters) or "true"


def condition_of(one: Filter, binder: Binder) -> str:
    """A condition in parentheses. It may be null where a value is missing, which is as good as false."""
    match one:
        case Group(joint=Joint.OR):
            return f"({' OR '.join(condition_of(member, binder) for member in one.members)})"
        case Group(joint=Joint.AND):
            return f"({all_of(one.members, binder)})"
        case Group():
            return f"(({all_of(one.members, binder)}) IS NOT TRUE)"
        case Condition(op=Op.NE):
            return f"({_met(Condition(one.field, Op.EQ, one.values), binder)} IS NOT TRUE)"
        case Condition(op=Op.ISNULL):
            return _is_null(one, binder)
        case Condition():
            return _met(one, binder)


def _met(one: Condition, binder: Binder) -> str:
    match one.field.kind:
        case Kind.JSON:
            return _json_met(one, binder)
        case Kind.TEXT:
            return _text_met(one, binder)
        case Kind.INTEGER:
            return _compared(one, "n.id", "bigint", one.values, binder)
        case Kind.TIME if one.field.name == "published_at":
            return _published_met(one, binder)
        case Kind.TIME:
            return _compared(one, f"n.{one.field.name}", "timestamptz", one.values, binder)
        case _:
            assert_never(one.field.kind)


def _compared(one: Condition, value: str, kind: str, given: Sequence[Scalar], binder: Binder) -> str:
    """Equality and order, for any kind that has them."""
    match one.op:
        case Op.EQ:
            return f"({value} = {binder.bind(given[0], kind)})"
        case Op.IN:
            return f"({value} = ANY({binder.bind(list(given), f'{kind}[]')}))"
        case Op.BETWEEN:
            return f"({value} BETWEEN {binder.bind(given[0], kind)} AND {binder.bind(given[1], kind)})"
        case _:
            return f"({value} {COMPARISONS[one.op]} {binder.bind(given[0], kind)})"


def _text_met(one: Condition, binder: Binder) -> str:
    text = text_of(one.field)
    match one.op:
        case Op.CONTAINS | Op.STARTSWITH:
            return _part_met(one, text, binder)
        case Op.EQ | Op.IN:
            return _compared(one, text, "text", one.values, binder)
        case _:
            return _compared(one, f"{text} {BY_CODE_POINT}", "text", one.values, binder)


def _part_met(one: Condition, text: str, binder: Binder) -> str:
    value = binder.bind(str(one.values[0]), "text")
    return f"(starts_with({text}, {value}))" if one.op is Op.STARTSWITH else f"(strpos({text}, {value}) > 0)"


def _published_met(one: Condition, binder: Binder) -> str:
    given = [_as_stored(value) for value in one.values]
    met = _compared(one, f"{PUBLISHED_OR_NEVER} {BY_CODE_POINT}", "text", given, binder)
    return f"({met} AND {PUBLISHED_OR_NEVER} <> '')" if one.op in {Op.LT, Op.LE} else met


def _as_stored(value: Scalar) -> str:
    assert isinstance(value, datetime)  # noqa: S101  # a query's values have the type of their field
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()


def _json_met(one: Condition, binder: Binder) -> str:
    json = json_of(one.field, binder)
    match one.op:
        case Op.EQ | Op.IN:
            return _json_equal(json, one.values, binder)
        case Op.CONTAINS:
            return _json_contains(one, json, binder)
        case Op.STARTSWITH:
            return f"(jsonb_typeof({json}) = 'string' AND {_part_met(one, plain(json), binder)})"
        case _ if isinstance(one.values[0], str):
            compared = _compared(one, f"{plain(json)} {BY_CODE_POINT}", "text", one.values, binder)
            return f"(jsonb_typeof({json}) = 'string' AND {compared})"
        case _:
            return _compared(one, f"({number_of(json)})", "numeric", one.values, binder)


def _json_equal(json: str, values: Sequence[Scalar], binder: Binder) -> str:
    """Equal to any of *values*: numbers by number, texts and booleans as they are. A CSV cell `true` is true."""
    numbers = [value for value in values if isinstance(value, Decimal)]
    others = [value for value in values if not isinstance(value, Decimal)]
    texts = [*others, *(str(value).lower() for value in others if isinstance(value, bool))]
    ways = []
    if numbers:
        ways.append(f"({number_of(json)}) = ANY({binder.bind(numbers, 'numeric[]')})")
    if texts:
        written = [msgspec.json.encode(value).decode() for value in texts]
        ways.append(f"{json} = ANY({binder.bind(written, 'jsonb[]')})")
    return f"({' OR '.join(ways)})"


def _json_contains(one: Condition, json: str, binder: Binder) -> str:
    """A text with this part, or a list with this element."""
    value = one.values[0]
    element = str(value) if isinstance(value, Decimal) else msgspec.json.encode(value).decode()
    part = element if isinstance(value, bool) else str(one.values[-1])
    return (
        f"(CASE jsonb_typeof({json})"
        f" WHEN 'string' THEN strpos({plain(json)}, {binder.bind(part, 'text')}) > 0"
        f" WHEN 'array' THEN {json} @> {binder.bind(element, 'jsonb')} END)"
    )


def _is_null(one: Condition, binder: Binder) -> str:
    field = one.field
    match field.kind:
        case Kind.JSON:
            absent = f"coalesce(jsonb_typeof({json_of(field, binder)}), 'null') = 'null'"
        case Kind.TIME if field.name == "published_at":
            absent = f"{PUBLISHED_OR_NEVER} = ''"
        case _:
            absent = f"{text_of(field)} IS NULL"
    return f"({absent})" if one.values[0] else f"(NOT ({absent}))"
