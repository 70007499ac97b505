"""A source's `map`, compiled: the fields of a record in, the mapped values of a DataRecord out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from kasparro.core.etl_config import CsvSource, FieldRule, SourceDeclaration
from kasparro.ingestion.paths import Path, compile_path
from kasparro.ingestion.times import time_reader
from kasparro.ingestion.values import Fields, Unfit
from kasparro.schemas.data import MAPPED_FIELDS
from kasparro.schemas.ingest import RejectReason

FALLBACKS: dict[str, tuple[str, ...]] = {
    "title": ("title", "name"),
    "description": ("description", "summary"),
    "content": ("content", "body"),
    "author": ("author", "creator"),
    "published_at": ("published_at", "created_at"),
    "url": ("url", "link"),
    "category": ("category", "type"),
}
"""Where a field comes from when the map does not name it. A fallback that does not fit leaves the field empty."""

as_stored = msgspec.to_builtins
"""How a time stands in the dataset."""

Read = Callable[[Any], Any]
"""A source's value in, the dataset's value out. Raises `Unfit`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one field is filled. A `declared` rule that does not fit rejects the record; a fallback passes.

    `keeps_text`: what is text already is not converted.
    """

    name: str
    paths: tuple[Path, ...]
    read: Read
    default: Any
    declared: bool

    @property
    def keeps_text(self) -> bool:
        return self.read is _text

    def convert(self, value: Any) -> tuple[Any, bool]:
        """The dataset's value, and whether it is stored otherwise than it came. Raises `Unfit`."""
        found = self.read(value)
        return found, as_stored(found) != value


@dataclass(frozen=True, slots=True)
class Mapped:
    """The values of the mapped fields, and the source fields they took whole, which metadata need not repeat."""

    values: dict[str, Any]
    taken: frozenset[str]


Mapper = Callable[[Fields], Mapped]


@dataclass(frozen=True, slots=True)
class FieldOrigin:
    """Where the value of a mapped field came from: the path that gave it, if one did; `converted`: not as it was found there."""

    name: str
    how: Literal["path", "default", "constant", "nothing"]
    path: str | None = None
    converted: bool = False


def mapper(declaration: SourceDeclaration) -> Mapper:
    """Compile the map of a source. The result raises `Unfit`, naming the field."""
    rules = rules_of(declaration)

    def apply(fields: Fields) -> Mapped:
        values: dict[str, Any] = {}
        taken: set[str] = set()
        for rule in rules:
            values[rule.name], took = _fill(rule, fields)
            if took is not None:
                taken.add(took)
        return Mapped(values, frozenset(taken))

    return apply


def explain(declaration: SourceDeclaration, fields: Fields) -> list[FieldOrigin]:
    """Say of each mapped field what the map takes it from in this record. Raises `Unfit` where the map rejects it."""
    return [_origin(rule, fields) for rule in rules_of(declaration)]


def _origin(rule: Rule, fields: Fields) -> FieldOrigin:
    for path in rule.paths:
        found, _ = _fill(replace(rule, paths=(path,), default=_ABSENT), fields)
        if found is not _ABSENT:
            return FieldOrigin(rule.name, "path", path.text, rule.convert(path.read(fields))[1])
    if rule.default is None:
        return FieldOrigin(rule.name, "nothing")
    return FieldOrigin(rule.name, "default" if rule.paths else "constant")


_ABSENT: Final = object()


def rules_of(declaration: SourceDeclaration) -> tuple[Rule, ...]:
    """The rules of a source's map, one for each of `MAPPED_FIELDS`, in their order."""
    cells = isinstance(declaration, CsvSource)
    return tuple(_rule(name, declaration.map.get(name), cells=cells) for name in MAPPED_FIELDS)  # type: ignore[call-overload]


def _rule(name: str, declared: FieldRule | None, *, cells: bool) -> Rule:
    read = _time_in(declared.as_ if declared else None) if name == "published_at" else _text
    if declared is None:
        paths = tuple(compile_path(p, cells=cells) for p in FALLBACKS[name])
        return Rule(name, paths, read, None, declared=False)
    constant = declared.default if declared.paths else declared.const
    default = None if constant is None else read(constant)
    paths = tuple(compile_path(p, cells=cells) for p in declared.paths)
    return Rule(name, paths, read, default, declared=True)


def _fill(rule: Rule, fields: Fields) -> tuple[Any, str | None]:
    """The value of a field, and the source field it took whole without changing it."""
    for path in rule.paths:
        try:
            found = path.read(fields)
            if found is None:
                continue
            value, converted = rule.convert(found)
        except Unfit as unfit:
            if not rule.declared:
                continue
            raise Unfit(unfit.reason, f"{path.text}: {unfit.message}", rule.name) from unfit
        return value, None if converted else path.field
    return rule.default, None


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | Decimal() | float():
            return str(value)
        case _:
            raise Unfit(RejectReason.WRONG_TYPE, f"is {_kind(value)}, where a text is needed")


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "an object"


def _time_in(form: str | None) -> Read:
    read = time_reader(form)

    def read_time(value: Any) -> datetime:
        try:
            return read(value)
        except ValueError as error:
            raise Unfit(RejectReason.INVALID_TIME, str(error)) from error

    return read_time
