"""Where a value stands in a record: a field name, a dotted path or a JMESPath expression, compiled once per source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jmespath

from kasparro.ingestion.values import Fields, Unfit, plain
from kasparro.schemas.ingest import RejectReason

DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Path:
    """`read` gives the value or None, or raises `Unfit`; `field` is the top-level field that the path takes whole, if it does.

    `first`: the only top-level field that is looked at; None where that cannot be told. `computes`: where there is no such
    field, the path may still find something.
    """

    text: str
    field: str | None
    read: Callable[[Fields], Any]
    first: str | None = None
    computes: bool = False


def compile_path(text: str, *, cells: bool) -> Path:
    """Compile *text*. In a CSV source (`cells`) any text is a column name first."""
    if cells:
        expression = None if DOTTED.fullmatch(text) else _expression(text)
        return Path(text, text, _cell_reader(text, expression), computes=expression is not None)
    if not DOTTED.fullmatch(text):
        return Path(text, None, _expression_reader(text))
    if "." not in text:
        return Path(text, text, _field_reader(text), first=text)
    return Path(text, None, _nested_reader(text), first=text.partition(".")[0])


def _field_reader(name: str) -> Callable[[Fields], Any]:
    def read(fields: Fields) -> Any:
        return plain(fields.get(name))

    return read


def _nested_reader(text: str) -> Callable[[Fields], Any]:
    first, *rest = text.split(".")

    def read(fields: Fields) -> Any:
        value = plain(fields.get(first))
        for name in rest:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def _expression_reader(text: str) -> Callable[[Fields], Any]:
    expression = jmespath.compile(text)

    def read(fields: Fields) -> Any:
        return _search(expression, {name: plain(value) for name, value in fields.items()})

    return read


def _cell_reader(text: str, expression: Any) -> Callable[[Fields], Any]:
    """A column of that name; where the file has none and the text is an expression, its value over the columns."""
    if expression is None:
        return lambda fields: fields.get(text)

    def read(fields: Fields) -> Any:
        return fields[text] if text in fields else _search(expression, dict(fields))

    return read


def _search(expression: Any, fields: dict[str, Any]) -> Any:
    try:
        return expression.search(fields)
    except jmespath.exceptions.JMESPathError as error:  # a function that does not take this record's values
        raise Unfit(
            RejectReason.WRONG_TYPE, "the expression does not apply to the values of this record"
        ) from error


def _expression(text: str) -> Any:
    try:
        return jmespath.compile(text)
    except jmespath.exceptions.JMESPathError:
        return None
