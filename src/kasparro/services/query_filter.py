"""`filter`: conditions and groups as JSON in, filters out.

    {"or": [{"category": "heliport"}, {"not": {"metadata.stars": {"ge": 10, "lt": 20}}}]}

The members of an object all hold. Raises `InvalidParameter`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from kasparro.core.errors import InvalidParameter
from kasparro.schemas.query import (
    DEEPEST,
    FIELDS,
    LONGEST_FILTER,
    Condition,
    Field,
    Filter,
    Group,
    Joint,
    Op,
)
from kasparro.services.query_fields import parse_field, parse_operator
from kasparro.services.query_values import from_json

KNOWN: Final = (*FIELDS, *Joint)
decode = msgspec.json.Decoder(float_hook=Decimal).decode


def parse_filter(parameter: str, text: str) -> list[Filter]:
    """The filters that *text* asks for; all of them have to hold."""
    if len(text) > LONGEST_FILTER:
        raise InvalidParameter(parameter, f"has at most {LONGEST_FILTER} characters")
    try:
        value = decode(text)
        json.loads(text, object_pairs_hook=partial(_refuse_repeated, parameter))
    except (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError) as error:
        raise InvalidParameter(parameter, "is not JSON", hint='Write {"category": "x"}') from error
    return list(_members(parameter, value, depth=1))


def _refuse_repeated(parameter: str, members: list[tuple[str, Any]]) -> None:
    """Refuse an object that names a member twice: of two conditions one would be lost without a word."""
    if len(dict(members)) < len(members):
        raise InvalidParameter(
            parameter,
            "has an object that names something twice",
            hint="Put its conditions together, or use `and`",
        )


def _members(parameter: str, value: Any, depth: int) -> Iterator[Filter]:
    if not isinstance(value, dict) or not value:
        raise InvalidParameter(parameter, "needs objects of conditions", hint='Write {"category": "x"}')
    if depth > DEEPEST:
        raise InvalidParameter(parameter, f"is nested more than {DEEPEST} levels deep")
    for name, inner in value.items():
        if name in set(Joint):
            yield _group(parameter, Joint(name), inner, depth)
        else:
            yield from _conditions(parameter, name, inner)


def _group(parameter: str, joint: Joint, value: Any, depth: int) -> Group:
    if joint is Joint.NOT:
        return Group(joint, tuple(_members(parameter, value, depth + 1)))
    if not isinstance(value, list) or not value:
        raise InvalidParameter(parameter, f"{joint} takes a list of objects")
    return Group(joint, tuple(_all(parameter, one, depth + 1) for one in value))


def _all(parameter: str, value: Any, depth: int) -> Filter:
    members = tuple(_members(parameter, value, depth))
    return members[0] if len(members) == 1 else Group(Joint.AND, members)


def _conditions(parameter: str, name: str, value: Any) -> Iterator[Condition]:
    field = parse_field(parameter, name, KNOWN)
    if field.name == "metadata" and not field.path:
        raise InvalidParameter(parameter, "metadata is an object", hint="Name what is in it: metadata.stars")
    operators = value if isinstance(value, dict) else {Op.EQ.value: value}
    if not operators:
        raise InvalidParameter(parameter, f"{field} has no operator")
    for operator, operand in operators.items():
        yield _condition(parameter, field, parse_operator(parameter, field, operator), operand)


def _condition(parameter: str, field: Field, op: Op, operand: Any) -> Condition:
    """`null` is no value: to equal it is to be null."""
    if operand is None and op in {Op.EQ, Op.NE}:
        return Condition(field, Op.ISNULL, (op is Op.EQ,))
    return Condition(field, op, from_json(parameter, field, op, operand))
