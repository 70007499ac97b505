"""The values of a query: text from a parameter or a JSON value in, a value of the field's type out. Raises `InvalidParameter`.

What a metadata value is compared with is decided by how it is written: `10` is a number, `true` a boolean, `"10"` and everything
else text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NoReturn

from kasparro.core.errors import InvalidParameter
from kasparro.schemas.query import INT64_MAX, LONGEST_VALUE, MOST_VALUES, ORDERED, Field, Kind, Op, Scalar

INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
LONGEST_NUMBER: Final = 100
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
SOURCE: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
ITEM: Final = re.compile(r'("(?:[^"]|"")*"|[^,"][^,]*|)(,|$)')
PAIR: Final = 2

Written = tuple[str, bool]
"""A value as it stands in a parameter, and whether it stood in double quotes."""


def from_text(parameter: str, field: Field, op: Op, text: str) -> tuple[Scalar, ...]:
    """The values of a condition written as `field[op]=text`."""
    if len(text) > LONGEST_VALUE * (MOST_VALUES if op is Op.IN else 2):
        raise InvalidParameter(parameter, "the value is too long")
    if op is Op.ISNULL:
        return (_boolean(parameter, text),)
    if op in {Op.IN, Op.BETWEEN}:
        return checked(
            parameter, field, op, [_typed(parameter, field, op, one) for one in _items(parameter, text)]
        )
    quoted = field.kind is Kind.JSON and len(text) > 1 and text[0] == text[-1] == '"'
    value = _typed(parameter, field, op, _unquoted(text) if quoted else (text, False))
    if op is Op.CONTAINS and isinstance(value, Decimal) and str(value) != text:
        return value, text  # of a list it is an element by its value, of a text a part as it is written
    return checked(parameter, field, op, [value])


def from_json(parameter: str, field: Field, op: Op, value: object) -> tuple[Scalar, ...]:
    """The values of a condition written as `{"field": {"op": value}}`."""
    if op is Op.ISNULL:
        if not isinstance(value, bool):
            raise InvalidParameter(parameter, f"{field}: isnull takes true or false")
        return (value,)
    if op in {Op.IN, Op.BETWEEN}:
        if not isinstance(value, list):
            raise InvalidParameter(parameter, f"{field}: {op} takes a list")
        return checked(parameter, field, op, [_typed_json(parameter, field, op, one) for one in value])
    return checked(parameter, field, op, [_typed_json(parameter, field, op, value)])


def checked(parameter: str, field: Field, op: Op, values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """*values* if *op* can be applied to them."""
    if op is Op.BETWEEN and len(values) != PAIR:
        raise InvalidParameter(
            parameter, f"{field}: between takes two values", hint="Like between=1,5; both belong to it"
        )
    if op is Op.IN and not 0 < len(values) <= MOST_VALUES:
        raise InvalidParameter(parameter, f"{field}: in takes 1 to {MOST_VALUES} values")
    if op in ORDERED and any(isinstance(value, bool) for value in values):
        raise InvalidParameter(parameter, f"{field}: true and false have no order")
    if op is Op.BETWEEN and isinstance(values[0], str) != isinstance(values[1], str):
        raise InvalidParameter(parameter, f"{field}: between takes two numbers or two texts")
    if (
        field.name == "source"
        and op in {Op.EQ, Op.NE, Op.IN}
        and not all(SOURCE.fullmatch(str(v)) for v in values)
    ):
        raise InvalidParameter(parameter, "a source has a name of a-z, 0-9 and _, at most 50 characters")
    return tuple(values)


def parse_time(parameter: str, text: str) -> datetime:
    """An ISO 8601 date or time; without an offset it is UTC."""
    try:
        if not TIME.fullmatch(text):
            _not_a_time(parameter)
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _not_a_time(parameter)


def _not_a_time(parameter: str) -> NoReturn:
    raise InvalidParameter(
        parameter,
        "is not a time like 2024-01-31 or 2024-01-31T12:00:00Z",
        hint="In a URL the + of an offset is written %2B",
    )


def _typed(parameter: str, field: Field, op: Op, written: Written) -> Scalar:
    text, quoted = written
    match field.kind:
        case Kind.INTEGER:
            return _integer(parameter, text)
        case Kind.TIME:
            return parse_time(parameter, text)
        case Kind.TEXT:
            return _text(parameter, text)
        case Kind.JSON:
            return _text(parameter, text) if quoted or op is Op.STARTSWITH else _json_scalar(parameter, text)


def _json_scalar(parameter: str, text: str) -> Scalar:
    if text == "null":
        raise InvalidParameter(
            parameter, "nothing is equal to null", hint='Ask with [isnull]=true, or write "null" for the text'
        )
    if text in {"true", "false"}:
        return text == "true"
    if len(text) <= LONGEST_NUMBER and NUMBER.fullmatch(text):
        return Decimal(text)
    return _text(parameter, text)


def _typed_json(parameter: str, field: Field, op: Op, value: object) -> Scalar:
    match field.kind, value:
        case Kind.JSON, bool() if op is not Op.STARTSWITH:
            return value
        case Kind.JSON, int() | Decimal() if op is not Op.STARTSWITH:
            return _number(parameter, field, Decimal(value))
        case Kind.INTEGER, int() if not isinstance(value, bool):
            return _integer(parameter, str(value))
        case Kind.TIME, str():
            return parse_time(parameter, value)
        case Kind.TEXT | Kind.JSON, str():
            return _text(parameter, value)
        case _:
            wanted = {Kind.INTEGER: "a whole number", Kind.TIME: "a time as text", Kind.TEXT: "a text"}
            any_scalar = "a text" if op is Op.STARTSWITH else "a text, a number, true or false"
            kind = wanted.get(field.kind, any_scalar)
            raise InvalidParameter(parameter, f"{field}: {op} takes {kind}")


def _number(parameter: str, field: Field, number: Decimal) -> Decimal:
    if len(str(number)) > LONGEST_NUMBER or abs(number.adjusted()) > 1000:  # noqa: PLR2004  # as far as NUMBER goes
        raise InvalidParameter(parameter, f"{field}: the number is too long")
    return number


def _integer(parameter: str, text: str) -> int:
    if not INTEGER.fullmatch(text) or abs(int(text)) > INT64_MAX:
        raise InvalidParameter(parameter, "must be a whole number")
    return int(text)


def _boolean(parameter: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise InvalidParameter(parameter, "must be true or false")
    return text == "true"


def _text(parameter: str, text: str) -> str:
    if "\0" in text:
        raise InvalidParameter(parameter, "no text of the dataset contains a NUL character")
    if len(text) > LONGEST_VALUE:
        raise InvalidParameter(parameter, f"a value has at most {LONGEST_VALUE} characters")
    return text


def _items(parameter: str, text: str) -> list[Written]:
    """The items of a list like `a,"b,c",d`; a double quote within quotes is written twice."""
    items: list[Written] = []
    at = 0
    while True:
        found = ITEM.match(text, at)
        if found is None:
            raise InvalidParameter(parameter, "the list has a quote that is not closed")
        items.append(_unquoted(found[1]) if found[1].startswith('"') else (found[1], False))
        at = found.end()
        if not found[2]:
            return items


def _unquoted(text: str) -> Written:
    return text[1:-1].replace('""', '"'), True
