"""Scalars of our own: whole numbers of 64 bits, moments, JSON whose every digit is kept; and an enum of many."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NewType

import strawberry
from graphql import BooleanValueNode, FloatValueNode, GraphQLError, IntValueNode, StringValueNode, ValueNode
from strawberry.types.scalar import ScalarDefinition

from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.query import INT64_MAX

BigInt = NewType("BigInt", int)
Time = NewType("Time", str)
Json = NewType("Json", object)
Value = NewType("Value", object)

strawberry.enum(RunStatus, description="A run is IN_PROGRESS, then one of the others.")

LONGEST_NUMBER: Final = 100
NUMBER: Final = re.compile(r"-?[0-9]{1,19}")


def _big_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INT64_MAX:
        raise GraphQLError("BigInt takes a whole number of at most 64 bits")
    return value


def _big_int_literal(node: ValueNode, _variables: Any = None) -> int:
    if not isinstance(node, IntValueNode) or not NUMBER.fullmatch(node.value):
        raise GraphQLError("BigInt takes a whole number of at most 64 bits", node)
    return _big_int(int(node.value))


def _moment(value: Any) -> str:
    """The dataset's are text already, as PostgreSQL wrote them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError("a time is written as text, like 2024-01-31T12:00:00Z")
    return value


def _text_literal(node: ValueNode, _variables: Any = None) -> str:
    if not isinstance(node, StringValueNode):
        raise GraphQLError("a time is written as text, like 2024-01-31T12:00:00Z", node)
    return node.value


def _as_it_is(value: Any) -> Any:
    return value


def _value(value: Any) -> Any:
    if not isinstance(value, str | int | Decimal):
        raise GraphQLError("Value takes a text, a number, true or false")
    return value


def _value_literal(node: ValueNode, _variables: Any = None) -> Any:
    match node:
        case StringValueNode() | BooleanValueNode():
            return node.value
        case IntValueNode() | FloatValueNode() if len(node.value) <= LONGEST_NUMBER:
            return Decimal(node.value) if isinstance(node, FloatValueNode) else int(node.value)
        case _:
            raise GraphQLError("Value takes a text, a number, true or false", node)


SCALARS: Final[dict[object, ScalarDefinition]] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of at most 64 bits, written as a JSON number",
        serialize=_as_it_is,
        parse_value=_big_int,
        parse_literal=_big_int_literal,
    ),
    Time: strawberry.scalar(
        name="Time",
        description="An ISO 8601 time; answers are UTC, and so is what comes without an offset",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_moment,
        parse_value=_text,
        parse_literal=_text_literal,
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="Any JSON value, as it is stored: every digit of its numbers is kept. Only in answers",
        serialize=_as_it_is,
        parse_value=_as_it_is,
    ),
    Value: strawberry.scalar(
        name="Value",
        description="A text, a number, true or false: what something within metadata is compared with",
        serialize=_as_it_is,
        parse_value=_value,
        parse_literal=_value_literal,
    ),
}
